"""An actor's work: urgent first, none starved, held while in hand, handed back when it is left."""

import asyncio
from collections.abc import Iterable

import pytest

from bus import consumers, streams
from bus.connection import Connection, connect
from bus.consumers import LANES, Consumer
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.inbox import Inbox
from bus.publisher import Publisher
from schemas.documents import DocumentSubmitted
from tests import events
from tests.bus.conftest import MortalServer
from tests.waiting import until

WITHIN = 10.0
CONSUMER = Consumer(name="test", description="A test", hears=DocumentSubmitted, ack_within=0.5)
PATIENT = Consumer(name="test", description="A test", hears=DocumentSubmitted, ack_within=60.0)


async def say(connection: Connection, numbers: Iterable[int], priority: int = 5) -> None:
    publisher = Publisher(connection)
    said = (publisher.say(events.submitted(number, priority=priority)) for number in numbers)
    await asyncio.gather(*said)


async def take(inbox: Inbox) -> Delivery:
    async with asyncio.timeout(WITHIN):
        return await inbox.take()


async def finish(inbox: Inbox) -> Delivery:
    delivery = await take(inbox)
    await delivery.ack()
    inbox.let_go(delivery)
    return delivery


def priority(delivery: Delivery) -> str:
    return delivery.subject.split(".")[3]


async def handed_out(connection: Connection) -> int:
    held = 0
    for lane in LANES:
        info = await connection.jetstream.consumer_info(streams.EVENTS, CONSUMER.durable(lane))
        held += info.num_ack_pending or 0
    return held


async def test_every_priority_is_heard_once(connection: Connection) -> None:
    for number in range(1, 11):
        await say(connection, [number], priority=number)
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        heard = sorted([priority(await finish(inbox)) for _ in range(10)])
    assert heard == [f"p{number:02d}" for number in range(1, 11)]


async def test_who_is_there_for_urgent_work_takes_no_other(connection: Connection) -> None:
    await say(connection, range(1, 11), priority=5)
    async with Inbox(connection, PATIENT, 4).open() as inbox:
        await finish(inbox)
        reserved = asyncio.create_task(inbox.take(only_urgent=True))
        await until(lambda: bool(inbox._lanes[1][1].waiting))
        await finish(inbox)
        assert not reserved.done()
        await say(connection, [1000], priority=10)
        async with asyncio.timeout(WITHIN):
            assert priority(await reserved) == "p10"


async def test_urgent_work_overtakes_a_backlog(connection: Connection) -> None:
    await say(connection, range(1, 101), priority=5)
    async with Inbox(connection, PATIENT, 4).open() as inbox:
        for _ in range(10):
            await finish(inbox)
        await say(connection, [1000], priority=10)
        await until(lambda: bool(inbox._lanes[0][1].waiting))
        assert priority(await finish(inbox)) == "p10"


async def test_low_work_is_not_starved(connection: Connection) -> None:
    await say(connection, range(1, 101), priority=10)
    await say(connection, range(201, 301), priority=5)
    await say(connection, range(401, 501), priority=1)
    async with Inbox(connection, PATIENT, 16).open() as inbox:
        heard = []
        for _ in range(60):
            await until(lambda: all(pull.waiting for _, pull in inbox._lanes))
            heard.append(priority(await finish(inbox)))
    assert heard.count("p10") == 40, heard
    assert heard.count("p05") == 15, heard
    assert heard.count("p01") == 5, heard


async def test_low_work_alone_gets_everything(connection: Connection) -> None:
    await say(connection, range(1, 51), priority=1)
    async with Inbox(connection, PATIENT, 4).open() as inbox:
        assert {priority(await finish(inbox)) for _ in range(50)} == {"p01"}


async def test_never_more_than_the_capacity_of_each_lane_is_taken_from_others(
    connection: Connection,
) -> None:
    await say(connection, range(1, 51))
    async with Inbox(connection, PATIENT, 3).open() as inbox:
        in_hand = [await take(inbox) for _ in range(3)]
        await until(lambda: len(inbox._lanes[1][1].waiting) == 3)
        assert await handed_out(connection) == 6
        for delivery in in_hand:
            await delivery.ack()
            inbox.let_go(delivery)


async def test_it_survives_the_servers_sudden_death(mortal: MortalServer) -> None:
    async with connect(mortal.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        await say(connection, range(1, 41))
        async with Inbox(connection, CONSUMER, 4).open() as inbox:
            heard = {(await finish(inbox)).sequence for _ in range(20)}
            await mortal.kill()
            await mortal.start()
            while len(heard) < 40:
                heard.add((await finish(inbox)).sequence)
            await until(lambda: connection.connected)
            await say(connection, [41])
            while 41 not in heard:
                heard.add((await finish(inbox)).sequence)


async def test_what_is_in_hand_and_what_waits_is_held_beyond_the_deadline(
    connection: Connection,
) -> None:
    await say(connection, range(1, 5))
    async with Inbox(connection, CONSUMER, 2).open() as slow:
        in_hand = [await take(slow), await take(slow)]
        await until(lambda: len(slow._lanes[1][1].waiting) == 2)
        async with Inbox(connection, CONSUMER, 4).open() as idle:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(idle.take(), CONSUMER.ack_within * 3)
        for delivery in in_hand:
            assert delivery.attempt == 1
            await delivery.ack()


async def test_what_was_let_go_unanswered_comes_again_after_the_deadline(
    connection: Connection,
) -> None:
    await say(connection, [1])
    async with Inbox(connection, CONSUMER, 2).open() as inbox:
        first = await take(inbox)
        inbox.let_go(first)
        again = await take(inbox)
        assert (again.sequence, again.attempt) == (first.sequence, 2)
        await again.ack()


async def test_what_is_held_when_it_is_left_is_delivered_elsewhere_at_once(
    connection: Connection,
) -> None:
    """With a deadline of a minute, only handing back can bring them here in time."""
    await say(connection, range(1, 31))
    async with Inbox(connection, PATIENT, 8).open() as leaving:
        for _ in range(3):
            await take(leaving)
        await until(lambda: len(leaving._lanes[1][1].waiting) == 5)
    async with asyncio.timeout(30), Inbox(connection, PATIENT, 8).open() as staying:
        deliveries = [await finish(staying) for _ in range(30)]
    assert {delivery.sequence for delivery in deliveries} == set(range(1, 31))
    assert max(delivery.attempt for delivery in deliveries) == 2


async def test_what_is_handed_back_is_delivered_to_a_neighbour_not_to_oneself(
    connection: Connection,
) -> None:
    await say(connection, range(1, 31))
    staying = Inbox(connection, PATIENT, 64)
    async with Inbox(connection, PATIENT, 30).open() as leaving:
        await until(lambda: len(leaving._lanes[1][1].waiting) == 30)
        neighbour = staying.open()
        await neighbour.__aenter__()
    try:
        deliveries = [await finish(staying) for _ in range(30)]
        assert {delivery.sequence for delivery in deliveries} == set(range(1, 31))
        assert {delivery.attempt for delivery in deliveries} == {2}, "some went round in a circle"
    finally:
        await neighbour.__aexit__(None, None, None)


async def pulled(connection: Connection, durable: str) -> bool:
    info = await connection.jetstream.consumer_info(streams.EVENTS, durable)
    return bool(info.num_waiting)


async def test_a_consumer_deleted_under_it_is_an_error_and_opening_anew_mends_it(
    connection: Connection,
) -> None:
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        durable = PATIENT.durable(LANES[0])
        await until(lambda: pulled(connection, durable))
        await connection.jetstream.delete_consumer(streams.EVENTS, durable)
        with pytest.raises(BusUnavailable, match="test-high"):
            await take(inbox)
    await say(connection, [1], priority=10)
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        assert (await finish(inbox)).sequence == 1


async def test_a_stream_deleted_under_it_is_made_anew_by_opening_anew(
    connection: Connection,
) -> None:
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        await until(lambda: pulled(connection, PATIENT.durable(LANES[0])))
        await connection.jetstream.delete_stream(streams.EVENTS)
        with pytest.raises(BusUnavailable):
            await take(inbox)
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        await say(connection, [1])
        assert (await finish(inbox)).sequence == 1


async def test_many_takers_share_the_work_and_none_waits_while_there_is_some(
    connection: Connection,
) -> None:
    async with Inbox(connection, PATIENT, 8).open() as inbox:
        takers = [asyncio.create_task(take(inbox)) for _ in range(8)]
        await say(connection, range(1, 4), priority=9)
        await say(connection, range(4, 9), priority=2)
        taken = await asyncio.gather(*takers)
    assert sorted(delivery.sequence for delivery in taken) == list(range(1, 9))


async def test_a_cancelled_taker_takes_nothing_with_it(connection: Connection) -> None:
    async with Inbox(connection, PATIENT, 4).open() as inbox:
        idle = [asyncio.create_task(inbox.take()) for _ in range(4)]
        await asyncio.sleep(0)
        for task in idle:
            task.cancel()
        await say(connection, [1])
        assert (await finish(inbox)).sequence == 1


async def test_no_server_is_an_error_in_our_words(mortal: MortalServer) -> None:
    async with connect(mortal.url("operator"), name="test") as connection:
        connection.jetstream = connection.client.jetstream(timeout=0.2)
        await mortal.kill()
        await until(lambda: not connection.connected)
        with pytest.raises(BusUnavailable, match="cannot be made"):
            async with Inbox(connection, PATIENT, 4).open():
                pytest.fail("there is no server")


async def test_a_consumer_made_again_begins_behind_what_is_settled(connection: Connection) -> None:
    publisher = Publisher(connection)
    for number in range(1, 5):
        await publisher.say(events.submitted(number))

    async def settled(log: streams.StreamIdentity) -> int:
        assert log.last_sequence == 4
        return 3

    async with Inbox(connection, PATIENT, 4, settled).open() as inbox:
        assert (await inbox.take()).sequence == 1  # a few more cost nothing

    await connection.jetstream.delete_consumer(streams.EVENTS, PATIENT.durable(LANES[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consumers, "FAR_BEHIND", 2)
        async with Inbox(connection, PATIENT, 4, settled).open() as inbox:
            assert (await inbox.take()).sequence == 4
