"""Long scans of one tenant beside short documents of another, and a kill in the middle."""

import asyncio
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from bench import server
from bench.server import MeasuredService
from bench.starvation import (
    KEYS,
    LEAD,
    completed_ids,
    print_times,
    scan_of,
    submit_all,
    text_page,
    time_to_convert,
)

DISTINCT = 16  # pages of a scan; equal ones in one range would be read once
KILLED_AT = 0.9  # of the pages of the first document that gets so far
MOST_TIMES = 2.3  # bar: p95 of the short documents, beside the long ones to alone
LONGEST_RANGE = 10.0  # bar: seconds
SECONDS_PER_PAGE = 20.0  # until a run is given up
POLL_INTERVAL = 0.2  # seconds


async def measure(scans: int = 3, pages: int = 500, documents: int = 100) -> None:
    """Convert scans of so many pages beside documents of one page, and kill the service once.

    The kill comes when 90 % of one scan are done; what is converted again afterwards is counted.
    """
    slow, waiting = KEYS
    scan = scan_of(pages, pictures=DISTINCT)
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        data, log = Path(name) / "data", Path(name) / "log"
        async with server.run_service(
            data,
            stub=False,
            log=log,
            API_KEY=",".join(KEYS),
            ILIOS_LOG_LEVEL="info",
            ILIOS_LOG_FORMAT="json",
        ) as running:
            await time_to_convert(running, waiting, [text_page(f"first {n}") for n in range(8)])
            short_ones = [text_page(f"alone {n}") for n in range(documents)]
            alone = await time_to_convert(running, waiting, short_ones)
            began = time.perf_counter()
            # No two are the same: what follows the end of a PDF is not read.
            long_ones = [scan + b"%% %d\n" % number for number in range(scans)]
            names = set(await submit_all(running.url, slow, long_ones))
            await asyncio.sleep(LEAD)
            short_ones = [text_page(f"beside {n}") for n in range(documents)]
            beside = await time_to_convert(running, waiting, short_ones)
            p95 = [print_times("alone", alone), print_times("beside", beside)]
            await _wait_until_far(log, names, pages)
            await running.kill("all")
            killed = len(_ranges(log))
            await running.start()
            await _wait_until_completed(running, names, pages * scans * SECONDS_PER_PAGE)
        took = time.perf_counter() - began
        _print(log, p95, pages * scans, killed, took)


def _ranges(log: Path) -> list[dict[str, Any]]:
    """Return the lines about converted ranges, without one that is being written."""
    lines = log.read_bytes().splitlines(keepends=True)
    wanted = (line for line in lines if b"range converted" in line and line.endswith(b"\n"))
    return [msgspec.json.decode(line) for line in wanted]


async def _wait_until_far(log: Path, names: set[str], pages: int) -> None:
    deadline = time.monotonic() + len(names) * pages * SECONDS_PER_PAGE
    while time.monotonic() < deadline:
        for line in _ranges(log):
            if line["first"] + line["pages"] >= KILLED_AT * pages:
                return
        await asyncio.sleep(POLL_INTERVAL)
    raise RuntimeError("no long document came so far")


async def _wait_until_completed(running: MeasuredService, names: set[str], within: float) -> None:
    deadline = time.monotonic() + within
    with sqlite3.connect(f"file:{running.data / 'ilios.db'}?mode=ro", uri=True) as database:
        while time.monotonic() < deadline:
            if names <= completed_ids(database, KEYS[0]):
                return
            await asyncio.sleep(POLL_INTERVAL)
    raise RuntimeError("the long documents did not complete")


def _print(log: Path, p95: list[float], pages: int, killed: int, took: float) -> None:
    ranges = _ranges(log)
    longest = max(line["seconds"] for line in ranges)
    converted: Counter[tuple[str, int]] = Counter()
    for line in ranges:
        for page in range(line["first"], line["first"] + line["pages"]):
            converted[line["document_id"], page] += 1
    again = sum(converted.values()) - len(converted)
    sizes = [line["pages"] for line in ranges]
    times = p95[1] / p95[0]
    print(f"p95 beside the long ones {times:.2f} times that alone, {p95[1] - p95[0]:.2f} s more")
    print(
        f"{len(ranges)} ranges of {min(sizes)} to {max(sizes)} pages, the longest {longest:.1f} s"
    )
    print(f"{again} stored pages converted again after the kill, {killed} ranges before it")
    print(f"{pages} pages in {took:.0f} s, {len(converted)} in ranges of several")
    met = p95[1] <= MOST_TIMES * p95[0] + longest and longest <= LONGEST_RANGE and again == 0
    print("ok" if met else "NOT MET")
