"""Responses about a removed or archived document, to reading and to waiting clients."""

import hashlib
from typing import Any

import msgspec
import pytest

from actors.blob_keys import archived_key
from schemas.documents import Blob, DocumentCancelled
from schemas.records import DocumentRecord
from tests.ilios.edge.test_documents import DOCUMENT, ORIGINAL, STATUS
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import CREATED_AT, ID, PDF, World, record

SHA256 = hashlib.sha256(PDF).hexdigest()
WHEN = "2026-01-15T10:30:00.123Z"


def removed(state: str, **fields: Any) -> DocumentRecord:
    cancelled = {"code": "cancelled", "reason": "The document was cancelled.", "retryable": False}
    usual: dict[str, Any] = {
        "state": state,
        "finished_at": CREATED_AT,
        "removed_at": CREATED_AT,
        "removal": "requested",
        "original_sha256": SHA256,
    }
    return record(**(usual | (cancelled if state == "cancelled" else {}) | fields))


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (removed("deleted"), "document_deleted"),
        (removed("cancelled"), "document_cancelled"),
        (removed("deleted", removal="expired"), "document_expired"),
    ],
)
async def test_a_removed_document_is_410_with_the_time_and_its_status_stays(
    world: World, document: DocumentRecord, code: str
) -> None:
    client = await world.serve()
    world.reads.add(document)
    for path in (DOCUMENT, ORIGINAL):
        async with client.get(path) as answer:
            body = await answer.json()
            assert (answer.status, answer.content_type) == (410, "application/problem+json")
        assert (body["code"], body["details"], body["id"]) == (code, {"deletedAt": WHEN}, ID)
        assert WHEN in body["error"]
    async with client.get(STATUS) as answer:
        status = await answer.json()
        assert answer.status == 200
        assert "Retry-After" not in answer.headers
    expected = {
        "id": ID,
        "status": document.state,
        "fileName": "paper.pdf",
        "fileSize": len(PDF),
        "createdAt": WHEN,
        "deletedAt": WHEN,
    }
    if document.state == "cancelled":
        expected |= {"error": "The document was cancelled.", "code": "cancelled"}
        expected |= {"retryable": False}
    else:
        expected |= {"processedAt": WHEN}
    assert status == expected


async def test_an_archived_document_is_still_served(world: World) -> None:
    client = await world.serve()
    document = await world.add_completed(b"# Hello\n")
    assert document.original is not None
    key = archived_key(document.original.key)
    await world.blobs.move(document.original.key, key)
    moved = Blob(key, document.original.size, document.original.sha256)
    world.reads.add(
        msgspec.structs.replace(document, state="archived", archived_at=CREATED_AT, original=moved)
    )
    async with client.get(DOCUMENT) as answer:
        assert (answer.status, await answer.read()) == (200, b"# Hello\n")
    async with client.get(ORIGINAL) as answer:
        assert (answer.status, await answer.read()) == (200, PDF)
    async with client.get(STATUS) as answer:
        body = await answer.json()
    assert (body["status"], body["archivedAt"], body["downloadUrl"]) == ("archived", WHEN, DOCUMENT)
    assert body["metadata"]["pages"] == 3


async def test_an_original_archived_before_it_is_persisted_is_found(
    world: World,
) -> None:
    client = await world.serve()
    document = await world.add_completed(b"x")
    assert document.original is not None
    await world.blobs.move(document.original.key, archived_key(document.original.key))
    for headers in ({}, {"Range": "bytes=0-3"}):
        async with client.get(ORIGINAL, headers=headers) as answer:
            assert answer.status in (200, 206)
            assert PDF.startswith(await answer.read())


async def test_a_failed_document_stays_failed_in_the_archive(world: World) -> None:
    client = await world.serve()
    world.reads.add(
        record(
            state="archived",
            archived_at=CREATED_AT,
            code="corrupt",
            reason="It is.",
            retryable=False,
        )
    )
    async with client.get(DOCUMENT) as answer:
        body = await answer.json()
        assert (answer.status, body["error"], body["code"]) == (500, "It is.", "corrupt")
    async with client.get(STATUS) as answer:
        body = await answer.json()
    assert (body["status"], body["code"], body["archivedAt"]) == ("failed", "corrupt", WHEN)


@pytest.mark.parametrize("path", [DOCUMENT, ORIGINAL])
async def test_a_document_erased_while_it_is_read_is_reported_as_deleted(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.serve()
    document = await world.add_completed(b"x")
    assert document.original is not None
    assert document.markdown is not None
    for blob in (document.original, document.markdown):
        await world.blobs.delete(blob.key)
    answers = iter([document, removed("deleted")])

    async def one_after_the_other(*_: str) -> DocumentRecord:
        return next(answers)

    monkeypatch.setattr(world.reads, "document", one_after_the_other)
    async with client.get(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (410, "document_deleted")


async def test_a_conversion_that_is_cancelled_meanwhile_ends_with_410(world: World) -> None:
    async def cancel(submitted: Any) -> None:
        world.outcomes.end(
            DocumentCancelled(document_id=submitted.document_id, priority=submitted.priority)
        )

    world.publisher.on_submission = cancel
    client = await world.serve()
    async with client.post("/v1/convert", data=form_data()) as answer:
        body = await answer.json()
    assert (answer.status, body["code"]) == (410, "document_cancelled")
    assert body["id"] == world.publisher.submitted.document_id


async def test_a_cancellation_that_was_missed_is_seen_in_the_database(world: World) -> None:
    async def miss(submitted: Any) -> None:
        document = removed("cancelled")
        world.reads.add(msgspec.structs.replace(document, document_id=submitted.document_id))

    world.publisher.on_submission = miss
    client = await world.serve(poll_interval=0.01)
    async with client.post("/v1/convert", data=form_data()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (410, "document_cancelled")
