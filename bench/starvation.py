"""How long the documents of one tenant take while long ones of another are converted."""

import asyncio
import random
import sqlite3
import time

from bench import server
from bench.client import Client, share
from bench.server import MeasuredService
from ilios.api_keys import tenant_of
from tests import documents as samples

KEYS = ("key-of-the-one-who-is-slow", "key-of-the-one-who-waits")
FINISHED_WITHIN = 900.0  # seconds
POLL_INTERVAL = 0.02  # seconds
LEAD = 8.0  # seconds from the long ones to the short ones
SUBMITTERS = 8


async def measure(
    scans: int = 3,
    pages: int = 500,
    behind: int = 0,
    documents: int = 100,
    scanned: bool = False,  # noqa: FBT001, FBT002  # an option of the command
) -> None:
    """Convert the documents of one tenant alone, then beside those of the other, and compare.

    The other tenant has ``scans`` of so many pages, and ``behind`` more documents; all others have
    one page, of text or ``scanned``.
    """

    def short_ones(first: int, count: int = documents) -> list[bytes]:
        numbers = range(first, first + count)
        return [scan_of(1, n) if scanned else text_page(f"document {n}") for n in numbers]

    slow, waiting = KEYS
    scan = scan_of(pages)
    print(f"{scans} scans of {pages} pages ({len(scan) >> 20} MB), then {behind}")
    speed = [server.reference_loop_ms()]
    async with server.run_service(stub=False, API_KEY=",".join(KEYS)) as running:
        await time_to_convert(running, waiting, short_ones(0, 8))
        alone = await time_to_convert(running, waiting, short_ones(100))
        # No two are the same: what follows the end of a PDF is not read.
        long_ones = [scan + b"%% %d\n" % number for number in range(scans)]
        await submit_all(running.url, slow, long_ones)
        await submit_all(running.url, slow, [text_page(f"more {n}") for n in range(behind)])
        await asyncio.sleep(LEAD)
        beside = await time_to_convert(running, waiting, short_ones(100_000))
        engines = sum("engine" in process for process in running.processes())
    speed.append(server.reference_loop_ms())
    p95 = [print_times(what, seconds) for what, seconds in (("alone", alone), ("beside", beside))]
    print(f"p95 beside the other tenant {p95[1] / p95[0]:.2f} times that alone")
    print(f"{engines} engine processes at the end")
    print(f"reference loop {speed[0]:.0f} ms before, {speed[1]:.0f} ms after")


def text_page(title: str) -> bytes:
    return samples.pdf(f"{title}\n" + "Some words of a line of this page.\n" * 30)


def scan_of(pages: int, seed: int = 0, pictures: int = 1) -> bytes:
    """Return a scan with so many different pages, repeated in turn."""
    rng = random.Random(seed)
    made = []
    for _ in range(min(pages, pictures)):
        lines = [" ".join(f"word{rng.randrange(1000)}" for _ in range(6)) for _ in range(30)]
        made.append(samples.text_image(*lines, height=36))
    turns = [made[number % len(made)] for number in range(1, pages)]
    return samples.image_file(made[0], "PDF", turns)


async def submit_all(url: str, key: str, contents: list[bytes]) -> dict[str, float]:
    """Submit them all; returns when each was, by its id."""
    submitted: dict[str, float] = {}

    async def submit(client: Client, content: bytes) -> None:
        began = time.perf_counter()
        submitted[await client.submit("document.pdf", content)] = began

    await share(url, SUBMITTERS, contents, submit, key=key)
    return submitted


async def time_to_convert(running: MeasuredService, key: str, contents: list[bytes]) -> list[float]:
    """Submit all at once and poll the database; returns what each took until its end."""
    submitting = asyncio.create_task(submit_all(running.url, key, contents))
    ended: dict[str, float] = {}
    deadline = time.monotonic() + FINISHED_WITHIN
    with sqlite3.connect(f"file:{running.data / 'ilios.db'}?mode=ro", uri=True) as database:
        before = completed_ids(database, key)
        while len(ended) < len(contents):
            for name in completed_ids(database, key) - before:
                ended.setdefault(name, time.perf_counter())
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(ended)} of {len(contents)} have ended")
            await asyncio.sleep(POLL_INTERVAL)
    began = await submitting
    return sorted(ended[name] - began[name] for name in began)


def completed_ids(database: sqlite3.Connection, key: str) -> set[str]:
    found = database.execute(
        "SELECT id FROM documents WHERE tenant = ? AND state = 'completed'", (tenant_of(key),)
    )
    return {str(name) for (name,) in found}


def print_times(what: str, seconds: list[float]) -> float:
    p50, p95 = (seconds[min(len(seconds) - 1, int(share * len(seconds)))] for share in (0.5, 0.95))
    print(f"{what:8}{len(seconds)} documents: p50 {p50:.2f} s, p95 {p95:.2f} s")
    return p95
