"""Streams of events over HTTP from a real log: resuming, resets, limits and ends."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, FormData
from msgspec import structs

from bus import codec
from bus import streams as log_streams
from bus.connection import Connection
from bus.publisher import Publisher
from bus.subjects import subject_for
from ilios.api_keys import tenant_of
from ilios.edge.events import feed, streams
from schemas.lists import DocumentListRequest, Page, Place
from schemas.records import DocumentRecord
from tests import batch_events, events
from tests.fakes import NoLists
from tests.ilios.edge.world import PDF, World, record
from tests.journeys.event_client import Event, parse
from tests.waiting import wait_until

ID = events.id_of(1)
PATH = f"/v1/documents/{ID}/events"
LAST = batch_events.completed()


class Stream:
    """An open stream and what has arrived on it."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.events: list[Event] = []

    async def read(self) -> None:
        async for event in parse(self.response.content):
            self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events if event.data is not None]


@asynccontextmanager
async def opened(client: ClientSession, path: str, **headers: str) -> AsyncIterator[Stream]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.get(path, headers=named) as response:
        assert response.status == 200, await response.text()
        stream = Stream(response)
        reading = asyncio.create_task(stream.read())
        try:
            yield stream
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def read_to_end(client: ClientSession, path: str, **headers: str) -> Stream:
    async with opened(client, path, **headers) as stream:
        await wait_until(stream.response.content.at_eof)
        return stream


async def publish(publisher: Publisher, *published: Any) -> None:
    for event in published:
        await publisher.publish(event)


async def test_a_document_is_told_from_its_submission_to_its_end(
    world: World, publisher: Publisher
) -> None:
    world.reads.add(record(document_id=ID, state="processing"))
    client = await world.serve()
    await publish(publisher, events.submitted(), events.submitted(2))
    async with opened(client, PATH) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in headers
        await wait_until(lambda: stream.names == ["document.submitted"])
        await publish(publisher, events.fetched(), events.converted(), events.completed(2))
        await publish(publisher, events.completed(), events.completed())
        await wait_until(stream.response.content.at_eof)
        expected = ["document.submitted", "document.processing", "document.completed"]
        assert stream.names == expected
        first, _, last = stream.events
    resumed = await read_to_end(client, PATH, Last_Event_ID=first.id)
    assert [event.id for event in resumed.events] == [event.id for event in stream.events[1:]]
    async with client.get(f"{PATH}?lastEventId={last.id}") as response:
        assert response.status == 204, "EventSource stops with 204 only"
    async with client.head(PATH) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")


async def test_labels_have_the_names_that_states_have(world: World, publisher: Publisher) -> None:
    labels: dict[str, Any] = {"reference": "case 3", "metadata": {"a": 1}}
    client = await world.serve()
    async with opened(client, "/v1/events") as stream:
        await wait_until(lambda: bool(stream.events))
        published: list[Any] = [events.submitted(), events.failed(), batch_events.submitted(), LAST]
        for event in published:
            await publish(publisher, structs.replace(event, **labels))
        await wait_until(lambda: "batch.completed" in stream.names)
    for one in stream.events[1:]:
        assert (one.data["reference"], one.data["clientMetadata"]) == ("case 3", {"a": 1})


@pytest.mark.parametrize("given", ["nonsense", "of another stream"])
async def test_an_id_that_is_not_of_the_stream_gets_the_present_state(
    world: World, publisher: Publisher, given: str
) -> None:
    world.reads.add(record(document_id=ID, state="failed", code="corrupt", reason="It is."))
    world.reads.add(record(document_id=events.id_of(2)))
    client = await world.serve()
    await publish(publisher, events.submitted(), events.failed(), events.submitted(2))
    if given != "nonsense":
        async with opened(client, f"/v1/documents/{events.id_of(2)}/events") as other:
            await wait_until(lambda: bool(other.events))
            given = other.events[0].id
    stream = await read_to_end(client, PATH, Last_Event_ID=given)
    assert stream.names == ["reset"]
    data = stream.events[0].data
    assert data["reason"] == "unknown_event_id"
    assert (data["document"]["status"], data["document"]["id"]) == ("failed", ID)


async def test_where_the_log_no_longer_reaches_the_present_state_is_told(
    world: World, publisher: Publisher, connection: Connection
) -> None:
    world.reads.add(record(document_id=ID, state="processing"))
    client = await world.serve()
    await publish(publisher, events.submitted())
    async with opened(client, PATH) as before:
        await wait_until(lambda: bool(before.events))
    await publish(publisher, events.fetched(2), events.fetched())
    await connection.jetstream.purge_stream(log_streams.EVENTS, seq=2)
    async with opened(client, PATH, Last_Event_ID=before.events[0].id) as stream:
        await wait_until(lambda: bool(stream.names))
        assert (stream.names[0], stream.events[0].data["reason"]) == ("reset", "log_ended")
        await publish(publisher, events.converted(), events.completed())
        await wait_until(stream.response.content.at_eof)
    assert stream.names.count("document.completed") == 1
    begun = await read_to_end(client, PATH, Last_Event_ID=stream.events[0].id)
    assert begun.names == stream.names[1:]
    async with opened(client, PATH) as fresh:
        await wait_until(lambda: bool(fresh.names))
        assert fresh.names[0] == "reset"


async def test_a_tenant_has_its_own_events_alone_and_loses_none_while_away(
    world: World, publisher: Publisher
) -> None:
    keys = ("one-key-0123456789", "another-key-0123456789")
    ours, theirs = map(tenant_of, keys)
    client = await world.serve(*keys)

    def as_tenant(tenant: str, *published: Any) -> list[Any]:
        return [structs.replace(event, tenant=tenant) for event in published]

    key = {"X_Api_Key": keys[0]}
    async with opened(client, "/v1/events", **key) as stream:
        await wait_until(lambda: len(stream.events) == 1)
        assert stream.events[0].data is None, "an id to resume from, and no event"
        await publish(publisher, *as_tenant(theirs, events.submitted(1), events.failed(1)))
        await publish(publisher, *as_tenant(ours, events.submitted(2), events.failed(2)))
        await wait_until(lambda: len(stream.names) == 2)
        assert {event.data["id"] for event in stream.events[1:]} == {events.id_of(2)}
    missed = [events.submitted(number) for number in range(3, 3 + 2 * feed.MAX_WAITING)]
    await publish(publisher, *as_tenant(theirs, *missed))
    await asyncio.gather(*map(publisher.publish, as_tenant(ours, *missed)))
    await publish(publisher, *as_tenant(ours, batch_events.completed()))
    async with opened(client, "/v1/events", **key, Last_Event_ID=stream.events[0].id) as resumed:
        await wait_until(lambda: "batch.completed" in resumed.names)
    arrived = [event.data.get("id") for event in resumed.events[2:-1]]
    assert resumed.names[:2] == ["document.submitted", "document.failed"]
    assert sorted(arrived) == sorted(event.document_id for event in missed)


class Lists(NoLists):
    """Lists with one document, and others behind it."""

    async def documents(self, _wanted: DocumentListRequest) -> Page[DocumentRecord]:
        return Page([record(document_id=ID)], Place(1, ID))


async def test_a_reset_of_everything_has_the_newest_documents(world: World) -> None:
    world.lists = Lists()
    client = await world.serve()
    async with opened(client, "/v1/events", Last_Event_ID="nonsense") as stream:
        await wait_until(lambda: bool(stream.events))
    data = stream.events[0].data
    assert ([one["id"] for one in data["documents"]], data["more"]) == ([ID], True)


async def test_an_event_that_the_log_has_twice_arrives_once(
    world: World, connection: Connection
) -> None:
    client = await world.serve()
    log = [
        events.submitted(), events.submitted(), events.fetched(), events.fetched(),
        events.converted(), events.failed(), events.completed(), events.completed(),
    ]  # fmt: skip
    async with opened(client, "/v1/events") as stream:
        await wait_until(lambda: bool(stream.events))
        for event in log:  # without an id by which the log would drop the second one
            await connection.jetstream.publish(subject_for(event), codec.encode(event))
        await connection.jetstream.publish(subject_for(LAST), codec.encode(LAST))
        await wait_until(lambda: "batch.completed" in stream.names)
    expected = ["document.submitted", "document.processing", "document.completed"]
    assert stream.names == [*expected, "batch.completed"]
    second = stream.events[1]
    async with opened(client, "/v1/events", Last_Event_ID=second.id) as resumed:
        await wait_until(lambda: "batch.completed" in resumed.names)
    assert resumed.events == stream.events[2:]


async def test_a_listener_that_falls_behind_reads_on_from_the_log(
    world: World, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_WAITING", 2)
    client = await world.serve()
    async with opened(client, "/v1/events") as stream:
        await wait_until(lambda: bool(stream.events))
        published = [events.submitted(number) for number in range(1, 101)]
        await asyncio.gather(*map(publisher.publish, published))
        await wait_until(lambda: len(stream.names) == 100)
    assert len({event.id for event in stream.events}) == 101


async def test_all_listeners_taken_keep_nobody_from_submitting(
    world: World, publisher: Publisher
) -> None:
    limit = 16
    world.reads.add(record(document_id=ID))
    client = await world.serve(max_connections=limit, max_listeners=2 * limit)
    await publish(publisher, events.submitted())
    raw = f"GET {PATH} HTTP/1.1\r\nHost: ilios\r\n\r\n".encode()
    for _ in range(2 * limit):
        reader, writer = await world.connect()
        writer.write(raw)
        assert b" 200 " in await reader.readline()
    async with client.get(PATH) as response:
        assert response.status == 503
        assert (await response.json())["code"] == "too_many_listeners"
        assert response.headers["Retry-After"]
    for _ in range(limit):
        form = FormData()
        form.add_field("file", PDF, filename="paper.pdf")
        async with client.post("/api/documents/submit", data=form) as response:
            assert response.status == 202


async def test_one_of_several_tenants_takes_half_of_the_places(world: World) -> None:
    keys = ("one-key-0123456789", "another-key-0123456789")
    client = await world.serve(*keys, max_listeners=4)
    ours, theirs = ({"X_Api_Key": key} for key in keys)
    async with opened(client, "/v1/events", **ours), opened(client, "/v1/events", **ours):
        async with client.get("/v1/events", headers={"X-Api-Key": keys[0]}) as refused:
            assert refused.status == 503
        async with opened(client, "/v1/events", **theirs):
            pass


async def test_who_does_not_read_is_disconnected(
    world: World, publisher: Publisher, capfd: pytest.CaptureFixture[str]
) -> None:
    client = await world.serve(slow_listener_timeout=2.0)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", world.port))
        slow.sendall(b"GET /v1/events HTTP/1.1\r\nHost: ilios\r\n\r\n")
        async with opened(client, "/v1/events") as other:
            await wait_until(lambda: bool(other.events))
            reason = "x" * 500_000
            for number in range(1, 40):
                await publisher.publish(events.failed(number, reason=reason))
            await wait_until(lambda: len(other.names) == 39)
            await wait_until(lambda: "slow listener" in capfd.readouterr().out)
        slow.setblocking(False)  # noqa: FBT003  # its only parameter
        received, loop = 0, asyncio.get_running_loop()
        with suppress(ConnectionError):
            while arrived := await loop.sock_recv(slow, 2**20):
                received += len(arrived)
        assert 0 < received < 39 * len(reason), "only what was in the buffers of the system"


async def test_streams_end_when_the_edge_stops_or_the_log_is_replaced(
    world: World, publisher: Publisher, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "POLL_INTERVAL", 0.1)
    client = await world.serve()
    async with opened(client, "/v1/events") as stream:
        await wait_until(lambda: bool(stream.events))
        await world.stop_edge()
        await wait_until(stream.response.content.at_eof)
        assert stream.response.content.exception() is None


async def test_silence_is_interrupted_by_comments(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "COMMENT_INTERVAL", 0.05)
    client = await world.serve()
    async with client.get("/v1/events") as response:
        received = b""
        while received.count(b":\n\n") < 3:
            received += await response.content.readany()
    assert received.startswith(b"retry: 2000\n\nid: ")
