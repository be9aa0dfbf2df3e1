"""What is described of the resource of a document is what is served."""

import hashlib

from ilios.formats import FORMATS
from schemas.records import BatchCounts
from tests.ilios.edge.test_batches_status import batch
from tests.ilios.edge.test_openapi import asked
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID as DOCUMENT
from tests.ilios.edge.world import World, record


async def test_the_resource_of_a_document_is_answered_as_described_in_every_state(
    world: World,
) -> None:
    client = await world.serve()
    reading = ("getDocumentContent", "getDocumentOriginal")
    names = ("getDocument", *reading, "removeDocument")
    for name in names:
        await asked(client, name, 404)
        await asked(client, name, 400, id="wrong")
    world.reads.add(record(state="processing"))
    await asked(client, "getDocument", 200)
    for name in reading:
        await asked(client, name, 409)
    world.reads.add(record(state="failed", code="corrupt", reason="Damaged.", retryable=False))
    await asked(client, "getDocument", 200)
    for name in reading:
        await asked(client, name, 409)
    await world.add_completed(b"# Hello\n")
    await asked(client, "getDocument", 200)
    for output in FORMATS.keys() - {"chunks"}:  # those are lines of JSON
        await asked(client, "getDocumentContent", 200, params={"format": output})
    await asked(client, "getDocumentContent", 200, headers={"Accept": "application/json"})
    await asked(client, "getDocumentContent", 406, headers={"Accept": "image/png"})
    await asked(client, "getDocumentContent", 400, params={"format": "xml"})
    await asked(client, "getDocumentOriginal", 200)
    tag = f'"{hashlib.sha256(b"# Hello" + bytes([10])).hexdigest()}"'
    await asked(client, "getDocumentContent", 304, headers={"If-None-Match": tag})
    await asked(client, "getDocumentContent", 412, headers={"If-Match": '"other"'})
    await asked(client, "getDocumentContent", 206, headers={"Range": "bytes=0-1"})
    await asked(client, "getDocumentContent", 416, headers={"Range": "bytes=999-"})
    world.reads.add(record(state="deleted", removal="requested"))
    await asked(client, "getDocument", 200)
    for name in reading:
        await asked(client, name, 410)
    await asked(client, "removeDocument", 200)
    world.reads.error = RuntimeError("database is locked")
    for name in names:
        await asked(client, name, 500)


async def test_waits_and_the_cancellation_of_a_batch_are_answered_as_described(
    world: World,
) -> None:
    client = await world.serve(removal_timeout=0)
    await asked(client, "cancelBatch", 404)
    await asked(client, "cancelBatch", 400, id="wrong")
    world.batches.add(batch(progress=BatchCounts(total=1, completed=1)))
    await asked(client, "cancelBatch", 200)
    world.reads.add(record(document_id=f"{DOCUMENT}001", batch_id=DOCUMENT, state="pending"))
    await asked(client, "cancelBatch", 202)
    for prefer in ("wait=0", "respond-async, cancel-on-disconnect"):
        for name in ("convert", "createDocument"):
            await asked(client, name, 202, data=form_data(), headers={"Prefer": prefer})
    for name in ("getDocument", "batchStatus"):
        await asked(client, name, 400, params={"wait": "61"})
    await asked(client, "batchStatus", 200, params={"wait": "60"})
