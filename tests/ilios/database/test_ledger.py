"""What the rows say is what the events say, however they were grouped and how often they came."""

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from actors.writes import (
    Cursor,
    Forget,
    LedgerUnavailable,
    Ping,
    WriteRefused,
)
from bus import subjects, wire
from ilios.database import rows
from schemas.documents import MAX_SECONDS, AnyDocumentEvent, Remote, Stored
from tests import events
from tests.ilios.database.books import CREATED, STREAM, Books, apply, history, opened


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with opened(tmp_path / "ilios.db") as books:
        yield books


WHOLE = history(events.submitted(), events.fetched(), events.converted())


async def test_a_document_is_read_as_far_as_it_is(books: Books) -> None:
    for entry, state in zip(WHOLE, ("pending", "processing", "completed"), strict=True):
        await books.apply(entry)
        record = await books.reads.document("default", events.name(1))
        assert record
        assert record.state == state
    record = await books.reads.document("default", events.name(1))
    assert record
    assert record.original == events.fetched().original
    assert record.markdown == events.converted().markdown
    assert record.submitted_at == events.SUBMITTED_AT
    assert record.finished_at == WHOLE[2].stored_at
    assert (record.pages, record.engine, record.seconds) == (3, "local", 0.5)
    assert (record.content_type, record.file_name) == ("application/pdf", "hello.txt")


async def test_a_completion_is_answered_with_what_is_to_be_announced(books: Books) -> None:
    assert await books.apply(*WHOLE[:2]) == ()
    announced = await books.apply(WHOLE[2])
    assert announced == (
        msgspec.structs.replace(events.completed(), completed_at=WHOLE[2].stored_at),
    )
    assert await books.apply(WHOLE[2]) == announced, "it may be missing after a crash"


async def test_what_was_archived_in_the_same_breath_is_announced_all_the_same(
    books: Books,
) -> None:
    (announced,) = await books.apply(*WHOLE, events.entry(4, events.archived()))  # type: ignore[misc]
    assert announced.document_id == events.name(1)


@pytest.mark.parametrize("seconds", [1e306, math.inf, -math.inf, -5.0])
async def test_seconds_that_cannot_be_are_bounded(books: Books, seconds: float) -> None:
    converted = msgspec.structs.replace(events.converted(), seconds=seconds)
    (completed,) = await books.apply(*WHOLE[:2], events.entry(3, converted))  # type: ignore[misc]
    assert 0 <= completed.seconds <= MAX_SECONDS
    ((kept,),) = await books.connection.execute_fetchall("SELECT seconds FROM documents")
    assert kept == completed.seconds


@pytest.mark.parametrize("seconds", [1e306, math.inf, -math.inf, -5.0])
async def test_seconds_of_a_row_of_before_are_bounded_as_they_are_read(
    books: Books, seconds: float
) -> None:
    await books.apply(*WHOLE)
    await books.connection.execute("UPDATE documents SET seconds = ?", (seconds,))
    await books.connection.commit()
    record = await books.reads.document("default", events.name(1))
    assert record
    assert record.seconds is not None
    assert 0 <= record.seconds <= MAX_SECONDS
    announced = rows.completed_event(record)
    assert announced
    wire.decode(subjects.subject(announced), wire.encode(announced))


async def test_unknown_and_somebody_elses_look_the_same(books: Books) -> None:
    await books.apply(*WHOLE)
    assert await books.reads.document("other", events.name(1)) is None
    assert await books.reads.document("default", events.name(2)) is None


async def test_a_completed_document_is_billed_once_however_often_it_is_applied(
    books: Books,
) -> None:
    said = [entry.event for entry in WHOLE]
    for _ in range(3):
        assert isinstance(await books.apply(*WHOLE), tuple)
    await books.ledger.keep([Forget("test")])  # type: ignore[list-item]
    assert isinstance(await books.apply(*WHOLE), tuple)
    for first in (1, 50):
        entries = history(*said, first=first)
        assert isinstance(await books.apply(*entries, created=f"anew {first}"), tuple)
    assert len(await books.table("usage")) == 1


async def test_the_bill_says_what_was_done(books: Books) -> None:
    await books.apply(*WHOLE)
    at = rows.milliseconds(WHOLE[2].stored_at)
    bill = ("default", events.name(1), "convert", "local", "none", 3, 12, 34, at)
    price = (1000, 3000, 30, 3900)
    assert await books.table("usage") == [bill + price]


async def test_a_failed_document_says_why_and_is_not_billed(books: Books) -> None:
    await books.apply(*history(events.submitted(), events.fetched(), events.failed()))
    record = await books.reads.document("default", events.name(1))
    assert record
    assert (record.state, record.code, record.reason, record.retryable) == (
        "failed",
        "corrupt",
        "It is.",
        False,
    )
    assert await books.table("usage") == []


ENDS = [
    [events.converted(), events.failed()],
    [events.failed(), events.converted()],
    [events.converted(pages=3), events.converted(pages=99)],
    [events.failed(code="a"), events.failed(code="b")],
    [events.converted(), events.fetched(key="other")],
    [events.failed(), events.fetched(key="other")],
]


@pytest.mark.parametrize("ends", ENDS, ids=range(len(ENDS)))
@pytest.mark.parametrize("grouped", ["in one group", "one by one"])
async def test_the_first_end_counts(
    books: Books, ends: list[AnyDocumentEvent], grouped: str
) -> None:
    entries = history(events.submitted(), events.fetched(), *ends)
    for group in [entries] if grouped == "in one group" else [[entry] for entry in entries]:
        await books.apply(*group)
    record = await books.reads.document("default", events.name(1))
    assert record
    assert record.finished_at == entries[2].stored_at
    assert record.original == events.fetched().original
    assert record.pages in (3, None)
    assert record.code in ("corrupt", "a", None)
    assert len(await books.table("usage")) == (record.state == "completed")


async def test_the_first_submission_under_an_id_counts(books: Books) -> None:
    stranger = events.submitted(file_name="stranger.txt", priority=9)
    await books.apply(*history(events.submitted(), stranger, events.fetched(), stranger))
    record = await books.reads.document("default", events.name(1))
    assert record
    assert (record.file_name, record.priority, record.state) == ("hello.txt", 5, "processing")


async def test_the_size_is_known_where_the_submission_says_it(books: Books) -> None:
    sources = [Stored(7, events.SHA256), events.submitted().source, Remote("http://x")]
    await books.apply(*history(*(events.submitted(n, source=s) for n, s in enumerate(sources))))
    records = [await books.reads.document("default", events.name(n)) for n in range(3)]
    assert [record.file_size for record in records if record] == [7, 3, None]


async def test_the_cursor_moves_with_the_rows_and_knows_its_log(books: Books) -> None:
    assert await books.ledger.cursor("test") is None
    await books.apply(*WHOLE[:2])
    assert await books.ledger.cursor("test") == Cursor(STREAM, CREATED, 2)
    await books.apply(WHOLE[0])
    assert await books.ledger.cursor("test") == Cursor(STREAM, CREATED, 2), "it went back"
    await books.apply(events.entry(1, events.submitted(2)), created="anew")
    assert await books.ledger.cursor("test") == Cursor(STREAM, "anew", 1)
    assert await books.reads.document("default", events.name(2)), "taken for known"
    await books.ledger.keep([Forget("test")])  # type: ignore[list-item]
    assert await books.ledger.cursor("test") is None


async def test_events_at_or_before_the_cursor_change_nothing(books: Books) -> None:
    await books.apply(*WHOLE[:2])
    await books.apply(events.entry(2, events.submitted(2)))
    assert await books.reads.document("default", events.name(2)) is None


POISON: dict[str, AnyDocumentEvent] = {
    "a number no column holds": events.converted(pages=2**63),
    "a larger one": events.converted(pages=10**30),
    "half a character": events.failed(reason="half \ud800 of it"),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
async def test_what_cannot_be_written_is_refused_alone_and_leaves_no_trace(
    books: Books, poison: AnyDocumentEvent
) -> None:
    await books.apply(*WHOLE[:2])
    before = [await books.table(name) for name in ("documents", "usage", "cursors")]
    assert isinstance(await books.apply(events.entry(3, poison)), WriteRefused)
    assert [await books.table(name) for name in ("documents", "usage", "cursors")] == before
    one = apply(events.entry(3, events.submitted(7)))
    bad = apply(events.entry(4, events.submitted(8)), events.entry(5, poison))
    two = apply(events.entry(6, events.submitted(9)))
    answers = await books.ledger.keep([one, bad, Ping(), two])  # type: ignore[list-item]
    assert [isinstance(answer, WriteRefused) for answer in answers] == [False, True, False, False]
    known = [await books.reads.document("default", events.name(n)) for n in (7, 8, 9)]
    assert [record is not None for record in known] == [True, False, True]


ODD_TIMES = [
    datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    datetime(2199, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-14))),
    datetime(1970, 1, 1),  # noqa: DTZ001  # as a client may write it
    datetime(2199, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001
    datetime(1970, 1, 1, tzinfo=UTC),
]


@pytest.mark.parametrize("submitted_at", ODD_TIMES, ids=range(len(ODD_TIMES)))
async def test_a_time_that_cannot_be_true_gives_way_to_the_log_s_own(
    books: Books, submitted_at: datetime
) -> None:
    """Retention counts from it."""
    submission = events.submitted(submitted_at=submitted_at)
    announced = await books.apply(*history(submission, events.fetched(), events.converted()))
    assert isinstance(announced, tuple)
    (event,) = announced
    record = await books.reads.document("default", events.name(1))
    assert record
    assert event.submitted_at == record.submitted_at
    assert record.submitted_at == events.entry(1, submission).stored_at


async def test_a_publisher_s_clock_is_believed_while_it_may_be_right(books: Books) -> None:
    stored_at = events.entry(1, events.submitted()).stored_at
    submitted_at = stored_at - timedelta(hours=3)
    await books.apply(*history(events.submitted(submitted_at=submitted_at)))
    record = await books.reads.document("default", events.name(1))
    assert record
    assert record.submitted_at == submitted_at


@pytest.mark.parametrize("text", ["a\0b", "'; DROP TABLE documents; --", "\u202e", "\U0001f600"])
async def test_any_text_is_kept_as_it_is(books: Books, text: str) -> None:
    await books.apply(*history(events.submitted(), events.failed(reason=text)))
    record = await books.reads.document("default", events.name(1))
    assert record
    assert record.reason == text


async def test_a_file_name_is_made_fit_to_be_shown_whoever_sent_it(books: Books) -> None:
    await books.apply(*history(events.submitted(file_name="../x\r\nSet-Cookie: a\u202efdp.pdf")))
    record = await books.reads.document("default", events.name(1))
    assert record
    assert record.file_name == "xSet-Cookie: afdp.pdf"


async def test_a_full_volume_is_everybodys_error_and_passes(books: Books) -> None:
    ((pages,),) = await books.connection.execute_fetchall("PRAGMA page_count")
    await books.connection.execute(f"PRAGMA max_page_count = {pages}")
    large = history(*(events.submitted(n, file_name="x" * 255) for n in range(1, 2000)))
    with pytest.raises(LedgerUnavailable, match="full"):
        await books.apply(*large)
    assert await books.table("documents") == []
    await books.connection.execute("PRAGMA max_page_count = 1000000")
    await books.apply(*large)
    assert len(await books.table("documents")) == 1999


@pytest.mark.parametrize("error", [sqlite3.DatabaseError("malformed"), sqlite3.OperationalError()])
async def test_a_broken_database_is_not_the_events_fault(
    books: Books, monkeypatch: pytest.MonkeyPatch, error: sqlite3.Error
) -> None:
    async def broken(*_: object) -> object:
        raise error

    with monkeypatch.context() as damage:
        damage.setattr(books.connection, "executemany", broken)
        with pytest.raises(LedgerUnavailable):
            await books.apply(*WHOLE)
        with pytest.raises(LedgerUnavailable):
            await books.ledger.keep([apply(*WHOLE), Ping()])  # type: ignore[list-item]
    await books.apply(*WHOLE)


async def test_a_cancelled_keeper_leaves_no_transaction_open(books: Books) -> None:
    for steps in range(12):
        keeping = asyncio.create_task(books.apply(*WHOLE))
        for _ in range(steps):
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await books.ledger.keep([Ping()])  # type: ignore[list-item]
