"""Queries of the janitor and of the blob check, and the writes of the janitor."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.writes import (
    ClockReading,
    ClockState,
    DocumentRef,
    Hold,
    LogEntry,
    MarkClock,
    MarkErased,
    MarkRunningTime,
    MarkSweep,
    Write,
)
from ilios.database import queue_statements, rows, sqlite, statements
from ilios.database.queries import (
    SAMPLES_PER_KIND,
    SqliteBlobSamples,
    SqliteDocumentQueries,
    SqliteMaintenanceQueries,
)
from schemas.documents import Blob, Stored
from tests import events
from tests.ilios.database.db import Database, history, open_database

NOW = datetime(2026, 1, 16, tzinfo=UTC)
YEAR_LATER = events.SUBMITTED_AT + timedelta(days=365)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        yield database


@pytest.fixture
def queries(db: Database) -> SqliteMaintenanceQueries:
    return SqliteMaintenanceQueries(db.connection)


async def commit(db: Database, write: Write[None]) -> None:
    answers = await db.store.commit([write])  # type: ignore[list-item]
    assert answers == [None]


async def test_only_ended_documents_expire_and_not_early(
    db: Database, queries: SqliteMaintenanceQueries
) -> None:
    await db.apply(
        *history(
            *(events.submitted(number) for number in range(1, 5)),
            events.fetched(1),
            events.converted(1),
            events.failed(2),
            events.fetched(3),
        )
    )
    early = YEAR_LATER - timedelta(seconds=1)
    assert await queries.expired_documents(early, 10, with_archived=True) == []
    due = await queries.expired_documents(YEAR_LATER, 10, with_archived=True)
    assert [one.document_id for one in due] == [events.id_of(1), events.id_of(2)]
    assert len(await queries.expired_documents(YEAR_LATER, 1, with_archived=True)) == 1
    assert await queries.count_expirable() == 2


async def test_archived_documents_expire_only_on_request(
    db: Database, queries: SqliteMaintenanceQueries
) -> None:
    published = (events.submitted(), events.fetched(), events.converted(), events.archived())
    await db.apply(*history(*published))
    assert await queries.expired_documents(YEAR_LATER, 10, with_archived=False) == []
    (due,) = await queries.expired_documents(YEAR_LATER, 10, with_archived=True)
    assert (due.state, due.archived_at is not None) == ("archived", True)
    assert due.original == Blob("archive/original", 3, events.SHA256)
    assert due.markdown == events.converted().markdown


async def test_removed_documents_are_to_be_erased_until_that_is_noted(
    db: Database, queries: SqliteMaintenanceQueries
) -> None:
    source = Stored(size=3, sha256=events.SHA256, suffix="abc")
    await db.apply(
        *history(
            events.submitted(1, source=source),
            events.submitted(2),
            events.fetched(2),
            events.converted(2),
            events.cancelled(1),
            events.deleted(2),
        )
    )
    cancelled, deleted = await queries.documents_to_erase(10)
    assert (cancelled.state, deleted.state) == ("cancelled", "deleted")
    assert cancelled.original
    assert cancelled.original.key == f"originals/default/{events.id_of(1)}.abc"
    await commit(db, MarkErased((DocumentRef("default", events.id_of(1)),), NOW))
    assert [one.document_id for one in await queries.documents_to_erase(10)] == [events.id_of(2)]
    receipt = await db.reads.document("default", events.id_of(1))
    assert receipt
    assert (receipt.original, receipt.original_sha256) == (None, events.SHA256)
    assert receipt.erased_at == NOW
    assert len(await db.table("usage")) == 1, "what was completed stays billed"


async def test_documents_not_removed_cannot_be_marked_erased(db: Database) -> None:
    await db.apply(*history(events.submitted(), events.fetched(), events.converted()))
    await commit(db, MarkErased((DocumentRef("default", events.id_of(1)),), NOW))
    document = await db.reads.document("default", events.id_of(1))
    assert document
    assert (document.erased_at, document.markdown) == (None, events.converted().markdown)


async def test_an_expired_deletion_touches_nothing_that_is_under_way(db: Database) -> None:
    await db.apply(*history(events.submitted(), events.deleted(cause="expired")))
    document = await db.reads.document("default", events.id_of(1))
    assert document
    assert document.state == "pending"


async def test_unfinished_documents_come_oldest_first_in_portions(
    db: Database, queries: SqliteMaintenanceQueries
) -> None:
    hour = timedelta(hours=1)
    born = [events.SUBMITTED_AT - hour, events.SUBMITTED_AT, events.SUBMITTED_AT]
    await db.apply(
        *history(
            *(events.submitted(n, submitted_at=at) for n, at in enumerate(born, 1)),
            events.submitted(4),
            events.failed(4),
        )
    )
    assert await queries.unfinished_documents(events.SUBMITTED_AT - 2 * hour, None, 10) == []
    first = await queries.unfinished_documents(NOW, None, 2)
    assert [one.document_id for one in first] == [events.id_of(1), events.id_of(2)]
    rest = await queries.unfinished_documents(NOW, first[-1], 2)
    assert [one.document_id for one in rest] == [events.id_of(3)]


async def test_unfinished_documents_of_a_clock_that_was_ahead_are_not_forgotten(
    db: Database, queries: SqliteMaintenanceQueries
) -> None:
    submitted = [events.submitted(1), events.submitted(2, submitted_at=None)]
    ahead = NOW + timedelta(days=400)
    entries = [
        LogEntry(n, at, published)
        for n, at, published in zip((1, 2), (NOW, ahead), submitted, strict=True)
    ]
    await db.apply(*entries)
    found = await queries.unfinished_documents(NOW + timedelta(days=1), None, 1)
    assert [one.document_id for one in found] == [events.id_of(1)]
    found = await queries.unfinished_documents(NOW + timedelta(days=1), found[0], 1)
    assert [one.document_id for one in found] == [events.id_of(2)]


async def test_the_first_sweep_is_remembered(
    db: Database, queries: SqliteMaintenanceQueries
) -> None:
    assert await queries.first_sweep_at() is None
    for minutes in range(3):
        await commit(db, MarkSweep(NOW + timedelta(minutes=minutes)))
    assert await queries.first_sweep_at() == NOW


async def test_how_long_the_service_has_run_is_remembered_and_never_less(
    db: Database, queries: SqliteMaintenanceQueries
) -> None:
    assert await queries.running_time() == timedelta()
    for minutes in (3, 5, 4):
        await commit(db, MarkRunningTime(timedelta(minutes=minutes)))
    assert await queries.running_time() == timedelta(minutes=5)


@pytest.mark.parametrize("hold", [None, Hold(timedelta(minutes=3), timedelta(days=400))])
async def test_the_trusted_clock_state_is_persisted(
    db: Database, queries: SqliteMaintenanceQueries, hold: Hold | None
) -> None:
    assert await queries.clock_state() == ClockState()
    await commit(db, MarkRunningTime(timedelta(minutes=1)))
    state = ClockState(
        trusted=ClockReading(NOW, timedelta(minutes=2)),
        latest=ClockReading(NOW + timedelta(days=400), timedelta(minutes=4)),
        hold=hold,
    )
    await commit(db, MarkClock(ClockState(hold=Hold(timedelta(), timedelta(days=1)))))
    await commit(db, MarkClock(state))
    await commit(db, MarkSweep(NOW))
    assert await queries.clock_state() == state
    assert await queries.running_time() == timedelta(minutes=4)


async def test_documents_are_found_by_their_names(
    db: Database, queries: SqliteMaintenanceQueries
) -> None:
    await db.apply(*history(events.submitted(1), events.submitted(2)))
    wanted = [("default", events.id_of(1)), ("acme", events.id_of(2)), ("default", "unknown")]
    assert [one.document_id for one in await queries.lookup(wanted)] == [events.id_of(1)]


BORN = datetime(2026, 1, 15, tzinfo=UTC)
INSERT = """
INSERT INTO documents (
    tenant, id, state, file_name, content_type, priority, retention_days, operation, submitted_at,
    submitted_sequence, expires_at, original_key, markdown_key, removed_at
) VALUES ('default', :id, :state, 'a.pdf', 'application/pdf', 5, 1, 'convert', :at, 1, :at,
    :original, :markdown, :removed)
"""


async def add(
    connection: sqlite.Database, number: int, state: str, *, removed: bool = False
) -> None:
    is_done = state in ("completed", "archived")
    values = {
        "id": f"d{number}",
        "state": state,
        "at": rows.to_milliseconds(BORN + timedelta(hours=number)),
        "original": None if state == "pending" else f"original-{number}",
        "markdown": f"markdown-{number}" if is_done else None,
        "removed": rows.to_milliseconds(BORN) if removed else None,
    }
    await connection.execute(INSERT, values)


async def test_a_sample_has_the_oldest_and_the_newest_blobs(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        names = SqliteBlobSamples(db.connection)
        assert await names.sample_keys() == []
        await add(db.connection, 0, "pending")  # whose bytes may lie elsewhere yet
        await add(db.connection, 1, "deleted", removed=True)
        assert await names.sample_keys() == []
        for number in range(2, 12):
            await add(db.connection, number, "completed")
        await add(db.connection, 12, "processing")
        found = await names.sample_keys()
        completed = [2, 3, 11, 10]
        assert found[: 2 * len(completed)] == [
            f"{kind}-{number}" for number in completed for kind in ("original", "markdown")
        ]
        assert found[2 * len(completed) :] == ["original-12"]
        assert len(completed) == 2 * SAMPLES_PER_KIND
        since = await names.sample_keys(BORN + timedelta(hours=10))
        assert since == ["original-11", "markdown-11", "original-12"]


async def test_a_sample_is_found_by_an_index(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        plan = await db.connection.fetchall(
            f"EXPLAIN QUERY PLAN {statements.SAMPLED_BLOBS}", {"since": 0, "limit": 1}
        )
    lines = [line for *_, line in plan if "documents" in line]
    assert len(lines) == 4
    assert all("USING INDEX" in line and "TEMP B-TREE" not in line for line in lines), lines


async def test_the_queue_has_unfinished_documents_of_all_tenants_by_an_index(db: Database) -> None:
    await db.apply(
        *history(
            events.submitted(1),
            events.failed(1),
            events.submitted(2),
            replace(events.submitted(3), tenant="acme"),
        )
    )
    found = await SqliteDocumentQueries(db.connection).queue(limit=10)
    assert {(one.tenant, one.document_id, one.sequence) for one in found} == {
        ("default", events.id_of(2), 3),
        ("acme", events.id_of(3), 4),
    }
    assert len(await SqliteDocumentQueries(db.connection).queue(limit=1)) == 1
    plan = await db.connection.fetchall(
        f"EXPLAIN QUERY PLAN {queue_statements.QUEUE}", {"limit": 1}
    )
    assert [line for *_, line in plan] == ["SCAN documents USING INDEX documents_unfinished"], (
        "its cost does not grow with what has ended, and nothing is sorted"
    )
