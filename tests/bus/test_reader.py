"""The log is read in order from a given sequence, without gaps."""

import asyncio

import pytest

from bus import reader as module
from bus import streams
from bus.connection import Connection, connect
from bus.delivery import Delivery
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from bus.reader import Reader, ReaderInUse, ReadSession, SequenceGap
from schemas.documents import DocumentFailed, DocumentSubmitted
from tests import events
from tests.bus.conftest import KillableServer
from tests.waiting import wait_until

EVENT_TYPES = (DocumentSubmitted, DocumentFailed)


def reader(connection: Connection) -> Reader:
    return Reader(connection, "test", "A test", EVENT_TYPES)


async def publish_events(connection: Connection, first: int, last: int) -> None:
    publisher = Publisher(connection)
    for number in range(first, last + 1):
        await publisher.publish(events.submitted(number))


async def read(reading: ReadSession, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(20):
        while len(taken) < count:
            taken += await reading.fetch(count - len(taken))
    return taken


async def test_a_reader_reads_in_order_and_only_filtered_events(connection: Connection) -> None:
    await publish_events(connection, 1, 2)
    await Publisher(connection).publish(events.fetched())
    await Publisher(connection).publish(events.failed())
    async with reader(connection).read_after(0, 10) as reading:
        assert [delivery.sequence for delivery in await read(reading, 3)] == [1, 2, 4]


async def test_a_group_is_all_that_is_there_but_not_more_than_asked_for(
    connection: Connection,
) -> None:
    await publish_events(connection, 1, 20)
    async with reader(connection).read_after(0, 20) as reading:
        await wait_until(lambda: len(reading._pull.buffer) == 20)
        assert len(await reading.fetch(15)) == 15
        assert len(await reading.fetch(15)) == 5


async def test_more_than_fits_in_hand_is_read_in_order_too(connection: Connection) -> None:
    await publish_events(connection, 1, 200)
    async with reader(connection).read_after(0, 16) as reading:
        sequences: list[int] = []
        async with asyncio.timeout(20):
            while len(sequences) < 200:
                group = await reading.fetch(16)
                sequences += [delivery.sequence for delivery in group]
                await group[-1].ack()
    assert sequences == list(range(1, 201))


async def test_unacknowledged_events_are_read_again_at_any_cursor(
    connection: Connection,
) -> None:
    await publish_events(connection, 1, 5)
    async with reader(connection).read_after(0, 10) as reading:
        await (await read(reading, 2))[-1].ack()
    await wait_until(lambda: acknowledged(connection, 2))
    async with reader(connection).read_after(4, 10) as reading:
        assert [delivery.sequence for delivery in await read(reading, 3)] == [3, 4, 5]


async def acknowledged(connection: Connection, sequence: int) -> bool:
    floor = (await connection.jetstream.consumer_info(streams.EVENTS, "test")).ack_floor
    return floor is not None and floor.stream_seq == sequence


async def test_an_earlier_cursor_reads_acknowledged_events_again(connection: Connection) -> None:
    await publish_events(connection, 1, 5)
    async with reader(connection).read_after(0, 10) as reading:
        await (await read(reading, 5))[-1].ack()
    await wait_until(lambda: acknowledged(connection, 5))
    async with reader(connection).read_after(1, 10) as reading:
        deliveries = await read(reading, 4)
    assert [delivery.sequence for delivery in deliveries] == [2, 3, 4, 5]
    assert {delivery.attempt for delivery in deliveries} == {1}


async def test_a_gap_on_the_log_is_no_gap_in_reading(connection: Connection) -> None:
    await publish_events(connection, 1, 5)
    for sequence in (1, 3):
        await connection.jetstream.delete_msg(streams.EVENTS, sequence)
    async with reader(connection).read_after(0, 10) as reading:
        assert [delivery.sequence for delivery in await read(reading, 3)] == [2, 4, 5]


async def test_a_lost_delivery_is_out_of_order(connection: Connection) -> None:
    await publish_events(connection, 1, 3)
    async with reader(connection).read_after(0, 10) as reading:
        await wait_until(lambda: len(reading._pull.buffer) == 3)
        reading._pull.buffer.popleft()
        with pytest.raises(SequenceGap):
            await reading.fetch(10)
    async with reader(connection).read_after(0, 10) as reading:
        assert [delivery.sequence for delivery in await read(reading, 3)] == [1, 2, 3]


async def test_a_repeated_delivery_is_out_of_order(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ACK_WAIT", 0.2)
    await publish_events(connection, 1, 1)
    async with reader(connection).read_after(0, 10) as reading:
        await read(reading, 1)
        with pytest.raises(SequenceGap):
            async with asyncio.timeout(20):
                await reading.fetch(10)


async def test_two_readers_on_one_durable_are_an_error(connection: Connection) -> None:
    async with (
        reader(connection).read_after(0, 1) as one,
        reader(connection).read_after(0, 1) as two,
    ):
        await publish_events(connection, 1, 10)
        with pytest.raises(SequenceGap):
            await asyncio.gather(read(one, 10), read(two, 10))


async def test_a_lost_connection_is_read_after_at_once_not_after_the_deadline(
    killable_server: KillableServer,
) -> None:
    """What the dead server had sent may not have come, and would come again after half a minute."""
    async with connect(killable_server.url("operator"), name="test") as connection:
        await streams.ensure(connection.jetstream)
        await publish_events(connection, 1, 3)
        async with reader(connection).read_after(0, 10) as reading:
            await wait_until(lambda: len(reading._pull.buffer) == 3)
            reading._pull.buffer.clear()  # as if they had been on their way
            await killable_server.kill()
            await killable_server.start()
            async with asyncio.timeout(20):
                with pytest.raises(SequenceGap, match="connection"):
                    await reading.fetch(10)
        async with reader(connection).read_after(0, 10) as reading:
            assert [delivery.sequence for delivery in await read(reading, 3)] == [1, 2, 3]


async def test_a_deleted_consumer_is_an_error_and_reopening_recreates_it(
    connection: Connection,
) -> None:
    await publish_events(connection, 1, 2)
    async with reader(connection).read_after(0, 10) as reading:
        await read(reading, 2)
        await connection.jetstream.delete_consumer(streams.EVENTS, "test")
        with pytest.raises(BusUnavailable):
            await reading.fetch(10)
    async with reader(connection).read_after(1, 10) as reading:
        assert (await read(reading, 1))[0].sequence == 1, "nothing of it was acknowledged"


async def test_no_server_is_a_bus_error(killable_server: KillableServer) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        connection.jetstream = connection.client.jetstream(timeout=0.2)
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        with pytest.raises(BusUnavailable):
            await reader(connection).identity()
        with pytest.raises(BusUnavailable):
            async with reader(connection).read_after(0, 10):
                pytest.fail("there is no server")


async def test_an_active_reader_is_detected_at_once_and_not_once_it_stopped(
    connection: Connection,
) -> None:
    newcomer, other = reader(connection), reader(connection)
    async with other.announce_presence(), other.read_after(0, 10):
        await wait_until(lambda: has_pull_requests(connection))
        with pytest.raises(ReaderInUse, match="stop the other one"):
            await newcomer.ensure_only_reader(within=600.0, stop_within=0.5)
        waiting = asyncio.create_task(newcomer.ensure_only_reader(600.0, stop_within=600.0))
    async with asyncio.timeout(30):
        await waiting


async def test_requests_of_a_reader_that_does_not_answer_are_waited_for(
    connection: Connection,
) -> None:
    async with reader(connection).read_after(0, 10):
        await wait_until(lambda: has_pull_requests(connection))
        with pytest.raises(ReaderInUse):
            await reader(connection).ensure_only_reader(within=1.0, stop_within=0.0)


async def has_pull_requests(connection: Connection) -> bool:
    info = await connection.jetstream.consumer_info(streams.EVENTS, "test")
    return bool(info.num_waiting)
