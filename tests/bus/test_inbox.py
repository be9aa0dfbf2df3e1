"""The inbox delivers urgent work first, starves none, and extends and releases deliveries."""

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from bus import consumers, streams
from bus.connection import Connection, connect
from bus.consumers import LANES, Consumer
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.inbox import Inbox
from bus.publisher import Publisher
from bus.subjects import StreamIdentity
from schemas.documents import DocumentFetched, DocumentSubmitted
from tests import events
from tests.bus.conftest import KillableServer
from tests.waiting import wait_until

WITHIN = 30.0
CONSUMER = Consumer(name="test", description="A test", event_type=DocumentSubmitted, ack_wait=0.5)
PATIENT = Consumer(name="test", description="A test", event_type=DocumentSubmitted, ack_wait=60.0)


async def publish_events(connection: Connection, numbers: Iterable[int], priority: int = 5) -> None:
    publisher = Publisher(connection)
    publications = (
        publisher.publish(events.submitted(number, priority=priority)) for number in numbers
    )
    await asyncio.gather(*publications)


async def get_delivery(inbox: Inbox) -> Delivery:
    async with asyncio.timeout(WITHIN):
        return await inbox.get()


async def finish_next(inbox: Inbox) -> Delivery:
    delivery = await get_delivery(inbox)
    await delivery.ack()
    inbox.release(delivery)
    return delivery


def priority(delivery: Delivery) -> str:
    return delivery.subject.split(".")[3]


async def delivered_count(connection: Connection) -> int:
    held = 0
    for lane in LANES:
        info = await connection.jetstream.consumer_info(streams.EVENTS, CONSUMER.durable(lane))
        held += info.num_ack_pending or 0
    return held


async def is_acknowledged(connection: Connection) -> bool:
    return await delivered_count(connection) == 0


async def test_events_of_every_priority_are_delivered_once(connection: Connection) -> None:
    for number in range(1, 11):
        await publish_events(connection, [number], priority=number)
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        received = sorted([priority(await finish_next(inbox)) for _ in range(10)])
    assert received == [f"p{number:02d}" for number in range(1, 11)]


async def test_a_slot_for_urgent_work_takes_no_other(connection: Connection) -> None:
    await publish_events(connection, range(1, 11), priority=5)
    async with Inbox(connection, PATIENT, 4).open() as inbox:
        await finish_next(inbox)
        reserved = asyncio.create_task(inbox.get(only_urgent=True))
        await wait_until(lambda: bool(inbox._lanes[1][1].buffer))
        await finish_next(inbox)
        assert not reserved.done()
        await publish_events(connection, [1000], priority=10)
        async with asyncio.timeout(WITHIN):
            assert priority(await reserved) == "p10"


async def test_urgent_work_overtakes_a_backlog(connection: Connection) -> None:
    await publish_events(connection, range(1, 101), priority=5)
    async with Inbox(connection, PATIENT, 4).open() as inbox:
        for _ in range(10):
            await finish_next(inbox)
        await publish_events(connection, [1000], priority=10)
        await wait_until(lambda: bool(inbox._lanes[0][1].buffer))
        assert priority(await finish_next(inbox)) == "p10"


async def test_low_work_is_not_starved(connection: Connection) -> None:
    await publish_events(connection, range(1, 101), priority=10)
    await publish_events(connection, range(201, 301), priority=5)
    await publish_events(connection, range(401, 501), priority=1)
    async with Inbox(connection, PATIENT, 16).open() as inbox:
        received = []
        for _ in range(60):
            await wait_until(lambda: all(pull.buffer for _, pull in inbox._lanes))
            received.append(priority(await finish_next(inbox)))
    assert received.count("p10") == 40, received
    assert received.count("p05") == 15, received
    assert received.count("p01") == 5, received


async def test_two_consumers_share_the_weight_of_a_lane_in_the_order_of_the_log(
    connection: Connection,
) -> None:
    publisher = Publisher(connection)
    for number in range(1, 41):
        await publisher.publish(events.submitted(number, priority=10))
        await publisher.publish(events.fetched(number, priority=10))
        await publisher.publish(events.submitted(100 + number, priority=5))
    second = Consumer(name="second", description="A test", event_type=DocumentFetched)
    both = msgspec.structs.replace(PATIENT, beside=second)
    async with Inbox(connection, both, 16).open() as inbox:
        received = []
        for _ in range(33):
            await wait_until(lambda: all(pull.buffer for _, pull in inbox._lanes[:3]))
            received.append(await finish_next(inbox))
    urgent = [one.sequence for one in received if priority(one) == "p10"]
    assert (len(received), len(urgent)) == (33, 24)
    assert urgent == sorted(urgent)


async def test_what_is_not_wanted_is_acknowledged_as_it_arrives(connection: Connection) -> None:
    await publish_events(connection, range(1, 101))
    odd = msgspec.structs.replace(PATIENT, wanted=lambda delivery: delivery.sequence % 2 == 1)
    async with Inbox(connection, odd, 4).open() as inbox:
        received = [(await finish_next(inbox)).sequence for _ in range(50)]
        await wait_until(lambda: is_acknowledged(connection))
    assert received == list(range(1, 101, 2))


async def test_low_work_alone_gets_everything(connection: Connection) -> None:
    await publish_events(connection, range(1, 51), priority=1)
    async with Inbox(connection, PATIENT, 4).open() as inbox:
        assert {priority(await finish_next(inbox)) for _ in range(50)} == {"p01"}


async def test_never_more_than_the_capacity_of_each_lane_is_taken_from_others(
    connection: Connection,
) -> None:
    await publish_events(connection, range(1, 51))
    async with Inbox(connection, PATIENT, 3).open() as inbox:
        in_hand = [await get_delivery(inbox) for _ in range(3)]
        await wait_until(lambda: len(inbox._lanes[1][1].buffer) == 3)
        assert await delivered_count(connection) == 6
        for delivery in in_hand:
            await delivery.ack()
            inbox.release(delivery)


async def test_an_inbox_survives_a_killed_server(killable_server: KillableServer) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        await publish_events(connection, range(1, 41))
        async with Inbox(connection, CONSUMER, 4).open() as inbox:
            received = {(await finish_next(inbox)).sequence for _ in range(20)}
            await killable_server.kill()
            await killable_server.start()
            while len(received) < 40:
                received.add((await finish_next(inbox)).sequence)
            await wait_until(lambda: connection.connected)
            await publish_events(connection, [41])
            while 41 not in received:
                received.add((await finish_next(inbox)).sequence)


async def test_deadlines_of_waiting_and_running_deliveries_are_extended(
    connection: Connection,
) -> None:
    await publish_events(connection, range(1, 5))
    async with Inbox(connection, CONSUMER, 2).open() as slow:
        in_hand = [await get_delivery(slow), await get_delivery(slow)]
        await wait_until(lambda: len(slow._lanes[1][1].buffer) == 2)
        async with Inbox(connection, CONSUMER, 4).open() as idle:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(idle.get(), CONSUMER.ack_wait * 3)
        for delivery in in_hand:
            assert delivery.attempt == 1
            await delivery.ack()


async def test_an_unacknowledged_delivery_is_repeated_after_its_deadline(
    connection: Connection,
) -> None:
    await publish_events(connection, [1])
    async with Inbox(connection, CONSUMER, 2).open() as inbox:
        first = await get_delivery(inbox)
        inbox.release(first)
        again = await get_delivery(inbox)
        assert (again.sequence, again.attempt) == (first.sequence, 2)
        await again.ack()


async def test_unfinished_deliveries_are_released_when_the_inbox_closes(
    connection: Connection,
) -> None:
    """With a deadline of a minute, only handing back can bring them here in time."""
    await publish_events(connection, range(1, 31))
    async with Inbox(connection, PATIENT, 8).open() as leaving:
        for _ in range(3):
            await get_delivery(leaving)
        await wait_until(lambda: len(leaving._lanes[1][1].buffer) == 5)
    async with asyncio.timeout(30), Inbox(connection, PATIENT, 8).open() as staying:
        deliveries = [await finish_next(staying) for _ in range(30)]
    assert {delivery.sequence for delivery in deliveries} == set(range(1, 31))
    assert max(delivery.attempt for delivery in deliveries) == 2


async def test_a_released_delivery_goes_to_another_process(
    connection: Connection,
) -> None:
    await publish_events(connection, range(1, 31))
    staying = Inbox(connection, PATIENT, 64)
    async with Inbox(connection, PATIENT, 30).open() as leaving:
        await wait_until(lambda: len(leaving._lanes[1][1].buffer) == 30)
        neighbour = staying.open()
        await neighbour.__aenter__()
    try:
        deliveries = [await finish_next(staying) for _ in range(30)]
        assert {delivery.sequence for delivery in deliveries} == set(range(1, 31))
        assert {delivery.attempt for delivery in deliveries} == {2}, "some went round in a circle"
    finally:
        await neighbour.__aexit__(None, None, None)


async def pulled(connection: Connection, durable: str) -> bool:
    info = await connection.jetstream.consumer_info(streams.EVENTS, durable)
    return bool(info.num_waiting)


async def test_a_deleted_consumer_is_an_error_and_reopening_recreates_it(
    connection: Connection,
) -> None:
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        durable = PATIENT.durable(LANES[0])
        await wait_until(lambda: pulled(connection, durable))
        await connection.jetstream.delete_consumer(streams.EVENTS, durable)
        with pytest.raises(BusUnavailable, match="test-high"):
            await get_delivery(inbox)
    await publish_events(connection, [1], priority=10)
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        assert (await finish_next(inbox)).sequence == 1


async def test_reopening_recreates_a_deleted_stream(
    connection: Connection,
) -> None:
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        await wait_until(lambda: pulled(connection, PATIENT.durable(LANES[0])))
        await connection.jetstream.delete_stream(streams.EVENTS)
        with pytest.raises(BusUnavailable):
            await get_delivery(inbox)
    async with Inbox(connection, PATIENT, 2).open() as inbox:
        await publish_events(connection, [1])
        assert (await finish_next(inbox)).sequence == 1


async def test_many_workers_share_the_deliveries_and_none_idles(
    connection: Connection,
) -> None:
    async with Inbox(connection, PATIENT, 8).open() as inbox:
        takers = [asyncio.create_task(get_delivery(inbox)) for _ in range(8)]
        await publish_events(connection, range(1, 4), priority=9)
        await publish_events(connection, range(4, 9), priority=2)
        taken = await asyncio.gather(*takers)
    assert sorted(delivery.sequence for delivery in taken) == list(range(1, 9))


async def test_a_cancelled_take_loses_no_delivery(connection: Connection) -> None:
    async with Inbox(connection, PATIENT, 4).open() as inbox:
        idle = [asyncio.create_task(inbox.get()) for _ in range(4)]
        await asyncio.sleep(0)
        for task in idle:
            task.cancel()
        await publish_events(connection, [1])
        assert (await finish_next(inbox)).sequence == 1


async def test_no_server_is_a_bus_error(killable_server: KillableServer) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        connection.jetstream = connection.client.jetstream(timeout=0.2)
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        with pytest.raises(BusUnavailable, match="cannot be created"):
            async with Inbox(connection, PATIENT, 4).open():
                pytest.fail("there is no server")


async def test_a_recreated_consumer_starts_after_the_finished_events(
    connection: Connection,
) -> None:
    publisher = Publisher(connection)
    for number in range(1, 5):
        await publisher.publish(events.submitted(number))

    async def settled(log: StreamIdentity) -> int:
        assert log.last_sequence == 4
        return 3

    async with Inbox(connection, PATIENT, 4, settled).open() as inbox:
        assert (await inbox.get()).sequence == 1  # a few more cost nothing

    await connection.jetstream.delete_consumer(streams.EVENTS, PATIENT.durable(LANES[1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consumers, "MAX_FINISHED_REDELIVERIES", 2)
        async with Inbox(connection, PATIENT, 4, settled).open() as inbox:
            assert (await inbox.get()).sequence == 4
