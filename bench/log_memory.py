"""Memory of the log for each document of history: the four events of a document, many times."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from actors.blob_keys import markdown_key, original_key
from bus import streams
from bus.connection import Connection, connect
from bus.publisher import Publisher
from schemas.documents import AnyDocumentEvent, Blob, Stored
from tests import events
from tests.clusters import Cluster, running_cluster

IN_FLIGHT = 256  # events that wait for their acknowledgement
SETTLED = 3.0  # seconds after which the memory is read


async def measure(documents: int = 50_000, rounds: int = 2, nodes: int = 1) -> None:
    """Publish the history of documents in rounds, and read the memory of a nats-server with it.

    The second figure is that of a server which has been started again; with three nodes it is the
    largest of them. Syncs of the disk are left out: they take time and no memory.
    """
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        async with running_cluster(Path(name), nodes) as cluster:
            await _create_streams(cluster)
            empty, last, total = await _restarted(cluster), 0.0, 0
            print(f"no document: {empty:.0f} MiB, started again", flush=True)
            for number in range(1, rounds + 1):
                began = time.perf_counter()
                async with connect(cluster.target, name="bench") as connection:
                    await _publish(connection, documents // rounds)
                seconds, running = time.perf_counter() - began, _resident_mb(cluster)
                last = await _restarted(cluster)
                total = number * (documents // rounds)
                print(
                    f"{total} documents: {running:.0f} MiB after publishing ({seconds:.0f} s), "
                    f"{last:.0f} MiB started again, {_disk_mb(Path(name)) / nodes:.0f} MiB on disk",
                    flush=True,
                )
    print(f"each document: {(last - empty) * 1024 / max(total, 1):.2f} KiB of memory after a start")


async def _create_streams(cluster: Cluster) -> None:
    async with connect(cluster.target, name="bench") as connection:
        await streams.ensure(connection.jetstream, len(cluster.nodes))


async def _restarted(cluster: Cluster) -> float:
    for node in cluster.nodes:
        await node.kill()
    for node in cluster.nodes:
        await node.start()
    await cluster.wait_until_ready()
    await asyncio.sleep(SETTLED)
    return _resident_mb(cluster)


async def _publish(connection: Connection, documents: int) -> None:
    waiting, publisher = _histories(documents), Publisher(connection)

    async def publish() -> None:
        for event in waiting:
            await publisher.publish(event)

    await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))


def _histories(documents: int) -> Iterator[AnyDocumentEvent]:
    """Yield the events of so many documents, with ids and keys of their own."""
    for _ in range(documents):
        name = secrets.token_hex(12)
        original = Blob(original_key("default", name), 52_311, events.SHA256)
        markdown = Blob(markdown_key("default", name), 4_211, events.SHA256)
        submitted = events.submitted(source=Stored(original.size, original.sha256))
        yield replace(submitted, document_id=name)
        yield replace(events.fetched(), document_id=name, original=original)
        yield replace(events.converted(), document_id=name, markdown=markdown)
        yield replace(events.completed(), document_id=name, original=original, markdown=markdown)


def _resident_mb(cluster: Cluster) -> float:
    texts = (Path(f"/proc/{node.pid}/status").read_text() for node in cluster.nodes)
    return max(int(text.partition("VmRSS:")[2].split()[0]) for text in texts) / 1024


def _disk_mb(store: Path) -> float:
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) / 1024**2
