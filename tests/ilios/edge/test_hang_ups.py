"""A client that hangs up has its document cancelled where it prefers that, and nobody waits."""

import asyncio
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from bus.errors import BusUnavailable
from bus.log import NewestEvent
from bus.micro import Request
from ilios.edge import connection, hang_ups
from ilios.edge.bus_service.described import STATUS_HEADER
from ilios.edge.bus_service.service import BusDoor
from ilios.edge.publishing import HEADER
from schemas.documents import DocumentCancelled, DocumentSubmitted
from tests.ilios.edge.world import PDF, World, file_part, multipart_form, post_request
from tests.waiting import wait_until

PREFERENCE = "Prefer: cancel-on-disconnect"
KEY = f"{HEADER}: once"


class Waiting:
    """A raw client that waits for a conversion."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def begin(self, *headers: str) -> "Waiting":
        """Ask for the conversion, and return once the document is on the log."""
        world, before = self._world, self._world.outcomes.count
        self.reader, self.writer = await world.connect()
        self.writer.write(post_request(multipart_form(file_part()), *headers, path="/v1/convert"))
        await wait_until(lambda: world.outcomes.count == before + 1 and bool(submitted(world)))
        return self

    async def hang_up(self) -> None:
        """Close the connection, and return once the edge has noticed."""
        before = self._world.outcomes.released_count
        self.writer.close()
        await wait_until(lambda: self._world.outcomes.released_count == before + 1)


def submitted(world: World) -> list[DocumentSubmitted]:
    return [event for event in world.publisher.published if isinstance(event, DocumentSubmitted)]


def cancelled(world: World) -> list[str]:
    return [
        event.document_id
        for event in world.publisher.published
        if isinstance(event, DocumentCancelled)
    ]


async def is_cancelled(world: World) -> None:
    (event,) = submitted(world)
    await wait_until(lambda: cancelled(world) == [event.document_id])


async def goes_on(world: World) -> None:
    """Fail if anything is cancelled by the time the edge has closed."""
    await world.stop_edge()
    assert cancelled(world) == []


@pytest.mark.parametrize("key", [(), (KEY,)])
async def test_the_document_of_a_client_that_hangs_up_is_cancelled(
    world: World, key: tuple[str, ...]
) -> None:
    await world.serve()
    await (await Waiting(world).begin(PREFERENCE, *key)).hang_up()
    await is_cancelled(world)


async def test_a_client_that_closes_its_side_has_hung_up(world: World) -> None:
    """Nothing distinguishes it from one that is gone."""
    await world.serve()
    waiting = await Waiting(world).begin(PREFERENCE)
    waiting.writer.write_eof()
    await is_cancelled(world)


async def test_a_connection_that_is_reset_is_a_hang_up(world: World) -> None:
    await world.serve()
    waiting = await Waiting(world).begin(PREFERENCE)
    waiting.writer.transport.abort()
    await is_cancelled(world)


async def test_a_hang_up_while_the_event_is_published_cancels_it_afterwards(world: World) -> None:
    publishing, go_on = asyncio.Event(), asyncio.Event()
    publish = world.publisher.publish_if_first

    async def slow(event: Any) -> int:
        publishing.set()
        await go_on.wait()
        return await publish(event)

    world.publisher.publish_if_first = slow  # type: ignore[method-assign]
    await world.serve()
    _, writer = await world.connect()
    writer.write(post_request(multipart_form(file_part()), PREFERENCE, path="/v1/convert"))
    await publishing.wait()
    writer.close()
    await world.outcomes.released.wait()
    assert submitted(world) == []
    go_on.set()
    await wait_until(lambda: bool(submitted(world)))
    await is_cancelled(world)


async def test_a_document_is_cancelled_when_the_last_of_its_clients_has_hung_up(
    world: World,
) -> None:
    await world.serve()
    first = await Waiting(world).begin(PREFERENCE, KEY)
    second = await Waiting(world).begin(PREFERENCE, KEY)
    await first.hang_up()
    assert cancelled(world) == []
    await second.hang_up()
    await is_cancelled(world)


async def test_a_client_without_the_preference_keeps_the_document_going(world: World) -> None:
    await world.serve(half_closed_timeout=0.05)
    first = await Waiting(world).begin(PREFERENCE, KEY)
    second = await Waiting(world).begin(KEY)
    await second.hang_up()
    await first.hang_up()
    await goes_on(world)


async def test_an_answer_that_the_conversion_goes_on_holds(world: World) -> None:
    await world.serve()
    first = await Waiting(world).begin(PREFERENCE, KEY)
    request = post_request(
        multipart_form(file_part()), f"{PREFERENCE}, wait=0", KEY, path="/v1/convert"
    )
    assert (await world.send_raw(request)).status == 202
    await first.hang_up()
    await goes_on(world)


async def test_a_document_that_was_made_before_is_not_cancelled_by_a_repetition(
    world: World,
) -> None:
    await world.serve(half_closed_timeout=0.05)
    await (await Waiting(world).begin(KEY)).hang_up()
    await (await Waiting(world).begin(PREFERENCE, KEY)).hang_up()
    await goes_on(world)


async def test_a_document_that_has_ended_stays(world: World) -> None:
    await world.serve()
    waiting = await Waiting(world).begin(PREFERENCE)
    (event,) = submitted(world)
    world.log.newest_events["default", event.document_id] = NewestEvent(9, "converted")
    await waiting.hang_up()
    await goes_on(world)


async def test_a_service_that_stops_cancels_nothing(world: World) -> None:
    await world.serve()
    waiting = await Waiting(world).begin(PREFERENCE)
    await goes_on(world)
    assert b" 202 " in await waiting.reader.readline()


async def test_a_connection_closed_to_make_room_is_no_hang_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[connection.Connection] = []
    end_with_client = connection.Connection.end_with_client

    def noted(self: connection.Connection) -> None:
        found.append(self)
        end_with_client(self)

    monkeypatch.setattr(connection.Connection, "end_with_client", noted)
    await world.serve()
    await Waiting(world).begin(PREFERENCE)
    found[0].abort()
    await world.outcomes.released.wait()
    await goes_on(world)


async def test_a_cancellation_waits_for_a_bus_that_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hang_ups, "FIRST_RETRY_AFTER", 0.01)
    await world.serve()
    waiting = await Waiting(world).begin(PREFERENCE)
    world.log.error = BusUnavailable("no")
    await waiting.hang_up()
    await asyncio.sleep(0.05)
    assert cancelled(world) == []
    world.log.error = None
    await is_cancelled(world)


async def test_after_the_answer_a_connection_is_used_on_and_closing_it_cancels_nothing(
    world: World,
) -> None:
    world.publisher.on_submission = world.convert
    await world.serve()
    reader, writer = await world.connect()
    request = post_request(multipart_form(file_part()), PREFERENCE, path="/v1/convert")
    for _ in range(2):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0]
        assert b"Preference-Applied: cancel-on-disconnect" in head
        await reader.readexactly(len("# Grüße\n".encode()))
    writer.close()
    await goes_on(world)
    assert len(submitted(world)) == 2


async def test_a_request_on_the_bus_for_the_same_document_keeps_it_going(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = world.edge()
    monkeypatch.setattr(world, "edge", lambda *_, **__: edge)
    await world.serve()
    first = await Waiting(world).begin(PREFERENCE, KEY)
    source = {"kind": "inline", "data": b64encode(PDF).decode()}
    members = msgspec.json.encode({"source": source, "file_name": "paper.pdf"})
    asked = Request("convert", "ilios.api.convert.default", members, {HEADER: "once"})
    door = BusDoor(edge)
    answering = asyncio.create_task(door.handle(asked))
    await wait_until(lambda: world.outcomes.count == 2)
    await first.hang_up()
    door.close()
    reply = await answering
    assert (reply.headers[STATUS_HEADER], reply.headers["Idempotent-Replayed"]) == ("202", "true")
    await goes_on(world)
