"""The resource of a document: the answers of the older addresses, and conflicts for problems."""

from typing import Any

import pytest

from ilios.edge.publishing import HEADER
from schemas.documents import DocumentCancelled
from tests.ilios.edge.test_deletion import apply_events
from tests.ilios.edge.test_removed_documents import WHEN, removed
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import ID, PDF, World, file_part, multipart_form, post_request, record

DOCUMENT = f"/v1/documents/{ID}"
CONTENT = f"{DOCUMENT}/content"
ORIGINAL = f"{DOCUMENT}/original"
FAILED = {"state": "failed", "code": "corrupt", "reason": "The PDF is damaged.", "retryable": False}


async def test_a_submission_leads_to_the_resource(world: World) -> None:
    client = await world.serve()
    async with client.post("/v1/documents", data=form_data()) as answer:
        assert answer.status == 202
        body = await answer.json()
    event = world.publisher.submitted
    assert (event.operation, event.priority) == ("convert", 5)
    assert body["statusUrl"] == answer.headers["Location"] == f"/v1/documents/{event.document_id}"
    async with client.get(answer.headers["Location"]) as answer:
        assert answer.status == 200
        assert (await answer.json())["status"] == "pending"
        assert answer.headers["Retry-After"] == "1"


async def test_a_document_may_be_the_whole_body_or_an_address(world: World) -> None:
    client = await world.serve()
    async with client.post("/v1/documents?fileName=a.pdf", data=PDF) as answer:
        assert (answer.status, (await answer.json())["fileName"]) == (202, "a.pdf")
    async with client.post("/v1/documents", json={"url": "http://example.com/b.pdf"}) as answer:
        assert (answer.status, (await answer.json())["fileName"]) == (202, "b.pdf")


async def test_one_key_is_one_document_at_both_addresses(world: World) -> None:
    client = await world.serve()
    headers = {HEADER: "once"}
    async with client.post("/api/documents/submit", data=form_data(), headers=headers) as answer:
        first = await answer.json()
    async with client.post("/v1/documents", data=form_data(), headers=headers) as answer:
        assert (answer.status, (await answer.json())["id"]) == (202, first["id"])
        assert answer.headers["Idempotent-Replayed"] == "true"
    assert len(world.publisher.published) == 1


@pytest.mark.parametrize("path", [DOCUMENT, CONTENT, ORIGINAL])
async def test_a_document_that_never_existed_is_unknown(world: World, path: str) -> None:
    client = await world.serve()
    async with client.get(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "document_not_found")


@pytest.mark.parametrize("state", ["failed", "cancelled", "deleted"])
async def test_the_state_of_whatever_has_ended_is_a_success(world: World, state: str) -> None:
    client = await world.serve()
    world.reads.add(record(**FAILED) if state == "failed" else removed(state))
    async with client.get(DOCUMENT) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, state)
        assert "Retry-After" not in answer.headers


@pytest.mark.parametrize("path", [CONTENT, ORIGINAL])
async def test_a_document_that_has_failed_is_a_conflict_with_its_cause(
    world: World, path: str
) -> None:
    client = await world.serve()
    world.reads.add(record(**FAILED))
    async with client.get(path, headers={"Accept": "text/html"}) as answer:
        assert answer.status == 409
        assert answer.content_type == "application/problem+json"
        body = await answer.json()
    assert body["code"] == "document_failed"
    assert body["cause"] == "corrupt"
    assert body["reason"] == body["detail"] == "The PDF is damaged."
    assert (body["retryable"], body["id"]) == (False, ID)


@pytest.mark.parametrize("path", [CONTENT, ORIGINAL])
async def test_a_document_that_has_not_ended_is_a_conflict_that_leads_to_its_state(
    world: World, path: str
) -> None:
    client = await world.serve()
    world.reads.add(record(state="pending"))
    async with client.get(path) as answer:
        assert answer.status == 409
        assert answer.headers["Retry-After"] == "1"
        body = await answer.json()
    assert body["code"] == "document_not_ready"
    assert body["details"] == {"status": "pending", "statusUrl": DOCUMENT}


@pytest.mark.parametrize("path", [CONTENT, ORIGINAL])
async def test_a_removed_document_is_gone_with_the_time(world: World, path: str) -> None:
    client = await world.serve()
    world.reads.add(removed("deleted"))
    async with client.get(path) as answer:
        assert answer.status == 410
        assert (await answer.json())["details"] == {"deletedAt": WHEN}


async def test_the_content_is_what_accept_wants_or_the_query(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# Hello\n")
    tags = set()
    for accept, query, expected in (
        ("*/*", {}, "text/markdown"),
        ("application/json", {}, "application/json"),
        ("text/plain", {}, "text/plain"),
        ("text/html", {}, "text/html"),
        ("application/x-ndjson", {"chunkSize": "64"}, "application/x-ndjson"),
    ):
        async with client.get(CONTENT, headers={"Accept": accept}, params=query) as answer:
            assert (answer.status, answer.content_type) == (200, expected)
            assert answer.headers["Vary"] == "Accept"
            tags.add(answer.headers["ETag"])
    assert len(tags) == 5
    async with client.get(f"{CONTENT}?format=json", headers={"Accept": "image/png"}) as answer:
        assert (await answer.json())["downloadUrl"] == CONTENT
    async with client.get(f"{CONTENT}?chunkSize=64", headers={"Accept": "*/*"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_chunk_size")


async def test_ranges_and_conditions_hold_for_the_resource(world: World) -> None:
    client = await world.serve()
    await world.add_completed(b"# Hello\n")
    async with client.get(CONTENT, headers={"Range": "bytes=2-6"}) as answer:
        assert (answer.status, await answer.read()) == (206, b"Hello")
    unchanged = {"If-None-Match": answer.headers["ETag"]}
    async with client.get(CONTENT, headers=unchanged) as answer:
        assert (answer.status, answer.headers["Vary"]) == (304, "Accept")
    async with client.head(CONTENT) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "8")
    async with client.get(ORIGINAL, headers={"Range": "bytes=0-4"}) as answer:
        assert (answer.status, await answer.read()) == (206, PDF[:5])


async def test_a_removal_leads_to_the_resource(world: World) -> None:
    client = await world.serve(removal_timeout=0)
    world.reads.add(record(state="processing"))
    async with client.delete(DOCUMENT) as answer:
        assert (answer.status, answer.headers["Location"]) == (202, DOCUMENT)
    assert world.publisher.published == [DocumentCancelled(document_id=ID)]
    apply_events(world)
    world.reads.add(removed("cancelled"))
    async with client.delete(DOCUMENT) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "cancelled")


async def test_another_method_is_refused_with_those_there_are(world: World) -> None:
    client = await world.serve()
    async with client.put(DOCUMENT) as answer:
        assert answer.status == 405
        assert {"GET", "DELETE"} <= {*answer.headers["Allow"].split(", ")}


async def test_the_older_addresses_answer_as_ever(world: World) -> None:
    client = await world.serve()
    answers: dict[str, Any] = {}
    world.reads.add(record(**FAILED))
    for path in (f"/api/documents/{ID}", f"/api/documents/{ID}/original"):
        async with client.get(path) as answer:
            answers[path] = (answer.status, await answer.json())
    failed = {
        "id": ID,
        "error": "The PDF is damaged.",
        "code": "corrupt",
        "retryable": False,
        "status": "failed",
    }
    assert all(found == (500, failed) for found in answers.values())
    raw = post_request(multipart_form(file_part()))
    submitted = (await world.send_raw(raw)).json()
    assert submitted["statusUrl"] == f"/api/documents/status/{submitted['id']}"
