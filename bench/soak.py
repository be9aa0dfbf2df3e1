"""Memory and open files of every process over thousands of small conversions by the real engine."""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bench import server
from bench.client import Client

SAMPLED_EVERY = 1.0  # seconds
ASKED_EVERY = 0.05  # seconds
WARM_AFTER = 0.25  # of the documents; before, caches fill
FLAT_BELOW = 240.0  # KB per 1,000 documents: 24 MB in a day of 100,000
ENGINE = "engine"


class Sample(NamedTuple):
    """A process at a moment: after how many documents, its memory in KB, and its open files."""

    documents: int
    resident: int
    proportional: int
    files: int


class Soak:
    """The documents and the samples of one run."""

    def __init__(self, running: server.RunningService, documents: int) -> None:
        self._running = running
        self._numbers = iter(range(documents))
        self._content = (Path(str(files("ilios"))) / "samples" / "hello.pdf").read_bytes()
        self.done = 0
        self.samples: dict[str, list[Sample]] = {}
        self.engines: set[int] = set()

    async def convert(self) -> None:
        """Take documents until none is left: one is waited for, the next is asked for."""
        client = Client(self._running.url)
        for number in self._numbers:
            content = self._content + b"%% %d\n" % number  # like no other
            if number % 2:
                answer = await client.post_file("/v1/convert", "a.pdf", content)
            else:
                answer = await client.post_file("/api/documents/submit", "a.pdf", content)
                where = answer.json()["id"]
                while True:
                    answer = await client.get(f"/api/documents/{where}")
                    if answer.status != 202:
                        break
                    await asyncio.sleep(ASKED_EVERY)
            if answer.status != 200 or not answer.body:
                raise RuntimeError(f"answered {answer.status}: {answer.body!r}")
            self.done += 1
        client.close()

    async def sample(self) -> None:
        """Look at every process now and then, for ever."""
        while True:
            for name, pid in self._running.processes().items():
                if name.startswith(ENGINE):
                    self.engines.add(pid)
                # An engine process is replaced after a while, maybe at this moment.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    found = _look(pid, self.done)
                    self.samples.setdefault(name.split()[0], []).append(found)
            await asyncio.sleep(SAMPLED_EVERY)


async def measure(documents: int, in_flight: int) -> None:
    """Convert so many documents, so many of them at once, and print what it did to memory."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        async with server.run_service(Path(name), stub=False) as running:
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
        _print(process, samples, documents)


def _print(process: str, samples: list[Sample], documents: int) -> None:
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


def _look(pid: int, documents: int) -> Sample:
    held = dict(_lines(Path(f"/proc/{pid}/smaps_rollup")))
    files_open = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(documents, held["Rss"], held["Pss"], files_open)


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    for line in path.read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        yield name, int(rest.split()[0])
