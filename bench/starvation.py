"""How long the documents of one tenant take while another's long ones are at work."""

import asyncio
import random
import sqlite3
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench import machine, server
from bench.client import Client
from ilios.api_keys import tenant_of
from tests import documents

KEYS = ("key-of-the-one-who-is-slow", "key-of-the-one-who-waits")
FINISHED_WITHIN = 900.0  # seconds
LOOK_EVERY = 0.02  # seconds
LEAD = 8.0  # seconds the long ones are submitted before the short ones
SUBMITTERS = 8


class Load(Struct, frozen=True):
    """What is submitted: one tenant's scans and what is behind them, and the other's documents.

    ``scans`` have so many ``pages``; all others have one, of text, or ``scanned`` the other's.
    """

    scans: int
    pages: int
    behind: int
    documents: int
    scanned: bool


async def measure(load: Load) -> None:
    """Let one tenant's documents be converted alone, then behind the other's, and compare."""
    slow, waiting = KEYS
    scan = _scan(load.pages)
    print(f"{load.scans} scans of {load.pages} pages ({len(scan) >> 20} MB), then {load.behind}")
    speed = [machine.reference_loop_ms()]
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        data = Path(name)
        async with server.run_service(data, stub=False, API_KEY=",".join(KEYS)) as running:
            await _time_to_convert(running.url, data, waiting, [_short(load, n) for n in range(8)])
            alone = await _time_to_convert(running.url, data, waiting, _shorts(load, 100))
            for number in range(load.scans):
                # No two are the same; what follows the end of a PDF is not looked at.
                await _submit(running.url, slow, scan + b"%% %d\n" % number)
            backlog = [_text(f"behind {number}") for number in range(load.behind)]
            await _submit_all(running.url, slow, backlog)
            await asyncio.sleep(LEAD)
            beside = await _time_to_convert(running.url, data, waiting, _shorts(load, 100_000))
            engines = sum("engine" in process for process in running.processes())
    speed.append(machine.reference_loop_ms())
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


async def _submit(url: str, key: str, content: bytes) -> str:
    client = Client(url, key)
    answer = await client.post_file("/api/documents/submit", "document.pdf", content)
    client.close()
    if answer.status != 202:
        raise RuntimeError(f"submit answered {answer.status}: {answer.body!r}")
    return str(answer.json()["id"])


async def _submit_all(url: str, key: str, contents: list[bytes]) -> dict[str, float]:
    """Submit them all; returns when each was, by its id."""
    submitted: dict[str, float] = {}
    left = iter(contents)

    async def one() -> None:
        for content in left:
            began = time.perf_counter()
            submitted[await _submit(url, key, content)] = began

    await asyncio.gather(*(one() for _ in range(SUBMITTERS)))
    return submitted


async def _time_to_convert(url: str, data: Path, key: str, contents: list[bytes]) -> list[float]:
    """Submit all at once and look at the database; returns what each took until its end."""
    submitting = asyncio.create_task(_submit_all(url, key, contents))
    ended: dict[str, float] = {}
    deadline = time.monotonic() + FINISHED_WITHIN
    with sqlite3.connect(f"file:{data / 'ilios.db'}?mode=ro", uri=True) as database:
        before = _completed_ids(database, key)
        while len(ended) < len(contents):
            for name in _completed_ids(database, key) - before:
                ended.setdefault(name, time.perf_counter())
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(ended)} of {len(contents)} have ended")
            await asyncio.sleep(LOOK_EVERY)
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
