"""Whether anything grows with the history: the same work after 1,000 and 150,000 documents."""

import asyncio
import os
import random
import signal
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec
import nats
from msgspec import Struct

from bench import machine, server
from bench.client import Client, unique_pdf
from bench.server import RunningService

MARKS = (1_000, 10_000, 40_000, 80_000, 150_000)  # documents of history
CHUNK = 2_000  # documents submitted before they are waited for
KILOBYTES = 1
READING_FOR = 3.0  # seconds
STARTS = 3  # of which the median counts
FINISHED_WITHIN = 600.0  # seconds for one chunk
ASKED_EVERY = 0.05  # seconds between looks at the database
FLAT = 0.25  # bar: share by which a figure may be worse than at the first mark
JUDGED_FROM = 100_000  # documents of history, for the bar of memory
BYTES_PER_DOCUMENT = 1024  # bar: of nats-server's memory, above that of an empty one
MICROSECONDS_PER_EVENT = 5.0  # bar: of a start after kill -9, above that of an empty service


class Mark(Struct, frozen=True):
    """What the same work cost after so many documents; CPU in ms per document, memory in MB."""

    documents: int
    rate: float
    cpu: dict[str, float]
    reads: float
    nats_mb: float


class Growing:
    """One service whose history grows, and the ids it has given out."""

    def __init__(self, running: RunningService, data: Path, clients: int) -> None:
        self._running = running
        self._data = data
        self._clients = clients
        self.ids: list[str] = []

    async def grow(self, documents: int) -> None:
        """Have so many documents converted, a chunk at a time."""
        for begun in range(0, documents, CHUNK):
            made = await self._submit(min(CHUNK, documents - begun))
            await self._completed(made)
            self.ids.extend(made)

    async def mark(self, sample: int) -> Mark:
        """Measure with ``sample`` more documents, and by reading what there is."""
        documents, before = len(self.ids), self._running.cpu_seconds()
        began = time.perf_counter()
        await self.grow(sample)
        took = time.perf_counter() - began
        used = self._running.cpu_seconds()
        cpu = {name: 1000 * (used[name] - before.get(name, 0.0)) / sample for name in used}
        reads = await self._read()
        held = self._running.resident_mb()["nats-server"]
        return Mark(documents, sample / took, cpu, reads, held)

    async def _submit(self, documents: int) -> list[str]:
        made: list[str] = []
        left = iter(range(documents))

        async def one_client() -> None:
            client = Client(self._running.url)
            for number in left:
                content = unique_pdf(KILOBYTES)
                answer = await client.post_file("/api/documents/submit", f"{number}.pdf", content)
                if answer.status != 202:
                    raise RuntimeError(f"submit answered {answer.status}: {answer.body!r}")
                made.append(str(answer.json()["id"]))
            client.close()

        await asyncio.gather(*(one_client() for _ in range(self._clients)))
        return made

    async def _completed(self, made: list[str]) -> None:
        """Wait at the database, and only for these: counting all of them would cost ever more."""
        wanted = msgspec.json.encode(made).decode()
        deadline, done = time.monotonic() + FINISHED_WITHIN, 0
        path = f"file:{self._data / 'ilios.db'}?mode=ro"
        with sqlite3.connect(path, uri=True) as database:
            while time.monotonic() < deadline:
                # CROSS keeps the order: SQLite would scan all documents for each look.
                (done,) = database.execute(
                    "SELECT count(*) FROM json_each(?) CROSS JOIN documents"
                    " ON tenant = 'default' AND documents.id = value WHERE state = 'completed'",
                    (wanted,),
                ).fetchone()
                if done == len(made):
                    return
                await asyncio.sleep(ASKED_EVERY)
        raise RuntimeError(f"{done} of {len(made)} completed")

    async def _read(self) -> float:
        reads, until = 0, time.perf_counter() + READING_FOR

        async def one_client() -> None:
            nonlocal reads
            client = Client(self._running.url)
            while time.perf_counter() < until:
                one = random.choice(self.ids)  # no secret
                answer = await client.get(f"/api/documents/status/{one}")
                assert answer.status == 200, answer.body
                reads += 1
            client.close()

        await asyncio.gather(*(one_client() for _ in range(self._clients)))
        return reads / READING_FOR


async def measure(documents: int, clients: int, sample: int) -> None:
    """Grow a history to ``documents``, measure at each mark, then kill the service and start it."""
    marks = [*(mark for mark in MARKS if mark < documents), documents]
    speed = [machine.reference_loop_ms()]
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        data = Path(name)
        empty = await _starts(data / "empty")
        async with server.run_service(data, stub=True, ILIOS_NATS_PORT="0") as running:
            empty_mb = running.resident_mb()["nats-server"]
            growing, found = Growing(running, data, clients), list[Mark]()
            for mark in marks:
                await growing.grow(mark - len(growing.ids))
                found.append(await growing.mark(sample))
                _print(found[-1])
            events = await _events(data)
            os.kill(running.pid, signal.SIGKILL)
        full = await _starts(data)
    speed.append(machine.reference_loop_ms())
    print(f"reference loop       {speed[0]:.0f} ms before, {speed[1]:.0f} ms after")
    _judge(found, empty_mb)
    each = 1e6 * (full - empty) / events
    print(f"start after kill -9  {empty:.2f} s empty, {full:.2f} s with {events} events: "
          f"{each:.1f} us per event  {_bar(each <= MICROSECONDS_PER_EVENT)}")  # fmt: skip


async def _starts(data: Path) -> float:
    """Return how long a start takes in a directory after a kill, in seconds."""
    took: list[float] = []
    for _ in range(STARTS + 1):  # the first makes what is missing, or mends what was killed
        began = time.perf_counter()
        async with server.run_service(data, stub=True, ILIOS_NATS_PORT="0") as running:
            took.append(time.perf_counter() - began)
            os.kill(running.pid, signal.SIGKILL)
    return median(took[1:])


async def _events(data: Path) -> int:
    client = await nats.connect((data / "nats" / "operator.url").read_text().strip())
    try:
        return int((await client.jetstream().stream_info("ILIOS_EVENTS")).state.messages)
    finally:
        await client.close()


def _print(mark: Mark) -> None:
    cpu = ", ".join(f"{name} {ms:.2f}" for name, ms in mark.cpu.items())
    told = f"{mark.rate:.0f} documents/s, CPU ms {cpu}, {mark.reads:.0f} status reads/s"
    print(f"{mark.documents:>7} documents    {told}, nats-server {mark.nats_mb:.0f} MB", flush=True)


def _judge(marks: list[Mark], empty_mb: float) -> None:
    first = marks[0]
    rate = min(mark.rate for mark in marks) / first.rate
    reads = min(mark.reads for mark in marks) / first.reads
    cpu = max(sum(mark.cpu.values()) for mark in marks) / sum(first.cpu.values())
    last = marks[-1]
    held = 1024**2 * (last.nats_mb - empty_mb) / last.documents
    print(f"documents/s          {rate:.2f} of the first at worst  {_bar(rate >= 1 - FLAT)}")
    print(f"status reads/s       {reads:.2f} of the first at worst  {_bar(reads >= 1 - FLAT)}")
    print(f"CPU per document     {cpu:.2f} of the first at worst  {_bar(cpu <= 1 + FLAT)}")
    # What a server in use holds besides, about 25 MB, would count for too much in a short history.
    judged = _bar(held <= BYTES_PER_DOCUMENT) if last.documents >= JUDGED_FROM else "not judged"
    print(f"nats-server          {empty_mb:.0f} MB empty, and {held:.0f} bytes per document at the "
          f"last mark  {judged}")  # fmt: skip


def _bar(met: bool) -> str:  # noqa: FBT001  # reads as a question
    return "ok" if met else "NOT MET"
