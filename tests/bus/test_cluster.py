"""The bus on a cluster of three nodes, of which some are killed."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nats.errors
import pytest
from nats.js.errors import Error as JetStreamError

from bus import streams
from bus.connection import Connection, connect
from bus.publisher import Publisher
from bus.reader import Reader, SequenceGap
from bus.target import Target
from schemas.documents import DocumentSubmitted
from tests import events
from tests.clusters import PASSWORD, USER, Cluster, running_cluster
from tests.waiting import wait_until


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three nodes for this test alone."""
    async with running_cluster(tmp_path) as cluster:
        yield cluster


async def test_a_client_of_a_killed_node_is_back_on_another_within_a_second(
    cluster: Cluster,
) -> None:
    # Of one server alone: the others are learnt from it, and get the same credentials.
    first = Target(servers=(cluster.nodes[0].url,), user=USER, password=PASSWORD)
    async with connect(first, name="tests") as connection:
        assert connection.in_cluster
        await streams.ensure(connection.jetstream)
        info = await connection.jetstream.stream_info(streams.EVENTS)
        assert info.config.num_replicas == 3

        reconnected = asyncio.Event()
        connection.on_reconnect(reconnected.set)
        await cluster.nodes[0].kill()
        killed_at = time.monotonic()
        await reconnected.wait()

        assert time.monotonic() - killed_at < 1.0
        assert connection.address != f"127.0.0.1:{cluster.nodes[0].port}"
        await Publisher(connection).publish(events.submitted(1))


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_when_the_leader_is_killed_under_load(
    cluster: Cluster,
) -> None:
    async with connect(cluster.target, name="tests") as connection:
        await streams.ensure(connection.jetstream)
        reader = Reader(connection, "persister", "", (DocumentSubmitted,))
        published: set[int] = set()
        read: list[int] = []
        gaps: list[float] = []
        stop = asyncio.Event()

        async def publish() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                published.add(await Publisher(connection).publish(events.submitted(number)))

        async def consume() -> None:
            last = time.monotonic()
            async for sequence in _sequences(reader):
                gaps.append(time.monotonic() - last)
                last = time.monotonic()
                read.append(sequence)

        working = [asyncio.create_task(publish()), asyncio.create_task(consume())]
        await wait_until(lambda: len(read) > 100)
        leader = await cluster.leader(streams.EVENTS)
        before = len(read)
        await leader.kill()
        killed_at = time.monotonic()
        elected_at = await _next_leader(cluster, connection, leader.name)
        await wait_until(lambda: len(read) > before + 200)
        resumed = time.monotonic() - elected_at
        stop.set()
        await working[0]
        await wait_until(lambda: published <= set(read))
        working[1].cancel()
        await asyncio.gather(*working, return_exceptions=True)

        gap = f"elected after {elected_at - killed_at:.2f} s, longest gap {max(gaps):.2f} s"
        assert resumed < 2.0, gap
        assert len(read) == len(set(read))


async def _sequences(reader: Reader) -> AsyncIterator[int]:
    """Yield sequences as a part of the service reads them, which has a cursor."""
    cursor = 0
    while True:
        try:
            async with reader.read_after(cursor, 64) as session:
                while True:
                    for delivery in await session.fetch(64):
                        if delivery.sequence > cursor:
                            cursor = delivery.sequence
                            yield cursor
                    await delivery.ack()
        except SequenceGap:
            continue


async def _next_leader(cluster: Cluster, connection: Connection, former: str) -> float:
    """Wait until another node leads the log; return the time."""

    async def is_elected() -> bool:
        try:
            async with asyncio.timeout(0.3):
                info = await connection.jetstream.stream_info(streams.EVENTS)
        except (nats.errors.Error, JetStreamError, TimeoutError):
            return False
        return info.cluster is not None and info.cluster.leader not in (None, former)

    await wait_until(is_elected)
    return time.monotonic()
