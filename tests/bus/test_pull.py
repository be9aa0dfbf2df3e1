"""Deliveries of one durable: never too many, never none for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from bus import streams
from bus.connection import Connection, connect
from bus.consumers import LANES, Consumer, ensure_lanes
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from bus.pull import HEARTBEAT, MISSED_HEARTBEATS, Pull
from schemas.documents import DocumentSubmitted
from tests import events
from tests.bus.conftest import KillableServer
from tests.waiting import wait_until

CONSUMER = Consumer(name="test", description="A test", event_type=DocumentSubmitted, ack_wait=1.0)
NORMAL = CONSUMER.durable(LANES[1])


class Puller:
    """A pull, and waiting for what it brings."""

    def __init__(self, connection: Connection, capacity: int) -> None:
        self.arrived = asyncio.Event()
        self.pull = Pull(connection, NORMAL, capacity, self.arrived.set)

    async def pop(self) -> Delivery:
        async with asyncio.timeout(20):
            while (delivery := self.pull.pop()) is None:
                self.arrived.clear()
                await self.arrived.wait()
        return delivery


@asynccontextmanager
async def pulling(connection: Connection, capacity: int) -> AsyncIterator[Puller]:
    await ensure_lanes(connection.jetstream, CONSUMER)
    puller = Puller(connection, capacity)
    async with puller.pull.open():
        yield puller


async def publish_events(connection: Connection, first: int, last: int) -> None:
    publisher = Publisher(connection)
    await asyncio.gather(*(publisher.publish(events.submitted(n)) for n in range(first, last + 1)))


async def delivered_count(connection: Connection) -> int:
    """Say how many deliveries the server believes to be in our hands."""
    return (await connection.jetstream.consumer_info(streams.EVENTS, NORMAL)).num_ack_pending or 0


@pytest.mark.parametrize("capacity", [1, 2, 7])
async def test_never_more_than_the_capacity_waits_here(
    connection: Connection, capacity: int
) -> None:
    await publish_events(connection, 1, 30)
    async with pulling(connection, capacity) as puller:
        await wait_until(lambda: len(puller.pull.buffer) == capacity)
        assert await delivered_count(connection) == capacity
        sequences = []
        for _ in range(30):
            delivery = await puller.pop()
            assert len(puller.pull.buffer) <= capacity
            sequences.append(delivery.sequence)
            await delivery.ack()
        assert sequences == list(range(1, 31))


async def test_a_later_event_is_delivered_at_once(connection: Connection) -> None:
    async with pulling(connection, 4) as puller:
        for number in range(1, 12):
            taking = asyncio.create_task(puller.pop())
            await publish_events(connection, number, number)
            # Less than after which a lost request is sent again.
            within = 0.9 * MISSED_HEARTBEATS * HEARTBEAT
            delivery = await asyncio.wait_for(taking, within)
            assert delivery.sequence == number
            await delivery.ack()


async def test_pulling_continues_after_the_server_was_killed(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        async with pulling(connection, 4) as puller:
            received: set[int] = set()
            for round_ in range(3):
                await publish_events(connection, round_ * 10 + 1, round_ * 10 + 10)
                while len(received) < (round_ + 1) * 10:
                    delivery = await puller.pop()
                    await delivery.ack()
                    received.add(delivery.sequence)
                await killable_server.kill()
                await wait_until(lambda: not connection.connected)
                await killable_server.start()
            assert received == set(range(1, 31))


async def test_a_request_the_server_forgot_is_made_again(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a lost message: no reply from the server, and no delivery."""
    monkeypatch.setattr("bus.pull.HEARTBEAT", 0.1)
    monkeypatch.setattr("bus.pull.MISSED_HEARTBEATS", 2)
    await ensure_lanes(connection.jetstream, CONSUMER)
    puller = Puller(connection, 4)
    publish = connection.client.publish
    lost: list[str] = []

    async def lose_the_first(subject: str, *rest: object, **named: object) -> None:
        if "MSG.NEXT" in subject and not lost:
            lost.append(subject)
        else:
            await publish(subject, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(connection.client, "publish", lose_the_first)
    async with puller.pull.open():
        await wait_until(lambda: bool(lost))
        await publish_events(connection, 1, 1)
        assert (await puller.pop()).sequence == 1


async def test_a_refused_request_is_not_repeated_in_a_tight_loop(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_lanes(connection.jetstream, CONSUMER)
    config = (await connection.jetstream.consumer_info(streams.EVENTS, NORMAL)).config
    changed = {"stream_name": streams.EVENTS, "config": config.as_dict() | {"max_batch": 1}}
    subject = f"$JS.API.CONSUMER.CREATE.{streams.EVENTS}.{NORMAL}"
    await connection.request(subject, msgspec.json.encode(changed))
    asked: list[str] = []
    publish = connection.client.publish

    async def count(subject: str, *rest: object, **named: object) -> None:
        asked.append(subject)
        await publish(subject, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(connection.client, "publish", count)
    async with Puller(connection, 4).pull.open():
        await wait_until(lambda: len(asked) >= 2)
        loop = asyncio.get_running_loop()
        started, before = loop.time(), len(asked)
        await wait_until(lambda: len(asked) >= before + 2)
        assert loop.time() - started > 0.2


async def test_a_consumer_that_was_deleted_is_an_error(connection: Connection) -> None:
    async with pulling(connection, 4) as puller:
        await publish_events(connection, 1, 1)
        await puller.pop()
        await connection.jetstream.delete_consumer(streams.EVENTS, NORMAL)
        with pytest.raises(BusUnavailable, match="gone"):
            await puller.pop()
    async with pulling(connection, 4) as puller:
        assert (await puller.pop()).sequence == 1


async def test_a_consumer_that_never_was_is_an_error(connection: Connection) -> None:
    puller = Puller(connection, 4)
    async with puller.pull.open():
        with pytest.raises(BusUnavailable, match="gone"):
            await puller.pop()


@pytest.mark.parametrize("capacity", [50, 250])
async def test_deliveries_in_flight_at_the_end_of_a_pull_stay_in_its_buffer(
    connection: Connection, capacity: int
) -> None:
    """The server drops what it has counted as delivered but not sent: nobody else would get it."""

    async def none_is_out() -> bool:
        return not await delivered_count(connection)

    for first in range(1, 2001, 200):
        await publish_events(connection, first, first + 199)
        async with pulling(connection, capacity) as puller:
            while not puller.pull._outstanding:  # noqa: ASYNC110
                await asyncio.sleep(0)  # to leave before all have arrived
        assert len(puller.pull.buffer) >= min(capacity, 200)
        assert len(puller.pull.buffer) == await delivered_count(connection)
        for delivery in puller.pull.buffer:
            await delivery.ack()
        await wait_until(none_is_out)


async def test_a_pull_ends_also_when_the_server_holds_its_events_back(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.consumers.MAX_ACK_PENDING", 2)
    monkeypatch.setattr("bus.pull.FILL_TIMEOUT", 0.1)
    await publish_events(connection, 1, 4)
    publish, asked = connection.client.publish, 0

    async def counted(*arguments: Any, **more: Any) -> None:
        nonlocal asked
        asked += 1
        await publish(*arguments, **more)

    async with asyncio.timeout(10), pulling(connection, 9) as puller:
        await wait_until(lambda: len(puller.pull.buffer) == 2)
        monkeypatch.setattr(connection.client, "publish", counted)
    assert 0 < asked < 20, "it is not asked in a tight loop"
    assert await delivered_count(connection) == 2


async def test_leaving_while_the_server_is_down_does_not_hang(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        async with asyncio.timeout(30), pulling(connection, 4):
            await killable_server.kill()
            await wait_until(lambda: not connection.connected)
