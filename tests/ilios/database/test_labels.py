"""Labels in the database: stored with a submission, and erased with what they belong to."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ilios.database.queries import SqliteBatchQueries
from schemas.documents import DocumentCompleted
from schemas.events import AnyEvent
from tests import batch_events, events
from tests.ilios.database.db import history, open_database

LABELS: dict[str, Any] = {"reference": "case 17", "metadata": {"b": 1, "a": [1.5, None]}}


def labelled_batch() -> AnyEvent:
    batch = batch_events.submitted(documents=2)
    one, two = batch.documents
    one = msgspec.structs.replace(one, reference="first")
    return msgspec.structs.replace(batch, documents=(one, two), **LABELS)


async def test_a_completed_document_is_announced_with_its_labels(tmp_path: Path) -> None:
    submitted = msgspec.structs.replace(events.submitted(), **LABELS)
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(*history(submitted, events.fetched()))
        (completed,) = await db.apply(*history(events.converted(), first=3))  # type: ignore[misc]
        record = await db.reads.document("default", events.id_of(1))
    assert record
    assert isinstance(completed, DocumentCompleted)
    for found in (record, completed):
        assert (found.reference, found.metadata) == ("case 17", {"b": 1, "a": [1.5, None]})


async def test_a_rejected_document_has_the_labels_that_could_be_read(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        rejected = msgspec.structs.replace(events.rejected(), **LABELS)
        announced = await db.apply(*history(rejected))
        assert list(announced) == [rejected]  # type: ignore[arg-type, comparison-overlap]
        record = await db.reads.document("default", events.id_of(1))
    assert record
    assert (record.reference, record.metadata) == ("case 17", LABELS["metadata"])


@pytest.mark.parametrize(
    "removal",
    [
        [events.cancelled()],
        [events.fetched(), events.converted(), events.deleted()],
        [events.failed(), events.archived(), events.deleted(cause="expired")],
    ],
)
async def test_labels_are_erased_with_the_document(tmp_path: Path, removal: list[AnyEvent]) -> None:
    submitted = msgspec.structs.replace(events.submitted(), **LABELS)
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(*history(submitted, *removal))
        rows = await db.table("documents")
    assert len(rows) == 1
    assert not any("case 17" in str(value) or '"b":1' in str(value) for value in rows[0])


@pytest.mark.parametrize("in_one_group", [True, False])
async def test_labels_of_a_batch_are_erased_with_the_last_of_its_documents(
    tmp_path: Path,
    in_one_group: bool,  # noqa: FBT001
) -> None:
    first, second = (batch_events.of(events.cancelled(), place) for place in (1, 2))
    async with open_database(tmp_path / "ilios.db") as db:
        batches = SqliteBatchQueries(db.connection)
        await db.apply(*history(labelled_batch()))
        documents = await batches.documents("default", batch_events.id_of())
        assert [one.reference for one in documents] == ["first", None]
        if not in_one_group:
            await db.apply(*history(first, first=2))
            left = await batches.batch("default", batch_events.id_of())
            assert left
            assert (left.reference, left.metadata) == ("case 17", LABELS["metadata"])
            await db.apply(*history(second, first=3))
        else:
            await db.apply(*history(first, second, first=2))
        batch = await batches.batch("default", batch_events.id_of())
        rows = await db.table("documents")
    assert batch
    assert (batch.reference, batch.metadata) == (None, None)
    assert not any("first" in str(row) for row in rows)
