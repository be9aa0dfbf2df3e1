"""Uploads in a request of their own: how much, how often, and that it counts once."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from aiohttp import ClientSession, MultipartWriter

from actors.blob_keys import original_key, upload_key
from bus.errors import BusUnavailable
from ilios.edge.reservations import RESERVATION_SUFFIX
from ilios.edge.upload_urls import UPLOAD_SUFFIX, URL_LIFETIME
from schemas.documents import DocumentSubmitted, Stored
from tests.ilios.edge.test_documents import submission
from tests.ilios.edge.test_removed_documents import WHEN, removed
from tests.ilios.edge.world import PDF, World, record
from tests.waiting import wait_until

ASK = "/api/documents/upload-url"
UPLOAD_REQUEST = {"fileName": "paper.pdf", "fileSize": len(PDF), "mimeType": "application/pdf"}
CONFIRMED = {"status": "pending", "message": "Upload confirmed, queued for processing"}


async def request_upload_url(
    client: ClientSession, headers: Any = None, **wanted: Any
) -> dict[str, Any]:
    """Ask for an upload URL; returns the answer, with the URL without its origin."""
    async with client.post(ASK, json=UPLOAD_REQUEST | wanted, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
        body: dict[str, Any] = await answer.json()
    url = urlsplit(body["uploadUrl"])
    body["path"] = f"{url.path}?{url.query}"
    return body


async def put(client: ClientSession, path: str, data: Any = PDF) -> tuple[int, str]:
    """Upload; returns the status and the code of the problem, if it was one."""
    async with client.put(path, data=data) as answer:
        return answer.status, (await answer.json())["code"] if answer.status >= 400 else ""


async def complete(
    client: ClientSession, document_id: str, headers: Any = None
) -> tuple[int, dict[str, Any]]:
    path = f"/api/documents/upload-complete/{document_id}"
    async with client.post(path, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_what_was_uploaded_by_url_is_submitted_with_what_was_asked_for(
    world: World,
) -> None:
    client = await world.serve()
    asked = await request_upload_url(client, fileName="../Größe\n.pdf", retentionDays=7)
    document_id = asked["id"]
    assert asked["expiresIn"] == URL_LIFETIME == 3600
    assert asked["s3Key"] == upload_key(document_id)
    assert asked["uploadUrl"].startswith(f"http://127.0.0.1:{world.port}/api/uploads/")
    assert world.publisher.published == []
    assert await put(client, asked["path"]) == (200, "")
    assert world.publisher.published == []
    assert await complete(client, document_id) == (200, {"id": document_id} | CONFIRMED)
    event = world.publisher.submitted
    sha256 = hashlib.sha256(PDF).hexdigest()
    assert event.source == Stored(len(PDF), sha256, UPLOAD_SUFFIX, "application/pdf")
    assert (event.file_name, event.content_type) == ("Größe.pdf", "application/pdf")
    assert (event.retention_days, event.priority, event.operation) == (7, 5, "convert")
    original = await world.blobs.digest(original_key("default", document_id, UPLOAD_SUFFIX))
    assert original.sha256 == sha256
    assert len(world.stored_files()) == 1  # neither the upload nor the reservation is left


async def test_an_upload_is_answered_with_what_it_is_and_can_be_done_again(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client, fileSize=3)
    for content in (b"one", b"two"):
        async with client.put(asked["path"], data=content) as answer:
            assert answer.status == 200
            assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
    await complete(client, asked["id"])
    source = world.publisher.submitted.source
    assert isinstance(source, Stored)
    assert source.sha256 == hashlib.sha256(b"two").hexdigest()


async def test_completing_again_is_the_same_answer_and_one_submission(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await put(client, asked["path"])
    answers = await asyncio.gather(*(complete(client, asked["id"]) for _ in range(10)))
    answers += [await complete(client, asked["id"])]
    assert answers == [(200, {"id": asked["id"]} | CONFIRMED)] * 11
    assert len(world.publisher.published) == 1
    assert await put(client, asked["path"]) == (409, "upload_completed")


async def test_options_that_come_with_the_completion_are_refused(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await put(client, asked["path"])
    path = f"/api/documents/upload-complete/{asked['id']}"
    parts = MultipartWriter("form-data")
    parts.append("1").set_content_disposition("form-data", name="pages")
    for body in ({"json": {"pages": "1"}}, {"data": {"pages": "1"}}, {"data": parts}):
        async with client.post(path, **body) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "unknown_field")
    assert world.publisher.published == []
    async with client.post(path, json={}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_completing_after_the_end_is_still_the_same_answer(world: World, state: str) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await put(client, asked["path"])
    await complete(client, asked["id"])
    await world.blobs.delete(original_key("default", asked["id"], UPLOAD_SUFFIX))
    world.log.clear()
    world.reads.add(msgspec.structs.replace(record(state=state), document_id=asked["id"]))
    assert await complete(client, asked["id"]) == (200, {"id": asked["id"]} | CONFIRMED)
    assert await put(client, asked["path"]) == (409, "upload_completed")
    assert len(world.publisher.published) == 1


async def test_what_was_deleted_since_cannot_be_completed(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    world.reads.add(msgspec.structs.replace(removed("deleted"), document_id=asked["id"]))
    status, body = await complete(client, asked["id"])
    assert (status, body["code"]) == (410, "document_deleted")


async def test_a_completion_that_was_broken_off_after_the_move_is_taken_up_again(
    world: World,
) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await put(client, asked["path"])
    world.publisher.error = BusUnavailable("no")
    assert (await complete(client, asked["id"]))[0] == 503
    # The bytes are at their last place: nobody may change them under the feet of the next try.
    assert await put(client, asked["path"], b"x" * len(PDF)) == (409, "upload_completed")
    world.publisher.error = None
    assert (await complete(client, asked["id"]))[0] == 200
    source = world.publisher.submitted.source
    assert isinstance(source, Stored)
    assert source.sha256 == hashlib.sha256(PDF).hexdigest()


async def test_a_completion_whose_acknowledgement_was_lost_is_not_done_twice(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await put(client, asked["path"])
    world.publisher.error_after_publish = BusUnavailable("no")
    assert (await complete(client, asked["id"]))[0] == 503
    world.publisher.error_after_publish = None
    assert (await complete(client, asked["id"]))[0] == 200
    assert isinstance(world.publisher.submitted, DocumentSubmitted)
    assert await world.blobs.size(original_key("default", asked["id"], UPLOAD_SUFFIX)) == len(PDF)


async def test_of_two_edges_that_complete_at_once_one_submits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await put(client, asked["path"])
    faster = submission(document_id=asked["id"])
    await world.publisher.publish(faster)

    async def not_yet(*_: str) -> None:
        return None

    monkeypatch.setattr(world.log, "submission", not_yet)
    assert await complete(client, asked["id"]) == (200, {"id": asked["id"]} | CONFIRMED)
    assert world.publisher.published == [faster]
    # The one that counts may be about these very bytes.
    assert await world.blobs.size(original_key("default", asked["id"], UPLOAD_SUFFIX)) == len(PDF)


async def test_nothing_uploaded_is_400_and_never_asked_for_is_404(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    status, body = await complete(client, asked["id"])
    assert (status, body["error"], body["code"]) == (400, "File upload failed", "upload_missing")
    status, body = await complete(client, "z" * 24)
    assert (status, body["error"]) == (404, "Document not found")
    assert (await complete(client, "nonsense"))[0] == 400
    assert (await put(client, asked["path"]))[0] == 200  # it was not too late
    assert (await complete(client, asked["id"]))[0] == 200


async def test_bytes_of_another_size_that_came_past_the_edge_are_discarded(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await world.blobs.put_bytes(upload_key(asked["id"]), b"too short")
    status, body = await complete(client, asked["id"])
    assert (status, body["code"]) == (400, "upload_size_differs")
    assert body["details"] == {"fileSize": 9, "expectedSize": len(PDF)}
    assert world.publisher.published == []
    assert len(world.stored_files()) == 1
    assert (await put(client, asked["path"]))[0] == 200
    assert (await complete(client, asked["id"]))[0] == 200


async def _chunked(content: bytes) -> Any:
    yield content[:5]
    yield content[5:]


@pytest.mark.parametrize("content", [b"", PDF[:-1], PDF + b"!"])
async def test_only_the_size_that_was_asked_for_is_taken(world: World, content: bytes) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    before = world.stored_files()
    assert await put(client, asked["path"], content) == (400, "upload_size_differs")
    assert await put(client, asked["path"], _chunked(content)) == (400, "upload_size_differs")
    assert world.stored_files() == before
    assert await put(client, asked["path"], _chunked(PDF)) == (200, "")


async def test_a_reservation_that_was_swept_takes_nothing_more(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await world.blobs.delete(upload_key(asked["id"], RESERVATION_SUFFIX))
    assert await put(client, asked["path"]) == (409, "upload_completed")
    assert (await complete(client, asked["id"]))[0] == 404
    assert world.stored_files() == set[Path]()


async def test_an_upload_that_ends_after_its_completion_is_discarded(world: World) -> None:
    client = await world.serve()
    first, last = b"a" * 300_000, b"b"  # long enough to be stored in more than one step
    asked = await request_upload_url(client, fileSize=len(first + last))
    await put(client, asked["path"], first + last)
    go_on = asyncio.Event()

    async def slowly() -> Any:
        yield first
        await go_on.wait()
        yield last

    late = asyncio.create_task(put(client, asked["path"], slowly()))
    await wait_until(lambda: world.uploads_in_progress() > 0)
    assert (await complete(client, asked["id"]))[0] == 200
    go_on.set()
    assert await late == (409, "upload_completed")
    assert len(world.stored_files()) == 1


async def test_an_upload_can_be_given_up_before_it_is_complete(world: World) -> None:
    client = await world.serve("mine", "theirs")
    mine = {"X-Api-Key": "mine"}
    asked = await request_upload_url(client, mine)
    await put(client, asked["path"])
    path = f"/api/documents/{asked['id']}"
    async with client.delete(path, headers={"X-Api-Key": "theirs"}) as answer:
        assert answer.status == 404
    receipts = []
    for _ in range(2):
        async with client.delete(path, headers=mine) as answer:
            assert answer.status == 200
            receipts.append(await answer.json())
    assert receipts[0] == receipts[1]
    assert (receipts[0]["status"], receipts[0]["fileSize"]) == ("cancelled", len(PDF))
    assert len(world.stored_files()) == 1, "only the reservation is left, for the janitor"
    assert await put(client, asked["path"]) == (409, "upload_completed")
    status, body = await complete(client, asked["id"], mine)
    assert (status, body["code"]) == (410, "document_cancelled")
    assert world.publisher.published == []


async def test_a_completed_upload_is_no_longer_given_up_but_cancelled(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client)
    await put(client, asked["path"])
    await complete(client, asked["id"])
    world.reads.add(msgspec.structs.replace(removed("cancelled"), document_id=asked["id"]))
    async with client.delete(f"/api/documents/{asked['id']}") as answer:
        assert (await answer.json())["deletedAt"] == WHEN
