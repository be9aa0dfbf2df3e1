"""Rows follow from the events, for any grouping and repetition."""

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from actors import publishable
from actors.writes import (
    Cursor,
    DatabaseUnavailable,
    Ping,
    ResetCursor,
    WriteRefused,
)
from bus import codec, subjects
from ilios.database import rows
from ilios.database.sqlite import Session
from schemas.documents import (
    MAX_ENGINE_SECONDS,
    AnyDocumentEvent,
    DocumentFetched,
    DocumentSubmitted,
    Remote,
    Stored,
)
from schemas.options import NO_OPTIONS, ConversionOptions, options_from_json
from tests import events
from tests.ilios.database.db import CREATED, STREAM, Database, apply_write, history, open_database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        yield database


WHOLE = history(events.submitted(), events.fetched(), events.converted())


async def test_a_document_is_read_as_far_as_it_is(db: Database) -> None:
    for entry, state in zip(WHOLE, ("pending", "processing", "completed"), strict=True):
        await db.apply(entry)
        record = await db.reads.document("default", events.id_of(1))
        assert record
        assert record.state == state
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.original == events.fetched().original
    assert record.markdown == events.converted().markdown
    assert record.submitted_at == events.SUBMITTED_AT
    assert record.finished_at == WHOLE[2].stored_at
    assert (record.pages, record.engine, record.seconds) == (3, "local", 0.5)
    assert (record.content_type, record.file_name) == ("application/pdf", "hello.txt")


async def test_a_conversion_returns_the_completion_to_publish(db: Database) -> None:
    assert await db.apply(*WHOLE[:2]) == ()
    announced = await db.apply(WHOLE[2])
    assert announced == (
        msgspec.structs.replace(events.completed(), completed_at=WHOLE[2].stored_at),
    )
    assert await db.apply(WHOLE[2]) == announced, "it may be missing after a crash"


async def test_a_document_archived_in_the_same_group_is_still_announced(
    db: Database,
) -> None:
    (announced,) = await db.apply(*WHOLE, events.entry(4, events.archived()))  # type: ignore[misc]
    assert announced.document_id == events.id_of(1)


@pytest.mark.parametrize("seconds", [1e306, math.inf, -math.inf, -5.0])
async def test_seconds_that_cannot_be_are_bounded(db: Database, seconds: float) -> None:
    converted = msgspec.structs.replace(events.converted(), seconds=seconds)
    (completed,) = await db.apply(*WHOLE[:2], events.entry(3, converted))  # type: ignore[misc]
    assert 0 <= completed.seconds <= MAX_ENGINE_SECONDS
    ((seconds,),) = await db.connection.fetchall("SELECT seconds FROM documents")
    assert seconds == completed.seconds


@pytest.mark.parametrize("seconds", [1e306, math.inf, -math.inf, -5.0])
async def test_seconds_of_a_row_of_before_are_bounded_as_they_are_read(
    db: Database, seconds: float
) -> None:
    await db.apply(*WHOLE)
    await db.connection.execute("UPDATE documents SET seconds = ?", (seconds,))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.seconds is not None
    assert 0 <= record.seconds <= MAX_ENGINE_SECONDS
    announced = rows.completed_event(record)
    assert announced
    codec.decode(subjects.subject_for(announced), codec.encode(announced))


async def test_warnings_and_quality_of_the_conversion_are_in_the_row_and_published(
    db: Database,
) -> None:
    assessed = events.converted(unreadable=True, partial=True)
    announced = await db.apply(*history(events.submitted(), events.fetched(), assessed))
    completed = msgspec.structs.replace(
        events.completed(),
        completed_at=WHOLE[2].stored_at,
        warnings=events.UNREADABLE,
        quality=events.HALF,
        partial=True,
    )
    assert announced == (completed,)
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert (record.warnings, record.quality) == (events.UNREADABLE, events.HALF)
    assert record.partial


async def test_a_document_of_another_tenant_looks_unknown(db: Database) -> None:
    await db.apply(*WHOLE)
    assert await db.reads.document("other", events.id_of(1)) is None
    assert await db.reads.document("default", events.id_of(2)) is None


async def test_a_completed_document_is_billed_once_however_often_it_is_applied(
    db: Database,
) -> None:
    published = [entry.event for entry in WHOLE]
    for _ in range(3):
        assert isinstance(await db.apply(*WHOLE), tuple)
    await db.store.commit([ResetCursor("test")])  # type: ignore[list-item]
    assert isinstance(await db.apply(*WHOLE), tuple)
    for first in (1, 50):
        entries = history(*published, first=first)
        assert isinstance(await db.apply(*entries, created=f"created again for {first}"), tuple)
    assert len(await db.table("usage")) == 1


async def test_usage_records_the_conversion(db: Database) -> None:
    await db.apply(*WHOLE)
    at = rows.to_milliseconds(WHOLE[2].stored_at)
    bill = ("default", events.id_of(1), "convert", "local", "none", 3, 12, 34, at)
    price = (1000, 3000, 30, 3900)
    assert await db.table("usage") == [bill + price]


async def test_a_failed_document_has_a_reason_and_is_not_billed(db: Database) -> None:
    await db.apply(*history(events.submitted(), events.fetched(), events.failed()))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert (record.state, record.code, record.reason, record.retryable) == (
        "failed",
        "corrupt",
        "It is.",
        False,
    )
    assert await db.table("usage") == []


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
    db: Database, ends: list[AnyDocumentEvent], grouped: str
) -> None:
    entries = history(events.submitted(), events.fetched(), *ends)
    for group in [entries] if grouped == "in one group" else [[entry] for entry in entries]:
        await db.apply(*group)
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.finished_at == entries[2].stored_at
    assert record.original == events.fetched().original
    assert record.pages in (3, None)
    assert record.code in ("corrupt", "a", None)
    assert len(await db.table("usage")) == (record.state == "completed")


async def test_the_first_submission_under_an_id_counts(db: Database) -> None:
    stranger = events.submitted(file_name="stranger.txt", priority=9)
    await db.apply(*history(events.submitted(), stranger, events.fetched(), stranger))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert (record.file_name, record.priority, record.state) == ("hello.txt", 5, "processing")


async def test_the_size_is_stored_if_the_submission_has_it(db: Database) -> None:
    sources = [Stored(7, events.SHA256), events.submitted().source, Remote("http://x")]
    await db.apply(*history(*(events.submitted(n, source=s) for n, s in enumerate(sources))))
    records = [await db.reads.document("default", events.id_of(n)) for n in range(3)]
    assert [record.file_size for record in records if record] == [7, 3, None]


async def test_the_cursor_is_committed_with_the_rows_and_has_its_log_identity(db: Database) -> None:
    assert await db.store.cursor("test") is None
    await db.apply(*WHOLE[:2])
    assert await db.store.cursor("test") == Cursor(STREAM, CREATED, 2)
    await db.apply(WHOLE[0])
    assert await db.store.cursor("test") == Cursor(STREAM, CREATED, 2), "it went back"
    await db.apply(events.entry(1, events.submitted(2)), created="created again")
    assert await db.store.cursor("test") == Cursor(STREAM, "created again", 1)
    assert await db.reads.document("default", events.id_of(2)), "taken for applied"
    await db.store.commit([ResetCursor("test")])  # type: ignore[list-item]
    assert await db.store.cursor("test") is None


async def test_events_at_or_before_the_cursor_change_nothing(db: Database) -> None:
    await db.apply(*WHOLE[:2])
    await db.apply(events.entry(2, events.submitted(2)))
    assert await db.reads.document("default", events.id_of(2)) is None


POISON: dict[str, AnyDocumentEvent] = {
    "a number no column holds": events.converted(pages=2**63),
    "a larger one": events.converted(pages=10**30),
    "half a character": events.failed(reason="half \ud800 of it"),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
async def test_a_refused_write_has_no_effect_on_itself_or_others(
    db: Database, poison: AnyDocumentEvent
) -> None:
    await db.apply(*WHOLE[:2])
    before = [await db.table(name) for name in ("documents", "usage", "cursors")]
    assert isinstance(await db.apply(events.entry(3, poison)), WriteRefused)
    assert [await db.table(name) for name in ("documents", "usage", "cursors")] == before
    one = apply_write(events.entry(3, events.submitted(7)))
    bad = apply_write(events.entry(4, events.submitted(8)), events.entry(5, poison))
    two = apply_write(events.entry(6, events.submitted(9)))
    answers = await db.store.commit([one, bad, Ping(), two])  # type: ignore[list-item]
    assert [isinstance(answer, WriteRefused) for answer in answers] == [False, True, False, False]
    records = [await db.reads.document("default", events.id_of(n)) for n in (7, 8, 9)]
    assert [record is not None for record in records] == [True, False, True]


ODD_TIMES = [
    datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    datetime(2199, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-14))),
    datetime(1970, 1, 1),  # noqa: DTZ001  # as a client may write it
    datetime(2199, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001
    datetime(1970, 1, 1, tzinfo=UTC),
]


@pytest.mark.parametrize("submitted_at", ODD_TIMES, ids=range(len(ODD_TIMES)))
async def test_a_time_that_cannot_be_true_gives_way_to_the_log_s_own(
    db: Database, submitted_at: datetime
) -> None:
    """Retention counts from it."""
    submission = events.submitted(submitted_at=submitted_at)
    announced = await db.apply(*history(submission, events.fetched(), events.converted()))
    assert isinstance(announced, tuple)
    (event,) = announced
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert event.submitted_at == record.submitted_at
    assert record.submitted_at == events.entry(1, submission).stored_at


async def test_a_publishers_time_is_accepted_while_plausible(db: Database) -> None:
    stored_at = events.entry(1, events.submitted()).stored_at
    submitted_at = stored_at - timedelta(hours=3)
    await db.apply(*history(events.submitted(submitted_at=submitted_at)))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.submitted_at == submitted_at


@pytest.mark.parametrize("text", ["a\0b", "'; DROP TABLE documents; --", "\u202e", "\U0001f600"])
async def test_any_text_is_stored_unchanged(db: Database, text: str) -> None:
    await db.apply(*history(events.submitted(), events.failed(reason=text)))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.reason == text


async def test_a_file_name_is_sanitized_from_every_source(db: Database) -> None:
    await db.apply(*history(events.submitted(file_name="../x\r\nSet-Cookie: a\u202efdp.pdf")))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.file_name == "xSet-Cookie: afdp.pdf"


async def test_a_full_volume_is_everybodys_error_and_passes(db: Database) -> None:
    ((pages,),) = await db.connection.fetchall("PRAGMA page_count")
    await db.connection.execute(f"PRAGMA max_page_count = {pages}")
    large = history(*(events.submitted(n, file_name="x" * 255) for n in range(1, 2000)))
    with pytest.raises(DatabaseUnavailable, match="full"):
        await db.apply(*large)
    assert await db.table("documents") == []
    await db.connection.execute("PRAGMA max_page_count = 1000000")
    await db.apply(*large)
    assert len(await db.table("documents")) == 1999


@pytest.mark.parametrize("error", [sqlite3.DatabaseError("malformed"), sqlite3.OperationalError()])
async def test_a_broken_database_is_not_the_events_fault(
    db: Database, monkeypatch: pytest.MonkeyPatch, error: sqlite3.Error
) -> None:
    def broken(*_: object) -> None:
        raise error

    with monkeypatch.context() as damage:
        damage.setattr(Session, "executemany", broken)
        with pytest.raises(DatabaseUnavailable):
            await db.apply(*WHOLE)
        with pytest.raises(DatabaseUnavailable):
            await db.store.commit([apply_write(*WHOLE), Ping()])  # type: ignore[list-item]
    await db.apply(*WHOLE)


async def test_a_cancelled_commit_leaves_no_transaction_open(db: Database) -> None:
    for steps in range(12):
        keeping = asyncio.create_task(db.apply(*WHOLE))
        for _ in range(steps):
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await db.store.commit([Ping()])  # type: ignore[list-item]


async def test_a_group_is_handed_over_to_the_thread_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_over: list[object] = []
    run = db.connection.run

    async def counting(work: Callable[[Session], object]) -> object:
        handed_over.append(work)
        return await run(work)

    monkeypatch.setattr(db.connection, "run", counting)
    await db.store.commit([apply_write(*WHOLE), Ping()])  # type: ignore[list-item]
    assert len(handed_over) == 1


LATER = options_from_json(b'{"pages":"2-","dialect":{"of":["de"]}}')


@pytest.mark.parametrize(
    "options", [NO_OPTIONS, ConversionOptions(engine="mistral", pages="1-3"), LATER]
)
async def test_a_row_has_the_options_of_its_submission_and_publishes_them_again(
    db: Database, options: ConversionOptions
) -> None:
    blob = events.fetched().original
    submitted = msgspec.structs.replace(
        events.submitted(source=Stored(blob.size, blob.sha256)), options=options
    )
    await db.apply(*history(submitted, msgspec.structs.replace(events.fetched(), options=options)))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.options == options
    for event in (publishable.submitted_event(record), publishable.fetched_event(record)):
        assert event
        read = codec.decode(subjects.subject_for(event), codec.encode(event))
        assert isinstance(read, DocumentSubmitted | DocumentFetched)
        assert read.options == options


async def test_documents_of_a_batch_have_its_options_in_their_rows(db: Database) -> None:
    batch = msgspec.structs.replace(events.batch(1, 2), options=LATER)
    await db.apply(*history(batch))
    found = await db.connection.fetchall("SELECT DISTINCT options FROM documents")
    assert [tuple(row) for row in found] == [('{"pages":"2-","dialect":{"of":["de"]}}',)]


async def test_a_row_whose_options_have_values_of_a_later_version_can_be_read(
    db: Database,
) -> None:
    await db.apply(*WHOLE)
    await db.connection.execute("""UPDATE documents SET options = '{"engine":"later"}'""")
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.options.unsupported == ("engine",)
    event = publishable.fetched_event(record)
    assert event
    assert b'"options":{"engine":"later"}' in codec.encode(event)
