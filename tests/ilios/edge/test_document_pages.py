"""The pages of a document are read as JSON lines, also while it is converted."""

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import ClientResponse

from bus.errors import BusUnavailable
from ilios.api_keys import tenant_of
from schemas.documents import DocumentCompleted, DocumentFailed
from schemas.pages import PageLine, PagesState
from schemas.results import PageResult, ResultHead
from tests.ilios.edge.world import CREATED_AT, ID, World, record
from tests.waiting import wait_until

PAGES = f"/v1/documents/{ID}/pages"
FOLLOW = {"follow": "true"}
NAME = ("default", ID)
KEYS = ("one-key", "another-key")


def page(index: int, text: str) -> PageResult:
    return PageResult(index=index, markdown=text)


async def add_result(world: World, *texts: str) -> Any:
    head = ResultHead(engine="local", model="m", pages=len(texts), billed_pages=len(texts))
    pages = (page(index, text) for index, text in enumerate(texts))
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in (head, *pages))
    return await world.blobs.put_bytes(f"results/default/{ID}.0", lines)


async def completed(world: World, *texts: str) -> DocumentCompleted:
    result = await add_result(world, *texts)
    markdown = await world.blobs.put_bytes(f"markdown/default/{ID}.0", b"all")
    return DocumentCompleted(
        document_id=ID,
        file_name="paper.pdf",
        content_type="application/pdf",
        original=markdown,
        markdown=markdown,
        pages=len(texts),
        engine="local",
        model="m",
        seconds=1.5,
        input_tokens=10,
        output_tokens=5,
        submitted_at=CREATED_AT,
        completed_at=CREATED_AT,
        result=result,
    )


async def lines(answer: ClientResponse) -> list[dict[str, Any]]:
    assert answer.status == 200
    assert answer.content_type == "application/x-ndjson"
    found: list[dict[str, Any]] = [
        msgspec.json.decode(line) for line in (await answer.read()).splitlines()
    ]
    for line in found:
        msgspec.convert(line, PageLine if "index" in line else PagesState)
    return found


async def next_line(answer: ClientResponse) -> dict[str, Any]:
    line: dict[str, Any] = msgspec.json.decode(await answer.content.readline())
    return line


def draft(index: int, text: str) -> dict[str, Any]:
    return {"final": False, "index": index, "markdown": text}


def final(index: int, text: str) -> dict[str, Any]:
    return draft(index, text) | {"final": True}


async def test_a_completed_document_has_the_pages_of_its_result(world: World) -> None:
    client = await world.serve()
    result = await add_result(world, "one", "two")
    await world.add_completed(b"one", result=result, pages=2)
    for query in ({}, FOLLOW):
        async with client.get(PAGES, params=query) as answer:
            assert await lines(answer) == [
                final(0, "one"),
                final(1, "two"),
                {"state": "completed", "pages": 2},
            ]


async def test_an_unfinished_document_has_the_pages_that_are_converted(world: World) -> None:
    client = await world.serve()
    world.reads.add(record(state="processing"))
    world.pages.draft(*NAME, page(0, "one"))
    async with client.get(PAGES) as answer:
        assert await lines(answer) == [draft(0, "one"), {"state": "processing", "pages": 1}]
    world.pages.error = BusUnavailable("the worker is away")
    async with client.get(PAGES) as answer:
        assert await lines(answer) == [{"state": "processing"}]


async def test_a_client_that_follows_gets_pages_as_they_come_and_then_the_final_ones(
    world: World,
) -> None:
    client = await world.serve(poll_interval=60.0)
    world.reads.add(record(state="processing"))
    world.pages.draft(*NAME, page(0, "one"))
    async with client.get(PAGES, params=FOLLOW) as answer:
        assert await next_line(answer) == draft(0, "one")
        world.pages.draft(*NAME, page(1, "two"))
        assert await next_line(answer) == draft(1, "two")
        world.pages.draft(*NAME, page(0, "One"))
        assert await next_line(answer) == draft(0, "One")
        world.outcomes.end(await completed(world, "ONE", "two"))
        assert await lines(answer) == [
            final(0, "ONE"),
            final(1, "two"),
            {"state": "completed", "pages": 2},
        ]
    await wait_until(lambda: not world.pages.watched)


async def test_a_failure_ends_the_pages_with_its_reason(world: World) -> None:
    client = await world.serve()
    world.reads.add(record(state="pending"))
    async with client.get(PAGES, params=FOLLOW) as answer:
        world.outcomes.end(DocumentFailed(document_id=ID, code="corrupt", reason="It is damaged."))
        last = {"state": "failed", "code": "corrupt", "error": "It is damaged."}
        assert await lines(answer) == [last]
    world.reads.add(record(state="failed", code="corrupt", reason="It is damaged."))
    async with client.get(PAGES) as answer:
        assert await lines(answer) == [last]


async def test_an_end_whose_event_is_missed_is_read_from_the_database(world: World) -> None:
    client = await world.serve(poll_interval=0.02)
    world.reads.add(record(state="processing"))
    async with client.get(PAGES, params=FOLLOW) as answer:
        await world.add_completed(b"one", result=await add_result(world, "one"), pages=1)
        assert await lines(answer) == [final(0, "one"), {"state": "completed", "pages": 1}]


async def test_a_client_that_waits_for_long_gets_the_state_now_and_then(world: World) -> None:
    client = await world.serve(poll_interval=0.02, follow_heartbeat=0.02)
    world.reads.add(record(state="pending"))
    async with client.get(PAGES, params=FOLLOW) as answer:
        assert await next_line(answer) == {"state": "pending"}
        assert await next_line(answer) == {"state": "pending"}


async def test_a_client_that_goes_leaves_nothing_behind(world: World) -> None:
    client = await world.serve(poll_interval=0.02, follow_heartbeat=0.02)
    world.reads.add(record(state="pending"))
    async with client.get(PAGES, params=FOLLOW) as answer:
        await next_line(answer)
    answer.close()
    await wait_until(lambda: not world.pages.watched)


async def test_too_many_clients_that_follow_are_refused_and_others_are_served(
    world: World,
) -> None:
    client = await world.serve(max_followers=1)
    world.reads.add(record(state="pending"))
    async with client.get(PAGES, params=FOLLOW):
        async with client.get(PAGES, params=FOLLOW) as refused:
            assert refused.status == 503
            assert (await refused.json())["code"] == "overloaded"
        async with client.get(PAGES) as answer:
            assert answer.status == 200


async def test_one_of_several_tenants_leaves_room_for_others_that_follow(world: World) -> None:
    first, second = (record(tenant=tenant_of(key), state="pending") for key in KEYS)
    client = await world.serve(*KEYS, max_followers=2)
    world.reads.add(first)
    world.reads.add(second)
    greedy, other = ({"Authorization": f"Bearer {key}"} for key in KEYS)
    async with client.get(PAGES, params=FOLLOW, headers=greedy):
        async with client.get(PAGES, params=FOLLOW, headers=greedy) as refused:
            assert refused.status == 503
        async with client.get(PAGES, params=FOLLOW, headers=other) as answer:
            assert answer.status == 200


async def test_a_client_that_follows_is_let_go_when_the_edge_stops(world: World) -> None:
    client = await world.serve(poll_interval=60.0)
    world.reads.add(record(state="pending"))
    async with client.get(PAGES, params=FOLLOW) as answer:
        stopping = asyncio.create_task(world.stop_edge())
        assert await lines(answer) == [{"state": "pending"}]
        await stopping


@pytest.mark.parametrize("state", ["cancelled", "deleted"])
async def test_a_removed_document_has_no_pages(world: World, state: str) -> None:
    client = await world.serve()
    world.reads.add(record(state=state, removal="requested", removed_at=CREATED_AT))
    async with client.get(PAGES) as answer:
        assert answer.status == 410


async def test_nobody_reads_the_pages_of_another_tenant(world: World) -> None:
    client = await world.serve(*KEYS)
    world.pages.draft(*NAME, page(0, "one"))
    headers = {"Authorization": "Bearer one-key"}
    async with client.get(PAGES, headers=headers, params=FOLLOW) as answer:
        assert answer.status == 404
