"""A published event is on disk, once; a failure is an error with the reason."""

import asyncio
import time
from datetime import UTC, datetime

import msgspec
import pytest
from nats.js.api import StreamConfig

from bus import connection as connection_module
from bus import publisher as publisher_module
from bus import streams
from bus.connection import Connection, connect
from bus.errors import (
    AlreadyPublished,
    BusFull,
    BusUnavailable,
    EventTooLarge,
    NewerEvents,
    NotPublished,
)
from bus.log import Log, NewestEvent
from bus.publisher import Publisher, message_id
from schemas.documents import AnyDocumentEvent
from tests import batch_events, events
from tests.bus.conftest import KillableServer
from tests.waiting import wait_until

SUBJECT = f"ilios.document.submitted.p05.default.{events.id_of(1)}"


async def messages(connection: Connection) -> int:
    return (await connection.jetstream.stream_info(streams.EVENTS)).state.messages


async def change(connection: Connection, **settings: int) -> None:
    config: StreamConfig = (await connection.jetstream.stream_info(streams.EVENTS)).config
    await connection.jetstream.update_stream(config.evolve(**settings))


async def test_an_event_is_stored_under_its_subject(connection: Connection) -> None:
    sequence = await Publisher(connection).publish(events.submitted())
    message = await connection.jetstream.get_msg(streams.EVENTS, sequence)
    assert message.subject == SUBJECT
    assert message.headers == {"Nats-Msg-Id": f"default:{events.id_of(1)}:submitted"}


@pytest.mark.usefixtures("long_duplicate_window")
async def test_an_event_published_twice_is_stored_once(connection: Connection) -> None:
    publisher = Publisher(connection)
    first, second = (
        await publisher.publish(events.submitted()),
        await publisher.publish(events.submitted()),
    )
    assert first == second
    assert await messages(connection) == 1


async def test_a_message_id_used_by_another_publisher_does_not_drop_an_event(
    connection: Connection,
) -> None:
    stolen = {"Nats-Msg-Id": message_id(events.fetched())}
    await connection.jetstream.publish(SUBJECT, b"{}", headers=stolen)
    assert await Publisher(connection).publish(events.fetched()) == 2


def test_events_that_differ_in_anything_that_names_them_have_ids_of_their_own() -> None:
    published: list[AnyDocumentEvent] = [
        events.submitted(),
        events.submitted(2),
        events.submitted(tenant="other"),
        events.failed(),
        events.fetched(),
    ]
    assert len({message_id(event) for event in published}) == len(published)


async def test_nothing_is_published_while_the_server_is_down(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        await killable_server.kill()
        with pytest.raises(BusUnavailable):
            await Publisher(connection).publish(events.submitted(), within=0.3)
        await killable_server.start()
        assert await Publisher(connection).publish(events.submitted(2)) == 1


async def test_a_publish_is_uncertain_when_the_server_dies_before_the_ack(
    killable_server: KillableServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "ACK_TIMEOUT", 0.3)
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        await killable_server.freeze()
        sent = connection.client.stats["out_msgs"]
        publishing = asyncio.create_task(
            Publisher(connection).publish(events.submitted(), within=2.0)
        )
        await wait_until(lambda: connection.client.stats["out_msgs"] > sent)
        await killable_server.kill()
        with pytest.raises(BusUnavailable) as raised:
            await publishing
        assert not connection.connected
        assert not isinstance(raised.value, NotPublished)


async def test_a_publish_waits_for_a_server_that_returns_in_time(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        publisher = Publisher(connection)
        await publisher.publish(events.submitted(1))
        await killable_server.kill()
        publishing = asyncio.create_task(publisher.publish(events.submitted(2)))
        with pytest.raises(TimeoutError):  # it is really waiting, not failed and forgotten
            await asyncio.wait_for(asyncio.shield(publishing), 0.2)
        await killable_server.start()
        assert await publishing == 2
        assert await messages(connection) == 2


async def test_a_frozen_server_is_not_believed(
    killable_server: KillableServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every acknowledged event is there, every event is there once, however often it was tried."""
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        await killable_server.freeze()
        sent = connection.client.stats["out_msgs"]

        async def tried(times: int) -> None:
            await wait_until(lambda: connection.client.stats["out_msgs"] >= sent + times)

        monkeypatch.setattr(publisher_module, "ACK_TIMEOUT", 0.2)
        publishing = asyncio.create_task(
            Publisher(connection).publish(events.submitted(), within=60)
        )
        try:
            await tried(3)
            monkeypatch.setattr(publisher_module, "ACK_TIMEOUT", 30)
            await tried(4)
            assert not publishing.done()
        finally:
            killable_server.thaw()
        await publishing
        assert await messages(connection) == 1


@pytest.mark.parametrize("size", [streams.MAX_EVENT_BYTES, 2 * 1024 * 1024])
async def test_an_event_larger_than_the_limit_of_the_log_is_refused(
    connection: Connection, size: int
) -> None:
    publisher = Publisher(connection)
    with pytest.raises(EventTooLarge):
        await publisher.publish_raw(SUBJECT, b"x" * size, {"Nats-Msg-Id": "x"})
    assert await publisher.publish(events.submitted()) == 1, "the connection did not survive it"


@pytest.mark.parametrize("limit", [{"max_msgs": 1}, {"max_bytes": 500}])
async def test_a_full_log_refuses_instead_of_forgetting(
    connection: Connection, limit: dict[str, int]
) -> None:
    await change(connection, **limit)
    publisher = Publisher(connection)
    await publisher.publish(events.failed(1))
    with pytest.raises(BusFull):
        await publisher.publish(events.submitted(2))
    assert (await connection.jetstream.get_msg(streams.EVENTS, 1)).data


async def test_a_subject_without_a_stream_is_an_error(connection: Connection) -> None:
    with pytest.raises(BusUnavailable) as raised:
        await Publisher(connection).publish_raw("nowhere", b"", {}, within=0.1)
    assert not isinstance(raised.value, NotPublished), "it was sent, and may be on the log"


async def test_a_closed_connection_is_an_error(killable_server: KillableServer) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        pass
    with pytest.raises(NotPublished):
        await Publisher(connection).publish(events.submitted(), within=0.1)


async def test_a_cancelled_caller_leaves_the_publisher_usable(connection: Connection) -> None:
    publisher = Publisher(connection)
    publishing = [asyncio.create_task(publisher.publish(events.submitted(n))) for n in range(1, 21)]
    await asyncio.sleep(0)
    for task in publishing[::2]:
        task.cancel()
    await asyncio.gather(*publishing, return_exceptions=True)
    assert await publisher.publish(events.submitted(21)) == await messages(connection)


async def test_a_publish_fails_soon_while_the_server_is_away_for_long(
    killable_server: KillableServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        assert not connection.is_down, "a server that was just lost may be back in no time"
        monkeypatch.setattr(connection_module, "RESTART_GRACE", 0.0)
        began = time.monotonic()
        with pytest.raises(BusUnavailable):
            await Publisher(connection).publish(events.submitted(), within=60.0)
        assert time.monotonic() - began < 30.0


async def test_an_event_published_by_anybody_is_not_published_again(connection: Connection) -> None:
    publisher = Publisher(connection)
    await publisher.publish(events.submitted(priority=5))
    for again in (events.submitted(priority=5), events.submitted(priority=9)):
        with pytest.raises(AlreadyPublished):
            await publisher.publish_if_first(again)
    await publisher.publish_if_first(events.submitted(2))
    await publisher.publish_if_first(events.submitted(tenant="other"))
    await publisher.publish_if_first(events.fetched())


async def test_of_many_simultaneous_publishes_exactly_one_is_first(connection: Connection) -> None:
    publisher = Publisher(connection)
    batches = [batch_events.submitted(priority=priority) for priority in range(1, 11)]
    outcomes = await asyncio.gather(
        *map(publisher.publish_if_first, batches), return_exceptions=True
    )
    (first,) = (
        batch
        for batch, answer in zip(batches, outcomes, strict=True)
        if not isinstance(answer, BaseException)
    )
    assert sum(isinstance(answer, AlreadyPublished) for answer in outcomes) == 9
    found = await Log(connection).batch("default", batch_events.id_of())
    assert found is not None
    assert found.event == first


async def test_a_publisher_that_lost_its_ack_finds_its_own_event(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log looks at who was first before it looks for duplicates."""
    publish, tries = Publisher._publish_once, 0

    async def lost(self: Publisher, subject: str, body: bytes, headers: dict[str, str]) -> int:
        nonlocal tries
        tries += 1
        sequence = await publish(self, subject, body, headers)
        if tries == 1:
            raise BusUnavailable("the acknowledgement was lost")
        return sequence

    monkeypatch.setattr(Publisher, "_publish_once", lost)
    submitted = events.submitted(submitted_at=datetime.now(UTC))
    event = msgspec.structs.replace(submitted, fingerprint="0" * 64)
    with pytest.raises(AlreadyPublished):
        await Publisher(connection).publish_if_first(event)
    assert await Log(connection).submission("default", events.id_of(1)) == event


async def test_an_event_is_published_only_while_no_newer_one_is_about_its_document(
    connection: Connection,
) -> None:
    publisher, log = Publisher(connection), Log(connection)
    assert await log.newest("default", events.id_of(1)) is None
    first = await publisher.publish_after(events.submitted(), 0)
    assert await log.newest("default", events.id_of(1)) == NewestEvent(first, "submitted")
    await publisher.publish(events.fetched(2))
    second = await publisher.publish(events.fetched(priority=9))
    with pytest.raises(NewerEvents):
        await publisher.publish_after(events.cancelled(), first)
    with pytest.raises(NewerEvents):
        await publisher.publish_after(events.cancelled(), 0)
    third = await publisher.publish_after(events.cancelled(), second)
    assert await log.newest("default", events.id_of(1)) == NewestEvent(third, "cancelled")
    assert await messages(connection) == 4
