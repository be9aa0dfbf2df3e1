"""What the janitor asks of the database, and what it writes there."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.clock_guard import ClockState, Hold, Moment
from actors.writes import (
    DocumentName,
    Entry,
    MarkClock,
    MarkErased,
    MarkRunning,
    MarkSweep,
    Write,
)
from ilios.database.upkeep_reads import UpkeepReads
from schemas.documents import Blob, Stored
from tests import events
from tests.ilios.database.books import Books, history, opened

NOW = datetime(2026, 1, 16, tzinfo=UTC)
YEAR_LATER = events.SUBMITTED_AT + timedelta(days=365)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with opened(tmp_path / "ilios.db") as books:
        yield books


@pytest.fixture
def upkeep(books: Books) -> UpkeepReads:
    return UpkeepReads(books.connection)


async def keep(books: Books, write: Write[None]) -> None:
    answers = await books.ledger.keep([write])  # type: ignore[list-item]
    assert answers == [None]


async def test_only_what_has_ended_expires_and_not_before_its_time(
    books: Books, upkeep: UpkeepReads
) -> None:
    await books.apply(
        *history(
            *(events.submitted(number) for number in range(1, 5)),
            events.fetched(1),
            events.converted(1),
            events.failed(2),
            events.fetched(3),
        )
    )
    early = YEAR_LATER - timedelta(seconds=1)
    assert await upkeep.expired(early, 10, with_archived=True) == []
    due = await upkeep.expired(YEAR_LATER, 10, with_archived=True)
    assert [one.document_id for one in due] == [events.name(1), events.name(2)]
    assert len(await upkeep.expired(YEAR_LATER, 1, with_archived=True)) == 1
    assert await upkeep.can_expire() == 2


async def test_what_was_archived_expires_only_where_that_is_wanted(
    books: Books, upkeep: UpkeepReads
) -> None:
    said = (events.submitted(), events.fetched(), events.converted(), events.archived())
    await books.apply(*history(*said))
    assert await upkeep.expired(YEAR_LATER, 10, with_archived=False) == []
    (due,) = await upkeep.expired(YEAR_LATER, 10, with_archived=True)
    assert (due.state, due.archived_at is not None) == ("archived", True)
    assert due.original == Blob("archive/original", 3, events.SHA256)
    assert due.markdown == events.converted().markdown


async def test_removed_documents_are_to_be_erased_until_that_is_noted(
    books: Books, upkeep: UpkeepReads
) -> None:
    source = Stored(size=3, sha256=events.SHA256, suffix="abc")
    await books.apply(
        *history(
            events.submitted(1, source=source),
            events.submitted(2),
            events.fetched(2),
            events.converted(2),
            events.cancelled(1),
            events.deleted(2),
        )
    )
    cancelled, deleted = await upkeep.to_erase(10)
    assert (cancelled.state, deleted.state) == ("cancelled", "deleted")
    assert cancelled.original
    assert cancelled.original.key == f"originals/default/{events.name(1)}.abc"
    await keep(books, MarkErased((DocumentName("default", events.name(1)),), NOW))
    assert [one.document_id for one in await upkeep.to_erase(10)] == [events.name(2)]
    receipt = await books.reads.document("default", events.name(1))
    assert receipt
    assert (receipt.original, receipt.original_sha256) == (None, events.SHA256)
    assert receipt.erased_at == NOW
    assert len(await books.table("usage")) == 1, "what was completed stays billed"


async def test_nothing_that_is_kept_can_be_noted_as_erased(books: Books) -> None:
    await books.apply(*history(events.submitted(), events.fetched(), events.converted()))
    await keep(books, MarkErased((DocumentName("default", events.name(1)),), NOW))
    document = await books.reads.document("default", events.name(1))
    assert document
    assert (document.erased_at, document.markdown) == (None, events.converted().markdown)


async def test_an_expired_deletion_touches_nothing_that_is_under_way(books: Books) -> None:
    await books.apply(*history(events.submitted(), events.deleted(cause="expired")))
    document = await books.reads.document("default", events.name(1))
    assert document
    assert document.state == "pending"


async def test_unfinished_documents_come_oldest_first_in_portions(
    books: Books, upkeep: UpkeepReads
) -> None:
    hour = timedelta(hours=1)
    born = [events.SUBMITTED_AT - hour, events.SUBMITTED_AT, events.SUBMITTED_AT]
    await books.apply(
        *history(
            *(events.submitted(n, submitted_at=at) for n, at in enumerate(born, 1)),
            events.submitted(4),
            events.failed(4),
        )
    )
    assert await upkeep.unfinished(events.SUBMITTED_AT - 2 * hour, None, 10) == []
    first = await upkeep.unfinished(NOW, None, 2)
    assert [one.document_id for one in first] == [events.name(1), events.name(2)]
    rest = await upkeep.unfinished(NOW, first[-1], 2)
    assert [one.document_id for one in rest] == [events.name(3)]


async def test_unfinished_documents_of_a_clock_that_was_ahead_are_not_forgotten(
    books: Books, upkeep: UpkeepReads
) -> None:
    submitted = [events.submitted(1), events.submitted(2, submitted_at=None)]
    ahead = NOW + timedelta(days=400)
    entries = [
        Entry(n, at, said) for n, at, said in zip((1, 2), (NOW, ahead), submitted, strict=True)
    ]
    await books.apply(*entries)
    found = await upkeep.unfinished(NOW + timedelta(days=1), None, 1)
    assert [one.document_id for one in found] == [events.name(1)]
    found = await upkeep.unfinished(NOW + timedelta(days=1), found[0], 1)
    assert [one.document_id for one in found] == [events.name(2)]


async def test_the_first_sweep_is_remembered(books: Books, upkeep: UpkeepReads) -> None:
    assert await upkeep.first_sweep() is None
    for minutes in range(3):
        await keep(books, MarkSweep(NOW + timedelta(minutes=minutes)))
    assert await upkeep.first_sweep() == NOW


async def test_how_long_the_service_has_run_is_remembered_and_never_less(
    books: Books, upkeep: UpkeepReads
) -> None:
    assert await upkeep.ran() == timedelta()
    for minutes in (3, 5, 4):
        await keep(books, MarkRunning(timedelta(minutes=minutes)))
    assert await upkeep.ran() == timedelta(minutes=5)


@pytest.mark.parametrize("hold", [None, Hold(timedelta(minutes=3), timedelta(days=400))])
async def test_what_is_believed_of_the_clock_is_remembered(
    books: Books, upkeep: UpkeepReads, hold: Hold | None
) -> None:
    assert await upkeep.clock() == ClockState()
    await keep(books, MarkRunning(timedelta(minutes=1)))
    state = ClockState(
        believed=Moment(NOW, timedelta(minutes=2)),
        seen=Moment(NOW + timedelta(days=400), timedelta(minutes=4)),
        hold=hold,
    )
    await keep(books, MarkClock(ClockState(hold=Hold(timedelta(), timedelta(days=1)))))
    await keep(books, MarkClock(state))
    await keep(books, MarkSweep(NOW))
    assert await upkeep.clock() == state
    assert await upkeep.ran() == timedelta(minutes=4)


async def test_documents_are_found_by_their_names(books: Books, upkeep: UpkeepReads) -> None:
    await books.apply(*history(events.submitted(1), events.submitted(2)))
    wanted = [("default", events.name(1)), ("acme", events.name(2)), ("default", "unknown")]
    assert [one.document_id for one in await upkeep.among(wanted)] == [events.name(1)]
