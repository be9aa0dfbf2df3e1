"""How the rate of documents grows with worker hosts, by an engine that takes a fixed time.

``python -m bench.scale core|worker SECONDS`` is one host of it.
"""

import asyncio
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from actors.engines import Conversion, SourceFile
from bench.client import Client
from bench.client import share as shared_work
from bench.server import StubEngine
from ilios import logs
from ilios.chaos.hosts.network import Network
from ilios.chaos.hosts.system import ServiceOnHosts
from ilios.joining import as_set
from ilios.runtime import event_loop, process_settings
from ilios.service import service
from ilios.settings.environ import from_environ
from ilios.worker import worker
from ilios.worker_composition import ROLES

ADDED = (0, 1, 2, 4, 8)  # hosts beside the core, which converts as they do
IN_HAND = 4  # documents that a host converts at once
MORE_ROUNDS = 2  # that wait behind them: the rate is that of hosts which all have work
ROUNDS = 8  # times that each host has as many
CLIENTS = 16
LEAST_SHARE = 0.9  # of the rate of the core alone, for each added host
COMPLETED = "SELECT count(*) FROM documents WHERE state = 'completed'"
POLL_INTERVAL = 0.02  # seconds
MAX_FACTOR = 5.0  # times the time it should take


class FixedEngine(StubEngine):
    """An engine that waits, so that hosts on one machine do not compete for its processors."""

    def __init__(self, seconds: float) -> None:
        super().__init__(1)
        self._seconds = seconds

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        """Return one page after the fixed time."""
        await asyncio.sleep(self._seconds)
        return await super().convert(document, progress)


async def measure(seconds: float = 2.0) -> None:
    """Convert by the core and up to 8 hosts and compare; an engine takes ``seconds``."""
    alone = 0.0
    for added in ADDED:
        rate = await _rate(1 + added, seconds)
        if not added:
            alone = rate
            print(f"the core alone  {rate:6.2f} documents/s", flush=True)
            continue
        share = (rate - alone) / (added * alone)
        verdict = "ok" if share >= LEAST_SHARE else f"NOT MET: {LEAST_SHARE}"
        print(
            f"{added} hosts added   {rate:6.2f} documents/s, {share:.2f} times its rate for each  "
            f"{verdict}",
            flush=True,
        )


async def _rate(hosts: int, seconds: float) -> float:
    """Return the documents per second of so many hosts, of which the core is the first."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        running = ServiceOnHosts(
            Path(name),
            Network(apart=False),
            nodes=3,
            workers=hosts - 1,
            serve=("-m", "bench.scale", "core", str(seconds)),
            work=("-m", "bench.scale", "worker", str(seconds)),
            MAX_CONCURRENT_JOBS=str(IN_HAND),
        )
        try:
            await running.start()
            count = hosts * IN_HAND * ROUNDS
            began = time.monotonic()
            submitted = count + hosts * IN_HAND * MORE_ROUNDS
            texts = [f"Letter number {number}\n".encode() for number in range(submitted)]
            await shared_work(running.url, CLIENTS, texts, _submit)
            deadline = began + MAX_FACTOR * ROUNDS * seconds
            with closing(sqlite3.connect(running.data / "ilios.db")) as database:
                while database.execute(COMPLETED).fetchone()[0] < count:
                    if time.monotonic() > deadline:
                        raise SystemExit(f"{hosts} hosts do not get through {count} documents")
                    await asyncio.sleep(POLL_INTERVAL)
            return count / (time.monotonic() - began)
        finally:
            await running.stop()
            await running.kill_leftovers()


async def _submit(client: Client, text: bytes) -> None:
    await client.submit("letter.txt", text)


async def _run(role: str, seconds: float) -> None:
    settings = from_environ(os.environ)
    logs.set_up(settings.log_level)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = FixedEngine(seconds)
    running = (
        service(settings, engine=engine)
        if role == "core"
        else worker(settings, as_set(settings, ROLES), engine)
    )
    async with running as host:
        process_settings.freeze_objects()
        print(f"HTTP {host.url}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    event_loop.run(_run(sys.argv[1], float(sys.argv[2])))
