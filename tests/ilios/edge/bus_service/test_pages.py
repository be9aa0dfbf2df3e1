"""The pages of a document are read by requests on the bus, also while it is converted."""

from typing import Any

import msgspec
import pytest

from bus.errors import BusUnavailable
from ilios.edge.bus_service import pages
from ilios.edge.bus_service.service import BusDoor
from tests.ilios.edge.bus_service.test_service import code, request, status
from tests.ilios.edge.test_document_pages import (
    NAME,
    PAGES,
    add_result,
    draft,
    final,
    lines,
    page,
)
from tests.ilios.edge.world import ID, World, record


async def read(world: World, since: int = 0) -> dict[str, Any]:
    reply = await BusDoor(world.edge()).handle(
        request("pages", {"document_id": ID, "since": since})
    )
    assert status(reply) == 200, reply.body
    found: dict[str, Any] = msgspec.json.decode(reply.body)
    return found


async def test_pages_so_far_are_drafts_and_the_next_request_has_those_that_follow(
    world: World,
) -> None:
    world.reads.add(record(state="processing"))
    world.pages.draft(*NAME, page(0, "one"), page(1, "two"))
    first = await read(world)
    assert first["state"] == "processing"
    assert first["pages"] == [draft(0, "one"), draft(1, "two")]
    assert (await read(world, first["until"]))["pages"] == []
    world.pages.draft(*NAME, page(1, "two, better"))
    assert (await read(world, first["until"]))["pages"] == [draft(1, "two, better")]


async def test_a_completed_document_has_the_final_pages_of_http(world: World) -> None:
    world.reads.add(record(state="completed", result=await add_result(world, "one", "two")))
    client = await world.serve()
    async with client.get(PAGES) as answer:
        by_http = (await lines(answer))[:-1]
    since_a_draft = 2**50
    found = await read(world, since_a_draft)
    assert found["pages"] == by_http == [final(0, "one"), final(1, "two")]
    assert (found["until"], found["more"]) == (2, False)


async def test_a_long_result_comes_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_REPLY_BYTES", 60)
    texts = ("one", "two", "t" * 100, "four")
    world.reads.add(record(state="completed", result=await add_result(world, *texts)))
    found, since, parts, more = [], 0, 0, True
    while more:
        part = await read(world, since)
        found += part["pages"]
        since, more, parts = part["until"], part["more"], parts + 1
    assert [one["markdown"] for one in found] == list(texts)
    assert parts == 3


async def test_a_failed_document_has_its_reason_and_no_pages(world: World) -> None:
    world.reads.add(record(state="failed", code="corrupt", reason="It is."))
    found = await read(world)
    assert (found["state"], found["code"], found["pages"]) == ("failed", "corrupt", [])


async def test_without_a_worker_there_are_no_pages_yet(world: World) -> None:
    world.reads.add(record(state="processing"))
    world.pages.error = BusUnavailable("away")
    assert await read(world, 7) == {
        "id": ID, "state": "processing", "until": 7, "more": False, "pages": []
    }  # fmt: skip


async def test_a_removed_document_is_gone(world: World) -> None:
    world.reads.add(record(state="deleted", removed_at=record().submitted_at))
    reply = await BusDoor(world.edge()).handle(request("pages", {"document_id": ID}))
    assert (status(reply), code(reply)) == (410, "document_deleted")
