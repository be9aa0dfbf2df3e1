"""The history of a document is written with its changes, once, whatever is applied twice."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from ilios.database.history import MAX_REQUEUES
from ilios.database.recovery.comparison import compare
from schemas.events import AnyEvent
from schemas.records import DocumentHistory
from tests import batch_events, events
from tests.ilios.database.db import Database, history, open_database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        yield database


async def read(db: Database, document_id: str = events.id_of(1)) -> DocumentHistory:
    return await db.reads.history("default", document_id)


async def steps(db: Database, document_id: str = events.id_of(1)) -> set[tuple[str, int]]:
    return {(step.event, step.requeues) for step in (await read(db, document_id)).steps}


@pytest.mark.parametrize("grouped", ["in one group", "one by one"])
async def test_a_requeued_document_has_the_steps_of_both_attempts(
    db: Database, grouped: str
) -> None:
    second = [events.requeued(one) for one in (events.fetched(), events.converted())]
    first: list[AnyEvent] = [events.submitted(), events.fetched(), events.failed(code="corrupt")]
    entries = history(*first, *first, *second, *second, events.requeued(events.archived()))
    for group in [entries] if grouped == "in one group" else [[entry] for entry in entries]:
        await db.apply(*group)
    before = {("submitted", 0), ("fetched", 0), ("failed", 0)}
    again = {("requeued", 1), ("fetched", 1), ("completed", 1), ("archived", 1)}
    assert await steps(db) == before | again
    found = await read(db)
    (failed,) = (step for step in found.steps if step.event == "failed")
    assert (failed.code, failed.attempts) == ("corrupt", 2)
    assert found.total_micros == 1000 * 130 // 100 * (events.converted().pages or 0)


@pytest.mark.parametrize("grouped", ["in one group", "one by one"])
async def test_a_document_that_is_fetched_twice_has_the_first_time(
    db: Database, grouped: str
) -> None:
    entries = history(events.submitted(), events.fetched(key="one"), events.fetched(key="two"))
    for group in [entries] if grouped == "in one group" else [[entry] for entry in entries]:
        await db.apply(*group)
    (fetched,) = (step for step in (await read(db)).steps if step.event == "fetched")
    assert fetched.at == entries[1].stored_at


async def test_events_without_effect_leave_no_step(db: Database) -> None:
    late: list[AnyEvent] = [events.fetched(), events.failed(), events.submitted()]
    await db.apply(*history(events.submitted(), events.converted(), *late))
    assert await steps(db) == {("submitted", 0), ("completed", 0)}


async def test_of_a_deleted_document_only_the_deletion_remains(db: Database) -> None:
    await db.apply(*history(events.submitted(), events.converted(), events.deleted()))
    assert await steps(db) == {("deleted", 0)}
    await db.apply(*history(events.submitted(2), events.cancelled(2), events.deleted(2), first=4))
    assert await steps(db, events.id_of(2)) == {("submitted", 0), ("cancelled", 0)}


async def test_a_valid_submission_replaces_the_history_of_a_rejected_one(db: Database) -> None:
    await db.apply(*history(events.rejected()))
    assert await steps(db) == {("rejected", 0)}
    await db.apply(*history(events.submitted(), first=2))
    assert await steps(db) == {("submitted", 0)}


async def test_documents_of_a_batch_are_submitted_with_it(db: Database) -> None:
    batch = batch_events.submitted()
    (document, *_) = batch.documents
    await db.apply(*history(batch))
    assert await steps(db, document.document_id) == {("submitted", 0)}


async def test_the_rows_of_one_document_are_bounded(db: Database) -> None:
    published: list[AnyEvent] = [events.submitted(), events.failed()]
    for number in range(1, 3 * MAX_REQUEUES):
        again = (events.submitted(), events.fetched(), events.failed())
        published += [events.requeued(one, number) for one in again]
    await db.apply(*history(*published))
    assert len((await read(db)).steps) == 3 * MAX_REQUEUES - 1


async def test_a_rebuild_is_compared_with_a_database_from_before_the_history(
    tmp_path: Path,
) -> None:
    for name in ("new.db", "old.db"):
        async with open_database(tmp_path / name) as db:
            await db.apply(*history(events.submitted(), events.converted()))
    same = compare(tmp_path / "new.db", tmp_path / "old.db")
    assert all(table.identical for table in same.tables)
    assert "history" in {table.table for table in same.tables}
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.execute("UPDATE history SET at = 1 WHERE event = 'submitted'")
        old.commit()
    (changed,) = (
        table.changed
        for table in compare(tmp_path / "new.db", tmp_path / "old.db").tables
        if not table.identical
    )
    assert changed == (("default", events.id_of(1), 0, "submitted"),)
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.execute("DROP TABLE history")
        old.commit()
    earlier = compare(tmp_path / "new.db", tmp_path / "old.db")
    assert earlier.fault is None
    assert all(table.identical for table in earlier.tables)
