"""The bus on a cluster of three nodes, of which some are killed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import nats.errors
import pytest
from nats.js.errors import Error as JetStreamError

from bus import log_info, log_state, streams
from bus.buckets import ensure_bucket
from bus.connection import Connection, connect
from bus.errors import BusMisconfigured, BusUnavailable
from bus.objects import bucket_stream
from bus.publisher import Publisher
from bus.reader import Reader, SequenceGap
from bus.target import Target
from ilios.nats.server import NatsServer
from schemas.documents import DocumentSubmitted
from tests import events
from tests.clusters import PASSWORD, USER, Cluster, running_cluster
from tests.waiting import wait_until

RESUMED_WITHIN = 15.0
"""Seconds after an election: as a rule 2; a client that waits for its deadlines takes 30."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three nodes for this test alone."""
    async with running_cluster(tmp_path) as cluster:
        yield cluster


async def test_a_client_of_a_killed_node_is_back_on_another(
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

        print(f"connected again after {time.monotonic() - killed_at:.2f} s")
        assert connection.address != f"127.0.0.1:{cluster.nodes[0].port}"
        await connection.client.flush()


@pytest.mark.slow
async def test_the_copies_of_an_existing_stream_change_only_when_told(cluster: Cluster) -> None:
    async with connect(cluster.target, name="tests") as connection:
        js = connection.jetstream
        await streams.ensure(js, 1)
        await ensure_bucket(js, "acme", 1024, max_age=60.0, copies=1)

        advice = await streams.ensure(js)
        bucket_advice = await ensure_bucket(js, "acme", 1024, max_age=60.0)
        assert len(advice) == 2
        for text in (*advice, bucket_advice or ""):
            assert "--replicas 3, or ILIOS_BUS_REPLICAS=3" in text

        assert await streams.ensure(js, 3) == []
        assert await ensure_bucket(js, "acme", 1024, max_age=60.0, copies=3) is None
        for name in (streams.EVENTS, streams.DEAD_LETTERS, bucket_stream("acme")):
            assert (await js.stream_info(name)).config.num_replicas == 3
        with pytest.raises(BusMisconfigured, match=r"ILIOS_BUS_REPLICAS: .* 5 copies"):
            await streams.ensure(js, 5)


async def test_a_single_server_refuses_more_copies_than_it_can_store(
    nats_server: NatsServer,
) -> None:
    async with connect(nats_server.url("operator"), name="tests") as connection:
        with pytest.raises(BusMisconfigured, match=r"ILIOS_BUS_REPLICAS: .* 3 copies"):
            await streams.ensure(connection.jetstream, 3)
        assert await streams.ensure(connection.jetstream) == []
        info = await connection.jetstream.stream_info(streams.EVENTS)
        assert info.config.num_replicas == 1


@pytest.mark.slow
async def test_a_node_that_hangs_is_left_for_another(cluster: Cluster) -> None:
    async with connect(cluster.target, name="tests") as connection:
        hanging = cluster.node_at(int(connection.address.rpartition(":")[2]))
        reconnected = asyncio.Event()
        connection.on_reconnect(reconnected.set)
        await hanging.pause()
        try:
            async with asyncio.timeout(25.0):
                await reconnected.wait()
        finally:
            hanging.resume()
        assert connection.address != f"127.0.0.1:{hanging.port}"


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
        await _lead_consumer(connection, leader.name)
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
        print(f"{gap}, goes on {resumed:.2f} s after the election")
        assert resumed < RESUMED_WITHIN, gap
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


async def _lead_consumer(connection: Connection, node: str) -> None:
    """Have a node lead the consumer, too."""

    async def leads() -> bool:
        info = await connection.jetstream.consumer_info(streams.EVENTS, "persister")
        if info.cluster is not None and info.cluster.leader == node:
            return True
        body = json.dumps({"placement": {"preferred": node}}).encode()
        subject = f"$JS.API.CONSUMER.LEADER.STEPDOWN.{streams.EVENTS}.persister"
        with suppress(nats.errors.Error):  # an election may be under way
            await connection.client.request(subject, body, timeout=5.0)
        await asyncio.sleep(0.5)
        return False

    await wait_until(leads)


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


@pytest.mark.slow
async def test_a_node_without_a_leader_that_lags_behind_shows_no_end_of_the_log(
    cluster: Cluster,
) -> None:
    await cluster.create_streams()
    leader = await cluster.leader(streams.EVENTS)
    survivor, other = await cluster.followers(streams.EVENTS)
    async with connect(cluster.target_of(survivor), name="tests") as connection:
        js, impatient = connection.jetstream, connection.client.jetstream(timeout=0.5)
        end = await Publisher(connection).publish(events.submitted(1))
        assert (await log_info.identity(connection, js)).last_sequence > end
        await leader.kill()
        await other.kill()

        async def answers_without_a_leader() -> bool:
            with suppress(nats.errors.Error, JetStreamError):
                info = await impatient.stream_info(streams.EVENTS)
                return info.cluster is not None and not info.cluster.leader
            return False

        await wait_until(answers_without_a_leader, 30.0)
        with pytest.raises(BusUnavailable):
            await log_info.identity(connection, js)
        with pytest.raises(BusUnavailable):
            await log_state.fetch(connection)


@pytest.mark.slow
async def test_a_client_has_left_a_node_that_shuts_down_before_it_closes_connections(
    cluster: Cluster,
) -> None:
    async with connect(cluster.target, name="tests") as connection:
        leaving = cluster.node_at(int(connection.address.rpartition(":")[2]))
        reconnected = asyncio.Event()
        connection.on_reconnect(reconnected.set)
        asked_at = time.monotonic()
        leaving.enter_lame_duck_mode()
        await reconnected.wait()
        print(f"on another node after {time.monotonic() - asked_at:.2f} s")
        assert connection.address != f"127.0.0.1:{leaving.port}"
        # By itself it would close this connection within ten seconds, its grace period.
        assert time.monotonic() - asked_at < 8.0
