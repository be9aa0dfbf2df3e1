"""Passwords come by every door, are sealed before the event, and are nowhere else."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, FormData

from actors.blob_keys import password_key
from actors.ports import BlobNotFound, StorageUnavailable
from bus.errors import BusFull
from schemas.batches import BatchSubmitted
from schemas.documents import AnyDocumentEvent
from schemas.requests import SubmitFields
from tests.ilios.edge.test_batches import many
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.test_upload_urls import complete, put, request_upload_url
from tests.ilios.edge.world import PDF, World

PASSWORD = "canary Grüße"
URL = "https://example.com/a.pdf"
SUBMIT, CONVERT, BATCH = "/api/documents/submit", "/v1/convert", "/v1/batch/submit"
ASK = "/api/documents/upload-url"
KEY = {"Idempotency-Key": "my-key"}


async def sealed_password(world: World, document_id: str) -> str | None:
    """Return the stored password of a document, or None."""
    try:
        chunks = [one async for one in world.blobs.read(password_key("default", document_id))]
    except BlobNotFound:
        return None
    return world.seal.unseal("default", document_id, b"".join(chunks))


async def post(client: ClientSession, path: str, **sent: Any) -> tuple[int, Any]:
    async with client.post(path, **sent) as answer:
        return answer.status, await answer.json(content_type=None)


def published(world: World) -> bytes:
    return msgspec.json.encode(world.publisher.published)


@pytest.mark.parametrize("how", ["form", "json"])
async def test_a_submitted_password_is_sealed_and_in_no_event(world: World, how: str) -> None:
    client = await world.serve("a-key")
    sent: dict[str, Any] = (
        {"data": form_data(password=PASSWORD)}
        if how == "form"
        else {"json": {"url": URL, "password": PASSWORD}}
    )
    status, body = await post(client, SUBMIT, headers={"X-Api-Key": "a-key"}, **sent)
    assert status == 202, body
    event = world.publisher.submitted
    chunks = [one async for one in world.blobs.read(password_key(event.tenant, event.document_id))]
    found = world.seal.unseal(event.tenant, event.document_id, b"".join(chunks))
    assert found == PASSWORD
    assert b"canary" not in published(world)
    assert "canary" not in str(body)
    assert not any(b"canary" in path.read_bytes() for path in world.stored_files())


async def test_the_password_is_stored_before_the_event_is_published(world: World) -> None:
    client = await world.serve()
    found = []

    async def look(event: AnyDocumentEvent) -> None:
        found.append(await sealed_password(world, event.document_id))

    world.publisher.on_submission = look
    assert (await post(client, SUBMIT, data=form_data(password=PASSWORD)))[0] == 202
    assert found == [PASSWORD]


async def test_a_conversion_takes_a_password(world: World) -> None:
    client = await world.serve(convert_timeout=0.01)
    assert (await post(client, CONVERT, data=form_data(password=PASSWORD)))[0] == 202
    assert await sealed_password(world, world.publisher.submitted.document_id) == PASSWORD


async def test_a_batch_has_one_password_and_its_addresses_may_have_their_own(world: World) -> None:
    client = await world.serve()
    form = many(PDF, PDF + b"2")
    form.add_field("password", PASSWORD)
    assert (await post(client, BATCH, data=form))[0] == 202
    documents = [{"url": URL}, {"url": URL, "password": "its own"}]
    status, body = await post(client, BATCH, json={"documents": documents, "password": PASSWORD})
    assert status == 202, body
    expected = ([PASSWORD, PASSWORD], [PASSWORD, "its own"])
    for event, passwords in zip(world.publisher.published, expected, strict=True):
        assert isinstance(event, BatchSubmitted)
        assert [
            await sealed_password(world, one.document_id) for one in event.documents
        ] == passwords
    assert b"canary" not in published(world)
    assert b"its own" not in published(world)


async def test_the_password_of_an_upload_is_given_with_its_reservation(world: World) -> None:
    client = await world.serve()
    asked = await request_upload_url(client, password=PASSWORD)
    assert await sealed_password(world, asked["id"]) == PASSWORD
    assert not any(b"canary" in path.read_bytes() for path in world.stored_files())
    await put(client, asked["path"])
    assert (await complete(client, asked["id"]))[0] == 200
    assert await sealed_password(world, asked["id"]) == PASSWORD

    withdrawn = await request_upload_url(client, password=PASSWORD)
    async with client.delete(f"/api/documents/{withdrawn['id']}") as answer:
        assert answer.status == 200, await answer.text()
    assert await sealed_password(world, withdrawn["id"]) is None


@pytest.mark.parametrize("path", [SUBMIT, CONVERT, BATCH, ASK])
async def test_a_password_in_a_query_is_refused(world: World, path: str) -> None:
    client = await world.serve()
    status, body = await post(client, f"{path}?password=canary", data=form_data())
    assert (status, body["code"]) == (400, "password_in_query")
    assert "a field of a form or a member of JSON" in body["error"]
    assert "canary" not in str(body)
    assert not world.stored_files()


@pytest.mark.parametrize("value", ["x" * 256, "a\0b", "\ud800", 7, ["a"]])
async def test_what_is_no_password_is_refused_without_repeating_it(
    world: World, value: Any
) -> None:
    client = await world.serve()
    sent = {"fileName": "a.pdf", "fileSize": 9, "password": value}
    status, body = await post(client, ASK, json=sent)
    assert (status, body["code"]) == (400, "invalid_password")
    assert body["error"] == "password must be text of 1 to 255 characters"
    status, body = await post(client, BATCH, json=[{"url": URL, "password": value}])
    assert status == 400
    assert body["code"] in ("invalid_password", "malformed_json")


async def test_an_empty_field_is_no_password(world: World) -> None:
    client = await world.serve()
    assert (await post(client, SUBMIT, data=form_data(password="")))[0] == 202
    assert await sealed_password(world, world.publisher.submitted.document_id) is None


async def test_the_password_of_the_first_request_counts_and_is_in_no_fingerprint(
    world: World,
) -> None:
    client = await world.serve()
    answers = [
        await post(client, SUBMIT, data=form, headers=KEY)
        for form in (form_data(password=PASSWORD), form_data(password="another"), form_data())
    ]
    assert [status for status, _ in answers] == [202, 202, 202]
    assert answers[0][1] == answers[1][1] == answers[2][1]
    event = world.publisher.submitted
    assert await sealed_password(world, event.document_id) == PASSWORD

    other = World(world.blobs, world.root)
    try:
        plain = await other.serve()
        await post(plain, SUBMIT, data=form_data(), headers=KEY)
        assert other.publisher.submitted.fingerprint == event.fingerprint
    finally:
        await other.close()


async def test_equal_requests_at_once_leave_the_password_of_the_one_document(
    world: World,
) -> None:
    client = await world.serve()
    answers = await asyncio.gather(
        *(post(client, SUBMIT, data=form_data(password=PASSWORD), headers=KEY) for _ in range(8))
    )
    assert {status for status, _ in answers} == {202}
    assert await sealed_password(world, world.publisher.submitted.document_id) == PASSWORD


@pytest.mark.parametrize("error", [BusFull("full"), StorageUnavailable("away")])
async def test_a_refused_submission_leaves_no_password(world: World, error: Exception) -> None:
    client = await world.serve()
    world.publisher.error = error
    for path, form in ((SUBMIT, form_data(password=PASSWORD)), (BATCH, _batch_form())):
        status, _ = await post(client, path, data=form)
        assert status >= 400
    assert not world.stored_files()


def _batch_form() -> FormData:
    form = many(PDF)
    form.add_field("password", PASSWORD)
    return form


async def test_the_description_has_passwords_as_such_and_in_no_query(world: World) -> None:
    client = await world.serve()
    async with client.get("/openapi.json") as answer:
        described = await answer.json()
    for path in (SUBMIT, CONVERT, BATCH, ASK):
        operation = described["paths"][path]["post"]
        assert "password" not in {one["name"] for one in operation.get("parameters", ())}
        for content in operation["requestBody"]["content"].values():
            schema = content["schema"]
            if "$ref" in schema:
                schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            if schema.get("type") != "object":
                continue  # the document itself
            member = schema["properties"]["password"]
            text = member if "format" in member else member["anyOf"][0]
            assert (text["format"], text["writeOnly"]) == ("password", True)
            assert text["maxLength"] == 255


def test_a_request_does_not_show_its_password() -> None:
    assert "canary" not in repr(SubmitFields(password=PASSWORD))
