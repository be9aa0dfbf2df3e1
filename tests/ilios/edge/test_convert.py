import asyncio
from typing import Any

import pytest

from bus.errors import BusUnavailable
from tests.ilios.edge.test_submit import form_data
from tests.ilios.edge.world import PDF, World, file_part, multipart_form, post_request, record

MARKDOWN = "# Grüße\n"


async def test_a_conversion_answers_with_the_markdown(world: World) -> None:
    world.publisher.on_submission = world.convert
    client = await world.serve()
    async with client.post("/v1/convert", data=form_data()) as answer:
        assert answer.status == 200
        assert await answer.text() == MARKDOWN
    event = world.publisher.submitted
    assert (event.priority, event.operation) == (10, "convert-immediate")
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert answer.headers["X-Document-Id"] == event.document_id
    assert answer.headers["X-Processing-Time-Ms"] == "1500"
    assert answer.headers["X-Extracted-Pages"] == "3"
    assert answer.headers["Content-Disposition"] == 'inline; filename="paper.pdf.md"'
    assert "X-Extracted-Pages" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("where", ["field", "query"])
async def test_a_conversion_can_answer_in_json(world: World, where: str) -> None:
    world.publisher.on_submission = world.convert
    client = await world.serve()
    fields = {"format": "json"} if where == "field" else {}
    query = {"format": "json"} if where == "query" else {}
    async with client.post(
        "/v1/convert", data=form_data(PDF, "paper.pdf", **fields), params=query
    ) as answer:
        assert answer.status == 200
        body = await answer.json()
    document_id = world.publisher.submitted.document_id
    assert body == {
        "id": document_id,
        "content": MARKDOWN,
        "metadata": {
            "model": "local-1",
            "engine": "local",
            "pages": 3,
            "extractedPages": 3,
            "processingTimeMs": 1500,
            "fileName": "paper.pdf",
            "fileSize": 21,
            "mimeType": "application/pdf",
        },
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        "downloadUrl": f"/api/documents/{document_id}",
        "fileName": "paper.pdf",
        "createdAt": "2026-01-15T10:30:00.123Z",
        "processedAt": "2026-01-15T10:30:00.123Z",
    }


async def test_a_name_that_is_not_ascii_comes_back_encoded(world: World) -> None:
    world.publisher.on_submission = world.convert
    await world.serve()
    answer = await world.send_raw(
        post_request(multipart_form(file_part("Größe.pdf")), path="/v1/convert")
    )
    assert (
        answer.headers["content-disposition"]
        == "inline; filename=\"Gr__e.pdf.md\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.pdf.md"
    )


async def test_a_document_that_cannot_be_converted_is_not_the_servers_fault(world: World) -> None:
    world.publisher.on_submission = world.fail
    client = await world.serve()
    async with client.post("/v1/convert", data=form_data()) as answer:
        assert answer.status == 422
        assert answer.content_type == "application/problem+json"
        body = await answer.json()
    assert body["error"] == "The PDF is damaged."
    assert body["code"] == "corrupt"
    assert body["id"] == world.publisher.submitted.document_id
    assert body["details"] == {"retryable": False}


async def test_a_conversion_that_takes_too_long_goes_on_elsewhere(world: World) -> None:
    client = await world.serve(convert_timeout=0.01)
    async with client.post("/v1/convert", data=form_data()) as answer:
        assert answer.status == 202
        body = await answer.json()
    document_id = world.publisher.submitted.document_id
    assert body == {
        "id": document_id,
        "status": "pending",
        "statusUrl": f"/api/documents/status/{document_id}",
    }
    assert answer.headers["Location"] == body["statusUrl"]
    assert len(world.stored_files()) == 1


async def test_a_missed_completion_is_found_in_the_database(world: World) -> None:
    async def missed(submitted: Any) -> None:
        blob = await world.blobs.put_bytes("markdown/default/x", MARKDOWN.encode())
        world.reads.add(
            record(document_id=submitted.document_id, state="completed", markdown=blob, pages=1)
        )

    world.publisher.on_submission = missed
    client = await world.serve(poll_interval=0.01)
    async with client.post("/v1/convert", data=form_data()) as answer:
        assert (answer.status, await answer.text()) == (200, MARKDOWN)


async def test_a_database_that_fails_meanwhile_does_not_end_the_waiting(world: World) -> None:
    world.reads.error = OSError("disk")
    client = await world.serve(poll_interval=0.001)
    converting = asyncio.ensure_future(client.post("/v1/convert", data=form_data()))
    await world.reads.queried.wait()
    await world.convert(world.publisher.submitted)
    async with await converting as answer:
        assert answer.status == 200


async def test_a_client_that_hangs_up_ends_the_waiting_but_not_the_conversion(
    world: World,
) -> None:
    published = asyncio.Event()

    async def on_published(_submitted: Any) -> None:
        published.set()

    world.publisher.on_submission = on_published
    await world.serve(half_closed_timeout=0.1)
    _, writer = await world.connect()
    writer.write(post_request(multipart_form(file_part()), path="/v1/convert"))
    await published.wait()
    writer.close()
    async with asyncio.timeout(20):
        await world.outcomes.released.wait()
    assert len(world.stored_files()) == 1


async def test_an_edge_that_closes_lets_its_waiting_clients_go(world: World) -> None:
    published = asyncio.Event()

    async def on_published(_submitted: Any) -> None:
        published.set()

    world.publisher.on_submission = on_published
    client = await world.serve()
    converting = asyncio.ensure_future(client.post("/v1/convert", data=form_data()))
    await published.wait()
    closing = asyncio.ensure_future(world.stop_edge())
    async with await converting as answer:
        assert answer.status == 202
    await closing


async def test_without_a_subscription_nothing_is_published_and_nothing_stored(world: World) -> None:
    world.outcomes.error = BusUnavailable("no")
    await world.serve()
    answer = await world.send_raw(post_request(multipart_form(file_part()), path="/v1/convert"))
    assert (answer.status, answer.json()["code"]) == (503, "bus_unavailable")
    assert world.publisher.published == []
    assert world.stored_files() == set()


async def test_an_unknown_format_is_refused_before_anything_is_published(world: World) -> None:
    client = await world.serve()
    async with client.post("/v1/convert", data=form_data(format="xml")) as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] == "invalid_format"
    assert world.publisher.published == []
    assert world.stored_files() == set()


async def test_a_conversion_is_never_conditional(world: World) -> None:
    client = await world.serve()
    world.publisher.on_submission = world.convert
    for condition in ({"If-None-Match": "*"}, {"If-Match": '"something else"'}):
        async with client.post("/v1/convert", data=form_data(), headers=condition) as answer:
            assert answer.status == 200
