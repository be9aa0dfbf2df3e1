"""An inbox whose intake is closed takes nothing, and goes on with what is in hand."""

import asyncio
import time

from bus import streams
from bus.connection import Connection
from bus.consumers import LANES, Consumer
from bus.inbox import Inbox
from bus.intake import Intake
from bus.publisher import Publisher
from schemas.documents import DocumentSubmitted
from tests import events
from tests.waiting import wait_until

CONSUMER = Consumer(name="test", description="A test", event_type=DocumentSubmitted, ack_wait=1.0)
DURABLE = CONSUMER.durable(LANES[1])


async def publish(connection: Connection, count: int) -> None:
    publisher = Publisher(connection)
    for number in range(count):
        await publisher.publish(events.submitted(number))


async def test_a_closed_intake_gives_back_what_is_not_begun_and_renews_what_is(
    connection: Connection,
) -> None:
    await publish(connection, 4)
    intake = Intake()
    async with Inbox(connection, CONSUMER, 4, intake=intake).open() as inbox:
        first = await inbox.get()
        assert intake.in_hand == 1
        intake.set("drain", "the host is drained")
        async with Inbox(connection, CONSUMER, 4).open() as other:
            others = {(await other.get()).sequence for _ in range(3)}
            assert first.sequence not in others
            # Longer than an acknowledgement is waited for: a deadline that is not renewed passes.
            waiting = asyncio.create_task(other.get())
            assert not (await asyncio.wait([waiting], timeout=2 * CONSUMER.ack_wait))[0]
            waiting.cancel()
        await first.ack()
        inbox.release(first)
        assert intake.in_hand == 0
        intake.set("drain", None)
        assert (await inbox.get()).sequence in others


async def test_a_closed_intake_asks_the_server_for_nothing(connection: Connection) -> None:
    async def requests() -> int:
        info = await connection.jetstream.consumer_info(streams.EVENTS, DURABLE)
        return int(info.num_waiting or 0)

    intake = Intake()
    async with Inbox(connection, CONSUMER, 2, intake=intake).open() as inbox:
        await wait_until(lambda: _is_one(requests))
        intake.set("health", "the disk is full")
        intake.set("pause", "paused")
        intake.set("health", None)
        assert intake.reasons == ["paused"]
        await publish(connection, 1)
        waiting = asyncio.create_task(inbox.get())
        assert not (await asyncio.wait([waiting], timeout=0.5))[0]
        intake.set("pause", None)
        assert (await waiting).attempt >= 1


async def _is_one(requests: object) -> bool:
    assert callable(requests)
    return bool(await requests() == 1)


def test_the_clock_of_an_intake_stands_still_while_it_is_closed() -> None:
    intake = Intake()
    before = intake.clock()
    intake.set("pause", "paused")
    closed_at = intake.clock()
    time.sleep(0.02)
    assert intake.clock() == closed_at
    intake.set("pause", None)
    assert before <= intake.clock() < closed_at + 0.02
