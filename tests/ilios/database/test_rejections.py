"""Rows of rejected submissions: any grouping gives the same, and valid submissions replace them."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from actors.writes import LogEntry
from ilios.database.recovery.replay import LogIndex
from ilios.database.recovery.verify import check_against_log
from schemas.documents import AnyDocumentEvent
from schemas.events import AnyEvent
from tests import batch_events, events
from tests.ilios.database.db import history, open_database

BATCH = batch_events.submitted(documents=1)
SECOND_OF_ITS_ID = batch_events.submitted(documents=2)


async def rows_of(path: Path, groups: Sequence[Sequence[LogEntry]]) -> list[tuple[object, ...]]:
    async with open_database(path) as db:
        for group in groups:
            await db.apply(*group)
        return await db.table("documents")


@pytest.mark.parametrize("rejection_first", [True, False])
async def test_a_batch_without_effect_replaces_no_rejected_document(
    tmp_path: Path,
    rejection_first: bool,  # noqa: FBT001
) -> None:
    rejected = batch_events.of(events.rejected(), 2)
    later: list[AnyEvent] = [rejected, SECOND_OF_ITS_ID]
    if not rejection_first:
        later.reverse()
    entries = history(BATCH, *later)
    together = await rows_of(tmp_path / "one.db", [entries])
    assert len(together) == 2
    assert together == await rows_of(tmp_path / "another.db", [[entry] for entry in entries])


@pytest.mark.parametrize(
    "between", [(events.archived(),), (events.archived(), events.deleted(cause="expired"))]
)
@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize("in_one_group", [True, False])
async def test_a_valid_submission_replaces_an_archived_or_expired_rejected_one(
    tmp_path: Path,
    between: tuple[AnyDocumentEvent, ...],
    in_one_group: bool,  # noqa: FBT001
    in_batch: bool,  # noqa: FBT001
) -> None:
    path = tmp_path / "ilios.db"
    before: list[AnyDocumentEvent] = [events.rejected(), *between]
    if in_batch:
        before = [batch_events.of(event, 1) for event in before]
    entries = history(*before, BATCH if in_batch else events.submitted())
    await rows_of(path, [entries] if in_one_group else [[entry] for entry in entries])
    index = LogIndex()
    for entry in entries:
        index.add(entry.sequence, entry.event)
    async with open_database(path) as db:
        record = await db.reads.document("default", before[0].document_id)
    assert record
    assert (record.state, record.code, record.removed_at) == ("pending", None, None)
    assert check_against_log(path, index, None) == []


async def test_no_other_failed_document_is_replaced_by_its_repetition(tmp_path: Path) -> None:
    # Sequences begin again on a new log.
    failed = msgspec.structs.replace(events.entry(2, events.failed()), sequence=1)
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(events.entry(1, events.submitted()))
        await db.apply(failed, created="2026-02-15T10:30:00+00:00")
        before = await db.table("documents")
        await db.apply(events.entry(2, events.submitted()), created="2026-02-15T10:30:00+00:00")
        assert await db.table("documents") == before
