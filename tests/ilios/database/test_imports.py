"""An imported document has its times and prices, and changes nothing that is there."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from ilios.database.queries import SqliteBatchQueries
from schemas.documents import DocumentSubmitted, Stored
from schemas.imports import DocumentImported
from tests import events
from tests.ilios.database.db import Database, history, open_database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        yield database


async def test_an_import_has_the_times_and_the_bill_of_before_and_is_applied_once(
    db: Database,
) -> None:
    imported = history(events.imported_batch(), events.imported(), events.imported_failure(2))
    await db.apply(*imported)
    before = [await db.table(name) for name in ("documents", "usage", "batches", "history")]
    record = await db.reads.document("default", events.id_of(1))
    assert record is not None
    assert (record.state, record.submitted_at) == ("completed", events.SUBMITTED_AT)
    assert record.finished_at == events.COMPLETED_AT
    bills = await db.connection.fetchall(
        "SELECT pages, unit_micros, base_micros, margin_percent, total_micros, created_at "
        "FROM usage"
    )
    at = int(events.COMPLETED_AT.timestamp() * 1000)
    assert bills == [(3, 20_000, 60_000, 30, 78_000, at)]
    steps = await db.connection.fetchall(
        "SELECT event, at FROM history WHERE document_id = ? ORDER BY at", (events.id_of(1),)
    )
    assert [event for event, _ in steps] == ["submitted", "completed"]
    assert steps[1] == ("completed", at)
    batch = await SqliteBatchQueries(db.connection).batch("default", "batch0000000000000000001")
    assert batch is not None
    assert (batch.progress.completed, batch.completed_at) == (1, events.COMPLETED_AT)
    await db.apply(*history(events.imported(), events.imported_failure(2), first=10))
    after = [await db.table(name) for name in ("documents", "usage", "batches", "history")]
    assert after == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_first_event_with_an_id_counts_in_one_group_as_in_several(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    both = (events.submitted(), events.imported())
    log = history(*(both[place] for place in order), events.failed())
    async with (
        open_database(tmp_path / "together.db") as together,
        open_database(tmp_path / "apart.db") as apart,
    ):
        await together.apply(*log)
        for entry in log:
            await apart.apply(entry)
        for name in ("documents", "usage", "history"):
            assert await together.table(name) == await apart.table(name)
        ((state,),) = await together.connection.fetchall("SELECT state FROM documents")
        assert state == ("completed" if order[0] else "failed")


async def test_an_imported_failure_can_be_requeued_in_its_batch(db: Database) -> None:
    failure = msgspec.structs.replace(
        events.imported_failure(), batch_id="batch0000000000000000001"
    )
    again = DocumentSubmitted(
        document_id=events.id_of(1), requeues=1, source=Stored(3, events.SHA256, suffix="imported")
    )
    await db.apply(*history(events.imported_batch(), failure, again))
    record = await db.reads.document("default", events.id_of(1))
    assert record is not None
    assert (record.state, record.requeues) == ("pending", 1)
    assert record.batch_id == "batch0000000000000000001"


@pytest.mark.parametrize("left_out", ["usage", "markdown"])
def test_an_import_with_half_an_end_is_refused(left_out: str) -> None:
    members = msgspec.structs.asdict(events.imported())
    with pytest.raises(ValueError, match="markdown and usage, or a code"):
        DocumentImported(**members | {left_out: None})
