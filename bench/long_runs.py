"""Long runs: rates and memory while the history grows, and over thousands of conversions."""

import asyncio
import contextlib
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
import nats
from msgspec import Struct

from bench import server
from bench.client import POLL_INTERVAL, Client, share, unique_pdf
from bench.server import MeasuredService

MARKS = (1_000, 10_000, 40_000, 80_000, 150_000)  # documents of history
CHUNK = 2_000  # documents submitted before their end is awaited
KILOBYTES = 1
READING_TIME = 3.0  # seconds
STARTS = 3  # of which the median counts
FINISHED_WITHIN = 600.0  # seconds for one chunk
FLAT = 0.25  # bar: share by which a figure may be worse than at the first mark
MEMORY_BAR_FROM = 100_000  # documents of history
BYTES_PER_DOCUMENT = 1024  # bar: of nats-server's memory, above that of an empty one
MICROSECONDS_PER_EVENT = 5.0  # bar: of a start after kill -9, above that of an empty service
SAMPLE_INTERVAL = 1.0  # seconds
WARM_AFTER = 0.25  # of the documents; caches fill before
FLAT_BELOW = 240.0  # KB per 1,000 documents: 24 MB in a day of 100,000
ENGINE = "engine"


class Mark(Struct, frozen=True):
    """The cost of the same work after so many documents; CPU in ms per document, memory in MB."""

    documents: int
    rate: float
    cpu: dict[str, float]
    reads: float
    nats_mb: float


class GrowingService:
    """A service whose history grows, and the ids of its documents."""

    def __init__(self, running: MeasuredService, clients: int) -> None:
        self._running = running
        self._clients = clients
        self.ids: list[str] = []

    async def grow(self, documents: int) -> None:
        """Convert so many documents, a chunk at a time."""
        for begun in range(0, documents, CHUNK):
            made = await self._submit(min(CHUNK, documents - begun))
            await self._wait_until_completed(made)
            self.ids.extend(made)

    async def mark(self, sample: int) -> Mark:
        """Measure with ``sample`` more documents, and by reading existing ones."""
        documents, before = len(self.ids), self._running.cpu_seconds()
        began = time.perf_counter()
        await self.grow(sample)
        took = time.perf_counter() - began
        used = self._running.cpu_seconds()
        cpu = {name: 1000 * (used[name] - before.get(name, 0.0)) / sample for name in used}
        reads = await self._read()
        memory = self._running.resident_mb()["nats-server"]
        return Mark(documents, sample / took, cpu, reads, memory)

    async def _submit(self, documents: int) -> list[str]:
        made: list[str] = []

        async def submit(client: Client, number: int) -> None:
            made.append(await client.submit(f"{number}.pdf", unique_pdf(KILOBYTES)))

        await share(self._running.url, self._clients, range(documents), submit)
        return made

    async def _wait_until_completed(self, made: list[str]) -> None:
        """Poll the database for these alone: counting all documents would cost ever more."""
        wanted = msgspec.json.encode(made).decode()
        deadline, done = time.monotonic() + FINISHED_WITHIN, 0
        path = f"file:{self._running.data / 'ilios.db'}?mode=ro"
        with sqlite3.connect(path, uri=True) as database:
            while time.monotonic() < deadline:
                # CROSS keeps the join order: SQLite would scan all documents each time.
                (done,) = database.execute(
                    "SELECT count(*) FROM json_each(?) CROSS JOIN documents"
                    " ON tenant = 'default' AND documents.id = value WHERE state = 'completed'",
                    (wanted,),
                ).fetchone()
                if done == len(made):
                    return
                await asyncio.sleep(POLL_INTERVAL)
        raise RuntimeError(f"{done} of {len(made)} completed")

    async def _read(self) -> float:
        reads, until = 0, time.perf_counter() + READING_TIME

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
        return reads / READING_TIME


async def measure_growth(documents: int = 150_000, clients: int = 16, sample: int = 2000) -> None:
    """Grow a history to ``documents``, measure at each mark, then kill the service and start it."""
    marks = [*(mark for mark in MARKS if mark < documents), documents]
    speed = [server.reference_loop_ms()]
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        data = Path(name)
        empty = await _starts(data / "empty")
        async with server.run_service(data, stub=True) as running:
            empty_mb = running.resident_mb()["nats-server"]
            growing, found = GrowingService(running, clients), list[Mark]()
            for mark in marks:
                await growing.grow(mark - len(growing.ids))
                found.append(await growing.mark(sample))
                _print_mark(found[-1])
            events = await _events(data)
            await running.kill("service")
        full = await _starts(data)
    speed.append(server.reference_loop_ms())
    print(f"reference loop       {speed[0]:.0f} ms before, {speed[1]:.0f} ms after")
    _print_bars(found, empty_mb)
    each = 1e6 * (full - empty) / events
    print(f"start after kill -9  {empty:.2f} s empty, {full:.2f} s with {events} events: "
          f"{each:.1f} us per event  {_bar(each <= MICROSECONDS_PER_EVENT)}")  # fmt: skip


async def _starts(data: Path) -> float:
    """Return how long a start takes in a directory after a kill, in seconds."""
    took: list[float] = []
    for _ in range(STARTS + 1):  # the first creates what is missing, or recovers
        began = time.perf_counter()
        async with server.run_service(data, stub=True) as running:
            took.append(time.perf_counter() - began)
            await running.kill("service")
    return median(took[1:])


async def _events(data: Path) -> int:
    client = await nats.connect((data / "nats" / "operator.url").read_text().strip())
    try:
        return int((await client.jetstream().stream_info("ILIOS_EVENTS")).state.messages)
    finally:
        await client.close()


def _print_mark(mark: Mark) -> None:
    cpu = ", ".join(f"{name} {ms:.2f}" for name, ms in mark.cpu.items())
    rates = f"{mark.rate:.0f} documents/s, CPU ms {cpu}, {mark.reads:.0f} status reads/s"
    print(
        f"{mark.documents:>7} documents    {rates}, nats-server {mark.nats_mb:.0f} MB", flush=True
    )


def _print_bars(marks: list[Mark], empty_mb: float) -> None:
    first = marks[0]
    rate = min(mark.rate for mark in marks) / first.rate
    reads = min(mark.reads for mark in marks) / first.reads
    cpu = max(sum(mark.cpu.values()) for mark in marks) / sum(first.cpu.values())
    last = marks[-1]
    memory = 1024**2 * (last.nats_mb - empty_mb) / last.documents
    print(f"documents/s          {rate:.2f} of the first at worst  {_bar(rate >= 1 - FLAT)}")
    print(f"status reads/s       {reads:.2f} of the first at worst  {_bar(reads >= 1 - FLAT)}")
    print(f"CPU per document     {cpu:.2f} of the first at worst  {_bar(cpu <= 1 + FLAT)}")
    # The 25 MB of any server in use would count for too much in a short history.
    met = _bar(memory <= BYTES_PER_DOCUMENT) if last.documents >= MEMORY_BAR_FROM else "no bar yet"
    print(f"nats-server          {empty_mb:.0f} MB empty, and {memory:.0f} bytes per document at "
          f"the last mark  {met}")  # fmt: skip


def _bar(met: bool) -> str:  # noqa: FBT001  # reads as a question
    return "ok" if met else "NOT MET"


class Sample(NamedTuple):
    """A process after so many documents: its memory in KB and its open files."""

    documents: int
    resident: int
    proportional: int
    files: int


class Soak:
    """The documents and the samples of one run."""

    def __init__(self, running: MeasuredService, documents: int) -> None:
        self._running = running
        self._numbers = iter(range(documents))
        self._content = (Path(str(files("ilios"))) / "samples" / "hello.pdf").read_bytes()
        self.done = 0
        self.samples: dict[str, list[Sample]] = {}
        self.engines: set[int] = set()

    async def convert(self) -> None:
        """Convert documents until none is left: one by ``/v1/convert``, the next by polling."""
        client = Client(self._running.url)
        for number in self._numbers:
            content = self._content + b"%% %d\n" % number  # like no other
            if number % 2:
                answer = await client.post_file("/v1/convert", "a.pdf", content)
            else:
                document = await client.submit("a.pdf", content)
                await client.wait_until_ended(document, FINISHED_WITHIN)
                answer = await client.get(f"/api/documents/{document}")
            if answer.status != 200 or not answer.body:
                raise RuntimeError(f"answered {answer.status}: {answer.body!r}")
            self.done += 1
        client.close()

    async def sample(self) -> None:
        """Sample every process at intervals, for ever."""
        while True:
            for name, pid in self._running.processes().items():
                if name.startswith(ENGINE):
                    self.engines.add(pid)
                # An engine process may be replaced at this moment.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    found = _sample(pid, self.done)
                    self.samples.setdefault(name.split()[0], []).append(found)
            await asyncio.sleep(SAMPLE_INTERVAL)


async def measure_soak(documents: int = 5000, in_flight: int = 8) -> None:
    """Convert so many documents, so many of them at once, and print how memory grows."""
    async with server.run_service(stub=False) as running:
        soak = Soak(running, documents)
        sampling = asyncio.create_task(soak.sample())
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(soak.convert())
        seconds = time.perf_counter() - began
        sampling.cancel()
    print(f"{documents} documents, {in_flight} at once, in {seconds:.0f} s; "
          f"{len(soak.engines)} engine processes, one after the other")  # fmt: skip
    print(f"{'':14}{'resident MB':>14}{'proportional MB':>20}{'KB per 1,000 documents':>28}"
          f"{'open files':>14}")  # fmt: skip
    for process, samples in soak.samples.items():
        _print_growth(process, samples, documents)


def _print_growth(process: str, samples: list[Sample], documents: int) -> None:
    first = [one for one in samples if one.documents <= documents / 4]
    last = [one for one in samples if one.documents > documents * 3 / 4]
    warm = [one for one in samples if one.documents > documents * WARM_AFTER]
    slope, noise = slope_of(warm)
    columns = [
        _moved(first, last, "resident", 1024),
        _moved(first, last, "proportional", 1024),
        f"{slope:+.0f} +- {noise:.0f}",
        _moved(first, last, "files"),
    ]
    flat = slope <= FLAT_BELOW or slope <= 2 * noise
    widths = (20, 20, 22, 14)
    text = "".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True))
    print(f"{process:14}{text}   {'flat' if flat else 'NOT flat'}")


def slope_of(samples: list[Sample]) -> tuple[float, float]:
    """Return by how many KB proportional memory grows in 1,000 documents, and its standard error.

    Samples that follow each other resemble each other, so there are fewer than it seems: the error
    is that of as many independent ones as their autocorrelation leaves.
    """
    x = [one.documents / 1000 for one in samples]
    y = [float(one.proportional) for one in samples]
    slope, start = statistics.linear_regression(x, y)
    off = [height - start - slope * place for place, height in zip(x, y, strict=True)]
    square = sum(one * one for one in off)
    alike = sum(one * other for one, other in pairwise(off)) / square if square else 0.0
    alike = min(max(alike, 0.0), 0.99)
    middle = statistics.fmean(x)
    spread = sum((place - middle) ** 2 for place in x)
    error = (square / (len(x) - 2) / spread) ** 0.5
    return slope, error * ((1 + alike) / (1 - alike)) ** 0.5


def _moved(first: list[Sample], last: list[Sample], field: str, unit: int = 1) -> str:
    before, after = (_median(samples, field) / unit for samples in (first, last))
    digits = 1 if unit > 1 else 0
    return f"{before:.{digits}f} -> {after:.{digits}f}"


def _median(samples: list[Sample], field: str) -> float:
    return statistics.median(float(getattr(one, field)) for one in samples)


def _sample(pid: int, documents: int) -> Sample:
    memory = dict(_lines(Path(f"/proc/{pid}/smaps_rollup")))
    files_open = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(documents, memory["Rss"], memory["Pss"], files_open)


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    for line in path.read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        yield name, int(rest.split()[0])
