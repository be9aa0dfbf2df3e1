"""Tickets open one stream of one tenant for a few minutes, and are in no log."""

import time

import pytest
from aiohttp import ClientSession

from ilios.edge.events import tickets
from tests import events
from tests.ilios.edge.world import World, record

KEYS = ("one-key-0123456789", "another-key-0123456789")
ID = events.id_of(1)


async def ticket(client: ClientSession, key: str, **wanted: str) -> str:
    answer = await client.post("/v1/events/ticket", json=wanted, headers={"X-Api-Key": key})
    assert answer.status == 200, await answer.text()
    assert answer.headers["Cache-Control"] == "private, no-store"
    return str((await answer.json())["url"])


async def status(client: ClientSession, path: str) -> tuple[int, str]:
    async with client.get(path) as response:
        if response.status == 200:
            return 200, response.content_type
        return response.status, str((await response.json())["code"])


async def test_a_ticket_opens_its_stream_without_a_key(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    client = await world.serve(*KEYS)
    url = await ticket(client, KEYS[0])
    assert await status(client, url) == (200, "text/event-stream")
    assert await status(client, f"{url}x") == (401, "ticket_invalid")
    written = capfd.readouterr()
    assert "/v1/events" in written.out + written.err
    assert url.partition("ticket=")[2] not in written.out + written.err


async def test_a_ticket_opens_nothing_else(world: World) -> None:
    world.reads.add(record(document_id=ID))
    client = await world.serve(*KEYS)
    given = (await ticket(client, KEYS[0], documentId=ID)).partition("?")[2]
    assert await status(client, f"/v1/events?{given}") == (401, "ticket_invalid")
    other = f"/v1/documents/{events.id_of(2)}/events?{given}"
    assert await status(client, other) == (401, "ticket_invalid")
    assert await status(client, f"/api/documents/status/{ID}?{given}") == (401, "unauthorized")
    # The document is another tenant's.
    assert await status(client, f"/v1/documents/{ID}/events?{given}") == (404, "document_not_found")


async def test_a_ticket_expires(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await world.serve(*KEYS)
    url = await ticket(client, KEYS[0])
    later = time.time() + tickets.LIFETIME
    monkeypatch.setattr(tickets, "_now", lambda: later)
    assert await status(client, url) == (401, "ticket_expired")


async def test_a_ticket_of_a_key_that_is_gone_is_not_valid(world: World) -> None:
    client = await world.serve(*KEYS)
    url = await ticket(client, KEYS[0])
    await world.stop_edge()
    client = await world.serve(KEYS[1])
    assert await status(client, url) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"documentId": "no id"}, "invalid_document_id"),
        ({"batchId": 7}, "invalid_batch_id"),
        ({"documentId": ID, "batchId": ID}, "invalid_batch_id"),
        ({"document": ID}, "unknown_field"),
    ],
)
async def test_what_a_ticket_is_for_has_to_be_clear(
    world: World, wanted: dict[str, object], code: str
) -> None:
    client = await world.serve(KEYS[0])
    async with client.post(
        "/v1/events/ticket", json=wanted, headers={"X-Api-Key": KEYS[0]}
    ) as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] == code
