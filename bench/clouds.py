"""The whole way with both clouds: documents in S3, read by Mistral; both of them on this machine.

Mistral is the fake of the tests, which answers after a while; S3 is ``rclone serve s3``.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from bench import machine, pipeline, server
from bench.client import Client
from tests.mistral.faults import Kind
from tests.mistral.process import RunningFake, running_fake
from tests.s3.servers import S3Server, rclone, swift

WARM = 50  # documents
CHECKED = 100  # documents whose Markdown is looked at


KINDS: tuple[Kind, ...] = ("429", "500", "slow", "reset", "truncated", "garbage")


class Load(Struct, frozen=True):
    """What is asked of the service: so many documents of that size, by so many connections.

    A call of Mistral takes ``delay`` milliseconds, and this share of them fails (``faults``).
    ``store`` is ``rclone``, ``swift``, or ``local`` for no S3.
    """

    documents: int
    clients: int
    kilobytes: int
    delay: int
    store: str
    faults: float = 0.0
    seed: int = 7


async def measure(load: Load) -> None:
    """Submit documents and wait until all are completed and billed, each with its own text."""
    documents, clients, kilobytes = load.documents, load.clients, load.kilobytes
    speed = [machine.reference_loop_ms()]
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name, _s3(load.store, name) as s3:
        async with running_fake("--delay-ms", str(load.delay), "--blind") as fake:
            data = Path(name) / "data"
            async with server.run_service(
                data,
                stub=False,
                **_settings(fake, s3),  # type: ignore[arg-type]
            ) as running:
                await pipeline.submit(running.url, WARM, clients, kilobytes)
                await pipeline.wait_until_completed(data, WARM)
                if load.faults:
                    await fake.fail_share(load.faults, KINDS, endpoints=("ocr",), seed=load.seed)
                before = running.cpu_seconds()
                started = time.perf_counter()
                latencies = await pipeline.submit(running.url, documents, clients, kilobytes)
                accepted = time.perf_counter() - started
                await pipeline.wait_until_completed(data, documents + WARM)
                ended = time.perf_counter() - started
                used = {k: v - before.get(k, 0) for k, v in running.cpu_seconds().items()}
                peak = running.resident_mb("VmHWM")
                wrong = await _count_wrong(running.url, data)
            book = await fake.call_log(0)
    speed.append(machine.reference_loop_ms())
    print(
        f"documents            {documents} of {kilobytes} KB by {clients} clients, in {load.store}"
    )
    print(f"accepted             {documents / accepted:.0f}/s")
    pipeline.print_latencies(sorted(latencies))
    print(
        f"end to end           {documents / ended:.0f} documents/s, {load.delay} ms each at Mistral"
    )
    paid = book["pages_paid"] / (documents + WARM)
    most = max(document["paid_calls"] for document in book["documents"].values())
    print(f"calls that fail      {load.faults:.0%}")
    print(f"calls paid for       {paid:.2f} for each document, {most} at most")
    print(f"not their own text   {wrong} of {CHECKED}")
    pipeline.print_cpu(used, documents)
    print(f"reference loop       {speed[0]:.0f} ms before, {speed[1]:.0f} ms after")
    pipeline.print_memory("peak", peak)


@contextmanager
def _s3(store: str, name: str) -> Iterator[S3Server | None]:
    directory = Path(name) / "s3"
    directory.mkdir()
    if store == "local":
        yield None
        return
    with (swift if store == "swift" else rclone)(directory) as s3:
        yield s3


def _settings(fake: RunningFake, s3: S3Server | None) -> dict[str, str]:
    settings = {"MISTRAL_API_KEY": fake.key, "MISTRAL_SERVER_URL": fake.url}
    if s3 is None:
        return settings
    return settings | s3.environ(s3.config())


async def _count_wrong(url: str, data: Path) -> int:
    """Return how many of some documents do not have the Markdown that names their own bytes."""
    with sqlite3.connect(f"file:{data / 'ilios.db'}?mode=ro", uri=True) as database:
        wanted = f"SELECT id, original_sha256 FROM documents ORDER BY random() LIMIT {CHECKED}"
        rows = database.execute(wanted).fetchall()
    client = Client(url)
    wrong = 0
    for document, sha256 in rows:
        answer = await client.get(f"/api/documents/{document}")
        wrong += answer.status != 200 or sha256[:16].encode() not in answer.body
        await asyncio.sleep(0)
    client.close()
    return wrong
