"""The service on a cluster of three nodes, of which one is killed under load."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from bus import streams
from bus.connection import connect
from tests.clusters import Cluster, running_cluster
from tests.journeys.running import running_service
from tests.journeys.service_client import ServiceClient, wait_until_completed
from tests.waiting import wait_until

SETTINGS = {"NATS_USER": "cluster", "NATS_PASSWORD": "of-three", "WORKER_COUNT": "1"}
LONGEST_GAP = 15.0  # seconds between two accepted documents while a leader is elected


async def _load(client: ServiceClient, stop: asyncio.Event, accepted_at: list[float]) -> None:
    while not stop.is_set():
        if await client.is_accepted():
            accepted_at.append(time.monotonic())
        await asyncio.sleep(0.05)


async def _until_longer(accepted_at: list[float], count: int) -> None:
    await wait_until(lambda: len(accepted_at) >= count)


async def _has_three_copies(cluster: Cluster) -> bool:
    async with connect(cluster.target, name="tests") as connection:
        info = await connection.jetstream.stream_info(streams.EVENTS)
    return info.config.num_replicas == 3


@pytest.mark.slow
async def test_no_document_is_lost_or_billed_twice_when_nodes_are_killed(tmp_path: Path) -> None:
    async with running_cluster(tmp_path / "cluster") as cluster:
        urls = ",".join(node.url for node in cluster.nodes)
        data = tmp_path / "data"
        async with (
            running_service(data, NATS_URL=urls, **SETTINGS) as service,
            ServiceClient(service) as client,
        ):
            assert await _has_three_copies(cluster)
            stop, accepted_at = asyncio.Event(), list[float]()
            load = [asyncio.create_task(_load(client, stop, accepted_at)) for _ in range(4)]
            for _ in range(2):
                await asyncio.sleep(2.0)
                leader = await cluster.leader(streams.EVENTS)
                await leader.kill()
                before = len(accepted_at)
                await _until_longer(accepted_at, before + 40)
                await leader.start()
                await cluster.wait_until_ready()
            stop.set()
            await asyncio.gather(*load)

            await wait_until_completed(client, data)

    assert max(after - before for before, after in pairwise(accepted_at)) < LONGEST_GAP
