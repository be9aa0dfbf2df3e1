"""Rates and memory of a service with a generated history of up to a million documents.

The history is older than the log, as most of it is in production: rows of the database alone.
"""

import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct

from bench import server
from bench.long_runs import GrowingService, Mark

HISTORIES = (1_000, 100_000, 1_000_000)  # documents
SEEDS = 100  # real documents, of which the generated ones are copies
AGE_DAYS = 90.0  # of the oldest document
LEFT_DAYS = 365.0  # until the first document expires
DAY = 86_400_000  # milliseconds, as in the database
CHUNK = 50_000  # rows of one transaction
READ_IDS = 20_000  # of the history, whose statuses are read
WARM = 500  # documents before the measurement
FLAT = 0.10  # bar: share by which a figure may be worse than with the shortest history


class Figures(Struct, frozen=True):
    """One measurement with one history; memory in MB, of the service without nats-server."""

    mark: Mark
    service_mb: float


async def measure_history(
    rounds: int = 3, sample: int = 3000, clients: int = 16, longest: int = HISTORIES[-1]
) -> None:
    """Carry and read documents beside generated histories, in turns.

    The order within a round alternates. ``longest`` leaves out longer histories.
    """
    histories = [number for number in HISTORIES if number <= longest]
    found: dict[int, list[Figures]] = {number: [] for number in histories}
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        places = {number: Path(name) / str(number) for number in histories}
        ids = {number: await _made(place, number, clients) for number, place in places.items()}
        for turn in range(rounds):
            for number in histories if turn % 2 == 0 else reversed(histories):
                figures = await _measured(places[number], ids[number], sample, clients)
                found[number].append(figures)
                print(
                    f"round {turn + 1}, {number} documents: {figures.mark.rate:.0f}/s", flush=True
                )
    _report(found)


async def _made(data: Path, documents: int, clients: int) -> list[str]:
    """Make a history in a new data directory; returns a sample of its ids."""
    async with server.run_service(data, stub=True) as running:
        await GrowingService(running, clients).grow(SEEDS)
    began = time.perf_counter()
    ids = copy_rows(data / "ilios.db", documents - SEEDS)
    size = (data / "ilios.db").stat().st_size / 1024**2
    print(f"{documents} documents generated in {time.perf_counter() - began:.0f} s, "
          f"database {size:.0f} MB", flush=True)  # fmt: skip
    step = max(len(ids) // READ_IDS, 1)
    return ids[::step]


def copy_rows(path: Path, documents: int) -> list[str]:
    """Add copies of a completed document and its bill to a database; returns their ids.

    They are spread over ``AGE_DAYS``, have ids of their own and share the blobs of the first.
    """
    now = round(1000 * time.time())
    ids = [secrets.token_hex(12) for _ in range(documents)]
    with sqlite3.connect(path, isolation_level=None) as database:
        database.row_factory = sqlite3.Row
        document = dict(database.execute(
            "SELECT * FROM documents WHERE state = 'completed' LIMIT 1").fetchone())  # fmt: skip
        bill = dict(database.execute(
            "SELECT * FROM usage WHERE document_id = ?", (document["id"],)).fetchone())  # fmt: skip
        for first in range(0, documents, CHUNK):
            database.execute("BEGIN")
            for number in range(first, min(first + CHUNK, documents)):
                at = now - round(AGE_DAYS * DAY * (1 - number / documents))
                times = {"submitted_at": at, "finished_at": at, "expires_at": at + _lifetime()}
                _insert(database, "documents", document | times | {"id": ids[number]})
                _insert(database, "usage", bill | {"document_id": ids[number], "created_at": at})
            database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ids


def _lifetime() -> int:
    return round((AGE_DAYS + LEFT_DAYS) * DAY)


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names, places = ", ".join(row), ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(row.values()))


async def _measured(data: Path, ids: list[str], sample: int, clients: int) -> Figures:
    async with server.run_service(data, stub=True) as running:
        growing = GrowingService(running, clients)
        await growing.grow(WARM)
        growing.ids = list(ids)
        mark = await growing.mark(sample)
        resident = running.resident_mb()
    return Figures(mark, sum(mb for name, mb in resident.items() if name != "nats-server"))


def _report(found: dict[int, list[Figures]]) -> None:
    print(f"\n{'documents':>10}{'documents/s':>13}{'CPU ms each':>13}{'reads/s':>9}"
          f"{'service MB':>12}{'nats-server MB':>16}   beside the shortest")  # fmt: skip
    base = next(iter(found.values()))
    for number, runs in found.items():
        ratios = {
            "documents": _ratio(runs, base, lambda one: one.mark.rate),
            "reads": _ratio(runs, base, lambda one: one.mark.reads),
            "memory": 1 / _ratio(runs, base, lambda one: one.service_mb),
        }
        met = all(ratio >= 1 - FLAT for ratio in ratios.values())
        beside = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        print(f"{number:>10}{median(one.mark.rate for one in runs):>13.0f}"
              f"{median(sum(one.mark.cpu.values()) for one in runs):>13.2f}"
              f"{median(one.mark.reads for one in runs):>9.0f}"
              f"{median(one.service_mb for one in runs):>12.0f}"
              f"{median(one.mark.nats_mb for one in runs):>16.0f}"
              f"   {beside}  {'ok' if met else 'NOT MET'}")  # fmt: skip


def _ratio(runs: list[Figures], base: list[Figures], figure: Callable[[Figures], float]) -> float:
    """Return the median ratio of the rounds: what slows the machine slows both."""
    return median(figure(one) / figure(first) for one, first in zip(runs, base, strict=True))
