"""Documents that are named by their URL, and the pages of other sites that must not do so."""

from typing import Any

import pytest

from schemas.batches import BatchSubmitted, document_submissions
from schemas.documents import Remote
from schemas.options import ConversionOptions
from tests.ilios.edge.world import World

URL = "https://example.com/papers/a%20b.pdf?token=1"
SUBMIT, CONVERT, BATCH = "/api/documents/submit", "/v1/convert", "/v1/batch/submit"


async def test_a_document_is_submitted_by_its_url(world: World) -> None:
    client = await world.serve()
    body = {"url": URL, "retentionDays": 7, "pages": [3, 1, 2]}
    async with client.post(SUBMIT, json=body) as answer:
        assert answer.status == 202
        reply = await answer.json()
    event = world.publisher.submitted
    assert event.source == Remote(URL)
    assert (event.file_name, event.retention_days, event.operation) == ("a b.pdf", 7, "convert")
    assert event.options == ConversionOptions(pages="1-3")
    assert (reply["id"], reply["fileName"]) == (event.document_id, "a b.pdf")
    assert "fileSize" not in reply


async def test_a_document_is_converted_by_its_url(world: World) -> None:
    client = await world.serve()
    world.publisher.on_submission = world.convert
    body = {"url": URL, "fileName": "mine.pdf", "format": "json"}
    async with client.post(CONVERT, json=body) as answer:
        assert answer.status == 200
        assert (await answer.json())["content"] == "# Grüße\n"
    assert world.publisher.submitted.file_name == "mine.pdf"


@pytest.mark.parametrize(
    "body",
    [
        {"documents": [URL, {"url": URL, "fileName": "two.pdf"}], "priority": 8},
        {"documents": [{"url": URL}, {"url": URL, "fileName": "two.pdf"}], "priority": 8},
    ],
)
async def test_a_batch_is_submitted_by_urls(world: World, body: Any) -> None:
    client = await world.serve()
    async with client.post(BATCH, json=body) as answer:
        assert answer.status == 202
        assert (await answer.json())["totalDocuments"] == 2
    (event,) = world.publisher.published
    assert isinstance(event, BatchSubmitted)
    submitted = [*document_submissions(event)]
    assert [one.source for one in submitted] == [Remote(URL), Remote(URL)]
    assert [one.file_name for one in submitted] == ["a b.pdf", "two.pdf"]
    assert event.priority == 8


async def test_a_list_of_urls_is_a_batch(world: World) -> None:
    client = await world.serve()
    async with client.post(BATCH, json=[URL]) as answer:
        assert answer.status == 202


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (SUBMIT, {}, "missing_fields"),
        (SUBMIT, {"url": "ftp://example.com/a"}, "invalid_url"),
        (SUBMIT, {"url": "https://"}, "invalid_url"),
        (SUBMIT, {"url": 7}, "invalid_url"),
        (SUBMIT, {"url": URL, "fileName": ""}, "invalid_file_name"),
        (SUBMIT, {"url": URL, "retentionDays": "7"}, "invalid_retention_days"),
        (SUBMIT, {"url": URL, "format": "json"}, "unknown_field"),
        (SUBMIT, {"uri": URL}, "unknown_field"),
        (SUBMIT, [URL], "malformed_json"),
        (SUBMIT, {"url": f"{URL}\ud800"}, "malformed_json"),
        (CONVERT, {"url": URL, "format": "xml"}, "invalid_format"),
        (BATCH, {"documents": []}, "invalid_documents"),
        (BATCH, {"documents": [7]}, "invalid_documents"),
        (BATCH, {"documents": [{"url": URL, "pages": "1"}]}, "unknown_field"),
        (BATCH, {"documents": ["nowhere"]}, "invalid_url"),
        (BATCH, [URL] * 101, "too_many_files"),
    ],
)
async def test_a_body_that_is_none_is_refused(
    world: World, path: str, body: Any, code: str
) -> None:
    client = await world.serve()
    async with client.post(path, json=body) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, code)
    assert world.publisher.published == []


async def test_parameters_of_the_query_count_where_the_body_leaves_them_out(world: World) -> None:
    client = await world.serve()
    query = "?pages=2,1&retentionDays=7&fileName=mine.pdf"
    async with client.post(SUBMIT + query, json={"url": URL, "retentionDays": 7}) as answer:
        assert answer.status == 202
    event = world.publisher.submitted
    assert event.options == ConversionOptions(pages="1-2")
    assert (event.retention_days, event.file_name) == (7, "mine.pdf")
    async with client.post(f"{BATCH}?pages=3&priority=8", json=[URL]) as answer:
        assert answer.status == 202
    batch = world.publisher.published[-1]
    assert isinstance(batch, BatchSubmitted)
    assert (batch.options, batch.priority) == (ConversionOptions(pages="3"), 8)
    async with client.post(f"{BATCH}?pages=x", json=[URL]) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_pages")
    given = {"url": URL, "retentionDays": 9}
    async with client.post(f"{SUBMIT}?retentionDays=7", json=given) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_retention_days")


@pytest.mark.parametrize("path", [SUBMIT, BATCH])
async def test_a_repeated_request_by_url_is_carried_out_once(world: World, path: str) -> None:
    client = await world.serve()
    body = [URL] if path == BATCH else {"url": URL}
    replies = []
    for repeated in (False, True):
        async with client.post(path, json=body, headers={"Idempotency-Key": "once"}) as answer:
            assert answer.status == 202
            assert ("Idempotent-Replayed" in answer.headers) == repeated
            replies.append(await answer.json())
    assert replies[0] == replies[1]
    assert len(world.publisher.published) == 1
    other = [f"{URL}2"] if path == BATCH else {"url": f"{URL}2"}
    async with client.post(path, json=other, headers={"Idempotency-Key": "once"}) as answer:
        assert answer.status == 422


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("127.0.0.1:1337", None, None),
        ("[::1]:1337", None, None),
        ("localhost:1337", "http://localhost:1337", None),
        ("LOCALHOST", None, None),
        ("ilios.example", None, None),
        ("ilios.example", "https://ilios.example", None),
        ("inside.example:80", "https://app.example", None),
        ("rebound.example:1337", None, "host_not_allowed"),
        ("", None, "host_not_allowed"),
        ("127.0.0.1.evil.example", None, "host_not_allowed"),
        ("localhost:1337", "http://localhost:8080", "origin_not_allowed"),
        ("localhost:1337", "https://evil.example", "origin_not_allowed"),
        ("localhost:1337", "null", "origin_not_allowed"),
    ],
)
async def test_pages_of_other_sites_cannot_have_an_open_service_fetch(
    world: World, host: str, origin: str | None, code: str | None
) -> None:
    world.public_url = "https://ilios.example"
    world.allowed_hosts, world.allowed_origins = ("inside.example",), ("https://app.example",)
    client = await world.serve()
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    async with client.post(SUBMIT, json={"url": URL}, headers=headers) as answer:
        if code is None:
            assert answer.status == 202
            return
        body = await answer.json()
    assert (answer.status, body["code"]) == (403, code)
    variable = "ILIOS_ALLOWED_HOSTS" if code == "host_not_allowed" else "ILIOS_ALLOWED_ORIGINS"
    assert variable in body["detail"]
    assert world.publisher.published == []


async def test_with_keys_any_origin_may_name_urls(world: World) -> None:
    client = await world.serve("key-1")
    headers = {"Host": "a.example", "Origin": "https://b.example", "X-Api-Key": "key-1"}
    async with client.post(SUBMIT, json={"url": URL}, headers=headers) as answer:
        assert answer.status == 202
