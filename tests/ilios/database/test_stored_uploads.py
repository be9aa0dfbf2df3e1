"""An upload of a detected type is in work from its submission on, without a fetched event."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from schemas.documents import Blob, Stored
from tests import events
from tests.ilios.database.db import Database, history, open_database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        yield database


UPLOAD = Stored(3, events.SHA256, suffix="abc", detected="application/pdf")


async def test_a_detected_upload_is_in_work_from_its_submission_on(db: Database) -> None:
    held = structs.replace(events.submitted(2, source=UPLOAD), held=True)
    batch = events.batch(3, 1)
    in_batch = structs.replace(batch.documents[0], source=UPLOAD)
    batch = structs.replace(batch, documents=(in_batch,))
    await db.apply(*history(events.submitted(1, source=UPLOAD), held, batch))
    names = (events.id_of(1), events.id_of(2), in_batch.document_id)
    found = [await db.reads.document("default", name) for name in names]
    assert [(one.state, one.content_type) for one in found if one] == [
        ("processing", "application/pdf"),
        ("pending", "text/plain"),
        ("processing", "application/pdf"),
    ]
    key = f"originals/default/{events.id_of(1)}.abc"
    assert found[0]
    assert found[0].original == Blob(key, 3, events.SHA256)
    await db.apply(*history(*([events.submitted(9)] * 3), events.converted(1), events.converted(1)))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert (record.state, record.content_type) == ("completed", "application/pdf")
    assert len(await db.table("usage")) == 1


@pytest.mark.parametrize("times", [0, 1])
async def test_a_detected_submission_under_a_taken_id_changes_neither_type_nor_original(
    db: Database, times: int
) -> None:
    first = events.submitted(source=Stored(3, events.SHA256, suffix="abc"))
    stranger = events.submitted(source=structs.replace(UPLOAD, suffix="other"))
    await db.apply(*history(first, events.requeued(stranger, times)))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert record.original
    assert record.original.key == f"originals/default/{events.id_of(1)}.abc"
    assert (record.state, record.content_type) == ("pending", "text/plain")


async def test_a_requeued_upload_is_in_work_again(db: Database) -> None:
    submitted = events.submitted(source=UPLOAD)
    await db.apply(*history(submitted, events.failed(), events.requeued(submitted)))
    record = await db.reads.document("default", events.id_of(1))
    assert record
    assert (record.state, record.code, record.content_type) == (
        "processing",
        None,
        "application/pdf",
    )
