"""The log of a cluster: what was acknowledged is found by every node, also by one that lags."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from bus import publisher as publisher_module
from bus import streams
from bus.connection import Connection, connect
from bus.errors import AlreadyPublished
from bus.event_log import EventLog
from bus.log import Log, NewestEvent
from bus.publisher import Publisher
from bus.stored_messages import DirectGet
from tests import events
from tests.clusters import Cluster, running_cluster
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
TENANT = "default"
BURST, ASKED = 3000, 100
"""Events that a paused node has to catch up with, of which the last are asked for."""
MOST_BURSTS = 30


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster with the streams on all nodes."""
    async with running_cluster(tmp_path) as cluster:
        await cluster.create_streams()
        yield cluster


@asynccontextmanager
async def leader_and_follower(cluster: Cluster) -> AsyncIterator[tuple[Connection, Connection]]:
    """Connect to the node that leads the log, and to another one."""
    leader = await cluster.leader(streams.EVENTS)
    follower, _ = await cluster.followers(streams.EVENTS)
    async with (
        connect(cluster.target_of(leader), name="leader") as first,
        connect(cluster.target_of(follower), name="follower") as second,
    ):
        yield first, second


def has_sent(connection: Connection, messages: int) -> bool:
    return connection.client.stats["out_msgs"] >= messages


async def publish_burst(publisher: Publisher, numbers: range) -> None:
    for begin in range(numbers.start, numbers.stop, 200):
        burst = range(begin, min(begin + 200, numbers.stop))
        await asyncio.gather(*(publisher.publish(events.submitted(n)) for n in burst))


async def test_a_node_that_lags_finds_all_that_was_acknowledged(cluster: Cluster) -> None:
    async with leader_and_follower(cluster) as (leader, follower):
        node = next(one for one in cluster.nodes if one.url.endswith(follower.address))
        log, feed = Log(follower), EventLog(follower)
        replica = DirectGet(follower, streams.EVENTS, certain=False)
        await feed.read(0)
        for burst in range(MOST_BURSTS):
            numbers = range(10_000 + burst * BURST, 10_000 + (burst + 1) * BURST)
            names = [events.id_of(number) for number in numbers[-ASKED:]]
            before = (await feed.end()).sequence
            await node.pause()
            try:
                await publish_burst(Publisher(leader), numbers)
                found = asyncio.gather(*(log.submission(TENANT, name) for name in names))
                subject = f"ilios.document.submitted.*.{TENANT}"
                direct = asyncio.gather(*(replica.last(f"{subject}.{name}") for name in names))
                newest = asyncio.create_task(log.newest(TENANT, names[-1]))
                page = asyncio.create_task(feed.read(before))
                end = asyncio.create_task(feed.end())
                asked = follower.client.stats["out_msgs"]
                await wait_until(partial(has_sent, follower, asked + 2 * ASKED))
            finally:
                node.resume()
            assert all(await found), "a document that was accepted is missing"
            assert await newest == NewestEvent(before + BURST, "submitted")
            assert await page, "the feed ends before what was acknowledged"
            assert (await end).sequence == before + BURST
            if not all(await direct):
                return
        pytest.fail("the node was never behind, so this has shown nothing")


async def test_what_was_just_published_is_read_by_another_node(cluster: Cluster) -> None:
    async with leader_and_follower(cluster) as (leader, follower):
        publisher, log = Publisher(leader), Log(follower)
        for number in range(1, 2001):
            sequence = await publisher.publish(events.submitted(number))
            assert await log.submission(TENANT, events.id_of(number)) is not None
            if number % 50 == 0:
                found = await log.newest(TENANT, events.id_of(number))
                assert found == NewestEvent(sequence, "submitted")


async def test_of_simultaneous_publishes_by_two_nodes_one_is_first(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first one is not stored, the log answers neither yes nor no."""
    pairs, undecided = 200, 0
    pause = asyncio.sleep

    async def counted(seconds: float) -> None:
        nonlocal undecided
        undecided += seconds == publisher_module.DECISION_PAUSE
        await pause(seconds)

    async with leader_and_follower(cluster) as (leader, follower):
        publishers, logs = (Publisher(leader), Publisher(follower)), (Log(leader), Log(follower))
        monkeypatch.setattr("bus.publisher.asyncio.sleep", counted)

        async def publish_pair(number: int) -> None:
            outcomes = await asyncio.gather(
                publishers[0].publish_if_first(events.submitted(5000 + number, priority=4)),
                publishers[1].publish_if_first(events.submitted(5000 + number, priority=6)),
                return_exceptions=True,
            )
            (stored,) = [one for one in outcomes if isinstance(one, int)]
            assert any(isinstance(one, AlreadyPublished) for one in outcomes)
            for log in logs:
                first = await log.first_submission(TENANT, events.id_of(5000 + number))
                assert first is not None
                assert first.sequence == stored

        for number in range(1, pairs + 1):  # of many at once no two meet
            await publish_pair(number)
    assert undecided, "no publish was undecided, so this has shown nothing"
