"""Of the cores that share a log only the last one can publish on it: the log refuses the others."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus import epoch_records, epochs, streams
from bus.connection import Connection, connect
from bus.dead_letters import DeadLetterStore
from bus.epoch_records import Holder, Record, lane_subject
from bus.epochs import EpochStands, OwnEpoch
from bus.errors import AlreadyPublished, NewerEvents, Superseded
from bus.log import Log
from bus.publisher import Publisher
from ilios.nats.server import NatsServer
from tests import batch_events, events
from tests.clusters import running_cluster

AGE = 7 * 24 * 3600.0


def holder(core: str, process: str = "1") -> Holder:
    return Holder(
        core=core,
        process=f"{core}-{process}",
        host=f"host-of-{core}",
        directory=f"/data/{core}",
        version="1.2.3",
        since=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    )


async def fenced(connection: Connection, core: Holder, *, take_over: bool = True) -> OwnEpoch:
    """Take an epoch, on which the publishes of the connection depend."""
    own = OwnEpoch(connection, await epochs.take(connection, core, take_over=take_over), AGE)
    connection.fence = own.epoch
    return own


@pytest.fixture
async def other(nats_server: NatsServer, connection: Connection) -> AsyncIterator[Connection]:
    """A second connection, of the core that comes later."""
    assert connection.connected  # which has created the streams
    async with connect(nats_server.url("operator"), name="other") as opened:
        yield opened


async def count(connection: Connection) -> int:
    return (await connection.jetstream.stream_info(streams.EVENTS)).state.messages


async def test_the_same_core_takes_the_log_over_and_another_one_is_refused_by_name(
    connection: Connection,
) -> None:
    first = await epochs.take(connection, holder("one"), take_over=False)
    again = await epochs.take(connection, holder("one", "2"), take_over=False)
    assert again.epoch > first.epoch

    with pytest.raises(EpochStands) as refused:
        await epochs.take(connection, holder("two"), take_over=False)
    for part in ("host-of-one", "/data/one", "1.2.3", "2026-01-02 03:04", "--take-over"):
        assert part in str(refused.value)
    assert await epoch_records.read(connection) == again


async def test_an_epoch_that_was_given_back_stands_no_more(connection: Connection) -> None:
    own = await fenced(connection, holder("one"))
    await own.release()
    taken = await epochs.take(connection, holder("two"), take_over=False)
    assert await epoch_records.read(connection) == taken


async def test_of_many_cores_that_start_at_once_one_has_the_log(connection: Connection) -> None:
    starts = (epochs.take(connection, holder(f"c{n}"), take_over=False) for n in range(20))
    found = await asyncio.gather(*starts, return_exceptions=True)
    (won,) = (one for one in found if isinstance(one, Record))
    assert sum(isinstance(one, EpochStands) for one in found) == 19
    assert await epoch_records.read(connection) == won


async def test_the_log_refuses_everything_of_a_core_that_was_replaced(
    connection: Connection, other: Connection
) -> None:
    own = await fenced(connection, holder("one"))
    publisher = Publisher(connection)
    await publisher.publish(events.submitted(1))
    await fenced(other, holder("two"))
    before = await count(other)

    attempts = (
        publisher.publish(events.completed(1)),
        publisher.publish_if_first(batch_events.completed()),
        publisher.publish_if_first(events.submitted(2)),
        publisher.publish_after(events.deleted(1), 40),
        publisher.publish_raw("ilios.dead.submitted.default.x", b"{}", {"Nats-Msg-Id": "dead"}),
    )
    for attempt in attempts:
        with pytest.raises(Superseded, match="host-of-two"):
            await attempt
        # As if it did not know yet: the log refuses the next one, too.
        own.epoch.superseded = asyncio.get_running_loop().create_future()
    assert await count(other) == before
    assert [letter async for letter in DeadLetterStore(other).iterate()] == []
    with pytest.raises(Superseded):
        await publisher.ensure_current()


async def test_conditions_of_an_event_hold_beside_that_of_the_epoch(
    connection: Connection,
) -> None:
    await fenced(connection, holder("one"))
    publisher = Publisher(connection)
    sequence = await publisher.publish_if_first(batch_events.completed())
    stored = await connection.jetstream.get_msg(streams.EVENTS, sequence)
    assert stored.subject == f"ilios.batch.completed.default.{batch_events.id_of()}"
    with pytest.raises(AlreadyPublished):
        await publisher.publish_if_first(batch_events.completed())

    first = await publisher.publish_if_first(events.submitted(1))
    with pytest.raises(AlreadyPublished):
        await publisher.publish_if_first(events.submitted(1))
    with pytest.raises(NewerEvents):
        await publisher.publish_after(events.cancelled(1), first - 1)
    await publisher.publish_after(events.cancelled(1), first)


async def test_publishes_follow_an_epoch_that_is_renewed(connection: Connection) -> None:
    own = await fenced(connection, holder("one"))
    publisher = Publisher(connection)

    async def renew() -> None:
        for _ in range(5):
            await own.renew()

    publishes = (publisher.publish(events.submitted(number)) for number in range(1, 200))
    sequences = await asyncio.gather(*publishes, renew())
    assert len(set(sequences)) == 200
    await publisher.publish(events.completed(1))


async def test_a_log_that_lost_its_epoch_gets_that_of_the_core_that_runs(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "LOOK_INTERVAL", 0.01)
    own = await fenced(connection, holder("one"))
    watching = asyncio.create_task(own.run())
    await connection.jetstream.purge_stream(streams.EVENTS, subject=lane_subject(0)[:-1] + "*")
    await Publisher(connection).publish(events.submitted(1))
    watching.cancel()
    found = await epoch_records.read(connection)
    assert found is not None
    assert found.holder == holder("one")


async def test_a_core_notices_without_publishing_that_it_was_replaced(
    connection: Connection, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "LOOK_INTERVAL", 0.01)
    own = await fenced(connection, holder("one"))
    watching = asyncio.create_task(own.run())
    await fenced(other, holder("two"))
    assert (await own.epoch.superseded).core == "two"
    watching.cancel()


@pytest.mark.slow
async def test_in_a_cluster_many_publish_at_a_time_and_none_after_a_take_over(
    tmp_path: Path,
) -> None:
    async with running_cluster(tmp_path) as cluster:
        await cluster.create_streams()
        async with (
            connect(cluster.target, name="one") as one,
            connect(cluster.target, name="two") as two,
        ):
            own = await fenced(one, holder("one"))
            await own.epoch.confirm()
            first, second = Publisher(one), Publisher(two)
            numbers = range(1, 301)
            await asyncio.gather(*(first.publish_if_first(events.submitted(n)) for n in numbers))

            async def complete(number: int) -> bool:
                try:
                    await first.publish(events.completed(number))
                except Superseded:
                    return False
                return True

            under_way = [asyncio.create_task(complete(number)) for number in numbers]
            await under_way[0]
            epoch = (await fenced(two, holder("two"))).epoch.record.epoch
            done = await asyncio.gather(*under_way)
            assert not all(done)
            with pytest.raises(Superseded):
                await own.epoch.confirm()
            await second.publish(events.completed(1))
            for number, is_done in zip(numbers, done, strict=True):
                found = await Log(two).last_event(
                    "default", events.id_of(number), event_name="completed"
                )
                if number > 1:
                    assert (found is not None) == is_done
                    assert found is None or found.sequence < epoch
