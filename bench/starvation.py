"""How long the documents of one tenant take while long ones of another are converted."""

import asyncio
import random
import sqlite3
import time

from msgspec import Struct

from bench import server
from bench.client import Client, share
from bench.server import MeasuredService
from ilios.tenants import tenant_of
from tests import documents

KEYS = ("key-of-the-one-who-is-slow", "key-of-the-one-who-waits")
FINISHED_WITHIN = 900.0  # seconds
POLL_INTERVAL = 0.02  # seconds
LEAD = 8.0  # seconds from the long ones to the short ones
SUBMITTERS = 8


class Load(Struct, frozen=True):
    """The load: the scans of one tenant and more of its documents, and those of another tenant.

    ``scans`` have so many ``pages``; all others have one, of text, those of the other tenant
    scanned if ``scanned``.
    """

    scans: int
    pages: int
    behind: int
    documents: int
    scanned: bool


async def measure(load: Load) -> None:
    """Convert the documents of one tenant alone, then beside those of the other, and compare."""
    slow, waiting = KEYS
    scan = _scan(load.pages)
    print(f"{load.scans} scans of {load.pages} pages ({len(scan) >> 20} MB), then {load.behind}")
    speed = [server.reference_loop_ms()]
    async with server.run_service(stub=False, API_KEY=",".join(KEYS)) as running:
        await _time_to_convert(running, waiting, [_short(load, number) for number in range(8)])
        alone = await _time_to_convert(running, waiting, _shorts(load, 100))
        # No two are the same: what follows the end of a PDF is not read.
        scans = [scan + b"%% %d\n" % number for number in range(load.scans)]
        await _submit_all(running.url, slow, scans)
        await _submit_all(running.url, slow, [_text(f"more {n}") for n in range(load.behind)])
        await asyncio.sleep(LEAD)
        beside = await _time_to_convert(running, waiting, _shorts(load, 100_000))
        engines = sum("engine" in process for process in running.processes())
    speed.append(server.reference_loop_ms())
    p95 = [_print(what, seconds) for what, seconds in (("alone", alone), ("beside", beside))]
    print(f"p95 beside the other tenant {p95[1] / p95[0]:.2f} times that alone")
    print(f"{engines} engine processes at the end")
    print(f"reference loop {speed[0]:.0f} ms before, {speed[1]:.0f} ms after")


def _shorts(load: Load, first: int) -> list[bytes]:
    return [_short(load, first + number) for number in range(load.documents)]


def _short(load: Load, number: int) -> bytes:
    return _scan(1, number) if load.scanned else _text(f"document {number}")


def _text(title: str) -> bytes:
    return documents.pdf(f"{title}\n" + "Some words of a line of this page.\n" * 30)


def _scan(pages: int, seed: int = 0) -> bytes:
    rng = random.Random(seed)
    lines = [" ".join(f"word{rng.randrange(1000)}" for _ in range(6)) for _ in range(30)]
    picture = documents.text_image(*lines, height=36)
    return documents.image_file(picture, "PDF", [picture] * (pages - 1))


async def _submit_all(url: str, key: str, contents: list[bytes]) -> dict[str, float]:
    """Submit them all; returns when each was, by its id."""
    submitted: dict[str, float] = {}

    async def submit(client: Client, content: bytes) -> None:
        began = time.perf_counter()
        submitted[await client.submit("document.pdf", content)] = began

    await share(url, SUBMITTERS, contents, submit, key=key)
    return submitted


async def _time_to_convert(
    running: MeasuredService, key: str, contents: list[bytes]
) -> list[float]:
    """Submit all at once and poll the database; returns what each took until its end."""
    submitting = asyncio.create_task(_submit_all(running.url, key, contents))
    ended: dict[str, float] = {}
    deadline = time.monotonic() + FINISHED_WITHIN
    with sqlite3.connect(f"file:{running.data / 'ilios.db'}?mode=ro", uri=True) as database:
        before = _completed_ids(database, key)
        while len(ended) < len(contents):
            for name in _completed_ids(database, key) - before:
                ended.setdefault(name, time.perf_counter())
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(ended)} of {len(contents)} have ended")
            await asyncio.sleep(POLL_INTERVAL)
    began = await submitting
    return sorted(ended[name] - began[name] for name in began)


def _completed_ids(database: sqlite3.Connection, key: str) -> set[str]:
    found = database.execute(
        "SELECT id FROM documents WHERE tenant = ? AND state = 'completed'", (tenant_of(key),)
    )
    return {str(name) for (name,) in found}


def _print(what: str, seconds: list[float]) -> float:
    p50, p95 = (seconds[min(len(seconds) - 1, int(share * len(seconds)))] for share in (0.5, 0.95))
    print(f"{what:8}{len(seconds)} documents: p50 {p50:.2f} s, p95 {p95:.2f} s")
    return p95
