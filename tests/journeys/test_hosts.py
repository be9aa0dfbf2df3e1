"""Three hosts on a log of three nodes: what one of them leaves, and what it may not touch."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.ocr import Ocr
from tests import documents
from tests.clusters import Cluster, running_cluster
from tests.journeys.commands import run_ilios
from tests.journeys.service_client import (
    FREQUENT_JANITOR,
    Client,
    ServiceClient,
    billed_documents,
    document_states,
    wait_until_completed,
)
from tests.journeys.worker_hosts import core_and_workers, key_of
from tests.mistral.pages import mark
from tests.mistral.rules import Rules
from tests.mistral.server import fake_mistral
from tests.s3.servers import S3Server
from tests.waiting import wait_until

# Shorter ones on a single server are in test_worker_hosts.py.
pytestmark = [pytest.mark.long, pytest.mark.usefixtures("edge_in_core")]

IN_HAND = 20  # documents of each host, more or less
CONVERSION = 10.0  # seconds, in which a busy machine has begun with all of them
SLACK = 6.0  # seconds in which a busy machine answers, commits and publishes
HOSTS = 3


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path / "cluster") as cluster:
        yield cluster


def bus_of(cluster: Cluster) -> dict[str, str]:
    """Return the settings by which a host finds all nodes."""
    return {
        "NATS_URL": ",".join(node.url for node in cluster.nodes),
        "NATS_USER": cluster.target.user or "",
        "NATS_PASSWORD": cluster.target.password or "",
    }


async def test_twenty_documents_of_a_killed_host_are_completed_by_their_deadline_and_paid_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with fake_mistral(Rules(latency=CONVERSION)) as fake:
        shared = bus_of(cluster) | {
            "ILIOS_SHARED_BLOBS": str(tmp_path / "blobs"),
            "MISTRAL_API_KEY": fake.key,
            "MISTRAL_SERVER_URL": fake.url,
            # Room for the documents of another host.
            "MAX_CONCURRENT_JOBS": str(2 * IN_HAND),
            "ILIOS_MISTRAL_CONCURRENCY": str(2 * IN_HAND),
        }
        async with core_and_workers(tmp_path, shared, HOSTS - 1) as (core, (_, second)):
            client, database = Client(core), core.data_dir / "ilios.db"
            papers = [documents.pdf(f"Paper {number}") for number in range(HOSTS * IN_HAND)]
            names = await asyncio.gather(*map(client.submit, papers))
            await wait_until(lambda: fake.call_log.in_hand == HOSTS * IN_HAND)
            await second.kill("all")
            killed_at = time.monotonic()

            def completed() -> bool:
                return list(document_states(database).values()) == ["completed"] * len(names)

            await wait_until(completed)
            took = time.monotonic() - killed_at
            again = {one for one, calls in fake.call_log.calls_by_document.items() if calls > 1}
            print(f"{len(again)} in hand, all completed {took:.1f} s after the kill")
            assert len(again) >= IN_HAND / 2
            assert took < Ocr.consumer.ack_wait + CONVERSION + SLACK
            assert billed_documents(database) == sorted(names)
            for name, paper in zip(names, papers, strict=True):
                assert mark(paper, 0) in (await client.get(f"/api/documents/{name}"))[1].decode()
        twice = fake.call_log.paid_twice()
        assert {document for document, _ in twice} <= again
        assert fake.call_log.pages_paid == len(names) + len(twice)


async def test_no_host_removes_what_another_is_writing_and_a_stranger_does_not_start(
    cluster: Cluster, swift: S3Server, tmp_path: Path
) -> None:
    place, other = swift.config(), swift.config()
    bus = bus_of(cluster)
    shared = bus | swift.environ(place)
    # As a further host leaves them that is writing: an upload in parts, and an object without row.
    begun = swift.client.create_multipart_upload(
        Bucket=place.bucket, Key=f"{place.prefix}0a/being-written"
    )
    swift.put_object(f"{place.prefix}0a/just-written", b"text")
    async with (
        core_and_workers(tmp_path, shared | FREQUENT_JANITOR, HOSTS - 1) as (core, (first, second)),
        ServiceClient(core, pages=2) as client,
    ):
        stranger = bus | swift.environ(other) | key_of(core.data_dir) | {"PORT": "0"}
        ended = await run_ilios(tmp_path / "stranger", "run", "ocr", armed=None, **stranger)
        assert ended.code == 2
        assert "ILIOS_S3_PREFIX is" in ended.errors
        assert swift.objects(other.prefix) == {}
        for killed in (first, second, core):
            assert all(await asyncio.gather(*(client.is_accepted() for _ in range(8))))
            await killed.kill("all")
            await killed.start()
        await wait_until_completed(client, core.data_dir)
        assert swift.uploads(place.prefix) == [f"{place.prefix}0a/being-written"]
        assert f"{place.prefix}0a/just-written" in swift.objects(place.prefix)
    swift.client.abort_multipart_upload(
        Bucket=place.bucket, Key=f"{place.prefix}0a/being-written", UploadId=begun["UploadId"]
    )
