"""A requeued document starts again; events from before the requeue have no effect."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.documents import AnyDocumentEvent, DocumentArchived
from tests import events
from tests.ilios.database.db import Database, history, open_database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        yield database


@pytest.mark.parametrize(
    "again",
    [
        [events.submitted(), events.fetched(), events.converted()],
        [events.fetched(), events.converted()],
        [events.converted()],
    ],
    ids=["from its beginning", "from the engine on", "from its result on"],
)
@pytest.mark.parametrize("grouped", ["in one group", "one by one"])
async def test_a_failed_document_that_is_requeued_completes_and_is_billed_once(
    db: Database, again: list[AnyDocumentEvent], grouped: str
) -> None:
    requeued = [events.requeued(event) for event in again]
    entries = history(events.submitted(), events.fetched(), events.failed(), *requeued, *requeued)
    for group in [entries] if grouped == "in one group" else [[entry] for entry in entries]:
        await db.apply(*group)
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert (record.state, record.code, record.reason, record.requeues) == (
        "completed",
        None,
        None,
        1,
    )
    assert len(await db.table("usage")) == 1


async def test_events_before_a_requeue_do_not_count(db: Database) -> None:
    late: list[AnyDocumentEvent] = [events.failed(code="late"), events.converted(pages=99)]
    late.insert(1, events.fetched(key="late"))
    await db.apply(*history(events.submitted(), events.failed()))
    await db.apply(*history(events.requeued(events.fetched()), *late, first=3))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert (record.state, record.code, record.finished_at) == ("processing", None, None)
    assert record.original == events.fetched().original
    assert await db.table("usage") == []


@pytest.mark.parametrize("end", [events.converted(), events.cancelled(), events.archived()])
async def test_only_failed_documents_can_be_requeued(db: Database, end: AnyDocumentEvent) -> None:
    ended = [events.failed(), end] if isinstance(end, DocumentArchived) else [end]
    await db.apply(*history(events.submitted(), events.fetched(), *ended))
    before = await db.table("documents"), await db.table("usage")
    again: list[AnyDocumentEvent] = [events.submitted(), events.fetched(), events.converted()]
    await db.apply(*history(*map(events.requeued, again), first=6))
    assert (await db.table("documents"), await db.table("usage")) == before
