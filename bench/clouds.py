"""Documents stored in S3 and read by Mistral; both of them run on this machine.

Mistral is the fake of the tests, with a delay; S3 is ``rclone serve s3`` or Swift.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from bench import pipeline, server
from bench.client import Client
from bench.server import MeasuredService
from tests.mistral.faults import Kind
from tests.mistral.process import running_fake
from tests.s3.servers import S3Server, rclone, swift

CHECKED = 100  # documents whose Markdown is compared
KINDS: tuple[Kind, ...] = ("429", "500", "slow", "reset", "truncated", "garbage")


async def measure(
    *,
    documents: int = 1500,
    clients: int = 16,
    kilobytes: int = 50,
    delay: int = 200,
    faults: float = 0.0,
    store: Literal["rclone", "swift", "local"] = "rclone",
    seed: int = 7,
) -> None:
    """Submit documents and wait until all are completed and billed, each with its own text.

    A call of Mistral takes ``delay`` milliseconds; ``faults`` is the share of them that fails. The
    store ``local`` is no S3.
    """
    speed = [server.reference_loop_ms()]
    with _s3(store) as s3:
        async with running_fake("--delay-ms", str(delay), "--blind") as fake:
            environ = {"MISTRAL_API_KEY": fake.key, "MISTRAL_SERVER_URL": fake.url}
            if s3 is not None:
                environ |= s3.environ(s3.config())
            async with server.run_service(None, stub=False, **environ) as running:  # type: ignore[arg-type]
                await pipeline.warm_up(running, clients, kilobytes)
                if faults:
                    await fake.fail_share(faults, KINDS, endpoints=("ocr",), seed=seed)
                run = await pipeline.carry(
                    running, documents, clients, kilobytes, before=pipeline.WARM
                )
                peak = running.resident_mb("VmHWM")
                wrong = await _count_wrong(running)
            paid_calls = await fake.paid_calls()
    speed.append(server.reference_loop_ms())
    paid = sum(paid_calls.values()) / (documents + pipeline.WARM)
    print(
        f"documents            {documents} of {kilobytes} KB by {clients} clients, "
        f"in {store}, {delay} ms each at Mistral"
    )
    run.print()
    print(f"calls that fail      {faults:.0%}")
    print(f"calls paid for       {paid:.2f} for each document, {max(paid_calls.values())} at most")
    print(f"not their own text   {wrong} of {CHECKED}")
    print(f"reference loop       {speed[0]:.0f} ms before, {speed[1]:.0f} ms after")
    pipeline.print_memory("peak", peak)


@contextmanager
def _s3(store: str) -> Iterator[S3Server | None]:
    if store == "local":
        yield None
        return
    server_of = swift if store == "swift" else rclone
    with tempfile.TemporaryDirectory(prefix="ilios-bench-s3-") as name, server_of(Path(name)) as s3:
        yield s3


async def _count_wrong(running: MeasuredService) -> int:
    """Return how many of some documents lack the Markdown that names their own bytes."""
    with sqlite3.connect(f"file:{running.data / 'ilios.db'}?mode=ro", uri=True) as database:
        sample = f"SELECT id, original_sha256 FROM documents ORDER BY random() LIMIT {CHECKED}"
        rows = database.execute(sample).fetchall()
    client = Client(running.url)
    wrong = 0
    for document, sha256 in rows:
        answer = await client.get(f"/api/documents/{document}")
        wrong += answer.status != 200 or sha256[:16].encode() not in answer.body
    client.close()
    return wrong
