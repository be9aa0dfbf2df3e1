"""Paused consumers deliver nothing until their time, whatever restarts; what waits is counted."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from actors.ocr import Ocr
from bus import pauses, streams
from bus.backlog import Backlog, read_backlog
from bus.connection import Connection, connect
from bus.consumers import LANES, Consumer, ensure_lanes
from bus.inbox import Inbox
from bus.pauses import NothingToPause, durables_of
from bus.publisher import Publisher
from schemas.documents import DocumentSubmitted, Stored
from tests import events
from tests.bus.conftest import KillableServer
from tests.waiting import wait_until

CONSUMER = Consumer(name="test", description="A test", event_type=DocumentSubmitted, ack_wait=0.5)
NORMAL = LANES[1]


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_pause_outlasts_the_server_and_counts_as_no_attempt(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="operator") as connection:
        await streams.ensure(connection.jetstream)
        await ensure_lanes(connection.jetstream, CONSUMER)
        await pauses.pause(connection, CONSUMER, soon(3600))
        await Publisher(connection).publish(events.submitted(1))
        async with Inbox(connection, CONSUMER, 2).open() as inbox:
            waiting = asyncio.create_task(inbox.get())
            await killable_server.kill()
            await killable_server.start()
            await wait_until(lambda: connection.connected)
            assert await pauses.paused_until(connection, CONSUMER.durable(NORMAL)) is not None
            assert not (await asyncio.wait([waiting], timeout=2 * CONSUMER.ack_wait))[0]
            await pauses.resume(connection, CONSUMER)
            assert (await waiting).attempt == 1
        assert await pauses.paused_until(connection, CONSUMER.durable(NORMAL)) is None


async def test_a_pause_ends_by_itself_and_the_server_publishes_both(
    connection: Connection,
) -> None:
    await ensure_lanes(connection.jetstream, CONSUMER)
    seen: list[bool] = []
    subject = f"$JS.EVENT.ADVISORY.CONSUMER.PAUSE.{streams.EVENTS}.{CONSUMER.durable(NORMAL)}"
    await connection.client.subscribe_directly(
        subject, lambda message: seen.append(msgspec.json.decode(message.data)["paused"])
    )
    await connection.client.flush()
    await pauses.pause(connection, CONSUMER, soon(1))
    await Publisher(connection).publish(events.submitted(1))
    async with Inbox(connection, CONSUMER, 2).open() as inbox:
        await inbox.get()
    await wait_until(lambda: seen == [True, False])


async def test_what_is_in_hand_when_a_pause_begins_is_finished(connection: Connection) -> None:
    await ensure_lanes(connection.jetstream, CONSUMER)
    await Publisher(connection).publish(events.submitted(1))
    async with Inbox(connection, CONSUMER, 2).open() as inbox:
        delivery = await inbox.get()
        await pauses.pause(connection, CONSUMER, soon(3600))
        await asyncio.sleep(2 * CONSUMER.ack_wait)  # in which its deadline is renewed
        await delivery.ack()
        inbox.release(delivery)

        async def is_done() -> bool:
            info = await connection.jetstream.consumer_info(
                streams.EVENTS, CONSUMER.durable(NORMAL)
            )
            return not info.num_ack_pending and info.ack_floor.stream_seq == delivery.sequence

        await wait_until(is_done)
        await pauses.resume(connection, CONSUMER)
        await Publisher(connection).publish(events.submitted(2))
        assert (await inbox.get()).sequence > delivery.sequence


async def test_consumers_that_do_not_exist_cannot_be_paused(connection: Connection) -> None:
    with pytest.raises(NothingToPause, match="start the service once"):
        await pauses.pause(connection, CONSUMER, soon(60))


def test_a_role_is_paused_at_all_of_its_durables() -> None:
    assert durables_of(Ocr.consumer) == [
        *(f"ocr-{lane}" for lane in ("high", "normal", "low")),
        *(f"ocr-stored-{lane}" for lane in ("high", "normal", "low")),
    ]


async def test_the_backlog_of_a_role_has_its_own_events_alone(connection: Connection) -> None:
    for one in Ocr.consumer.sources:
        await ensure_lanes(connection.jetstream, one)
    assert await read_backlog(connection, Ocr.consumer, NORMAL) == Backlog()
    publisher = Publisher(connection)
    # Of uploads only those whose type is detected are for ocr; the others are fetched first.
    detected = Stored(1, events.SHA256, detected="application/pdf")
    for number in range(6):
        source = detected if number % 3 else Stored(1, events.SHA256)
        await publisher.publish(events.submitted(number, source=source))
    await publisher.publish(events.submitted(7, priority=9, source=detected))
    found = await read_backlog(connection, Ocr.consumer, NORMAL)
    assert (found.waiting, found.unfinished, found.paused_until) == (4, 0, None)
    assert found.oldest is not None
    second = await connection.jetstream.get_msg(streams.EVENTS, 2)
    assert found.oldest == second.time
