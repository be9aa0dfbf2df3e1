"""The rows of a comparison of builds: each is one kind of load on one running service."""

import asyncio
import math
import os
import random
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct

from bench import convert, ocr_stub, pipeline, server
from bench.load import Answer, LoadGenerator
from bench.server import MeasuredService
from tests import documents as samples
from tests.s3.servers import rclone

KEY = "the-key-of-the-benchmark"
KILOBYTES = 50
CONVERSIONS_AT_ONCE, SUBMISSIONS_AT_ONCE, READS_AT_ONCE = 8, 16, 16
BATCH, BATCHES_AT_ONCE = 50, 4
AT_MOST = 64  # requests in flight at a given rate
WARM = 50  # documents before the measurements
READS = 10  # status reads for each document
ALONE = 30  # documents one after another
SECONDS_AT_RATE = 3.0
IDLE_AFTER = 1.5  # seconds after the start
SYNCS = 200
ENDED_WITHIN = 60.0  # seconds
POLL_INTERVAL = 0.02  # seconds

BEFORE, AFTER = samples.pdf("A page of plain text").split(b"startxref")
PADDING = b"x" * (KILOBYTES * 1024 - len(BEFORE) - len(AFTER) - 80)


class Row(Struct, frozen=True):
    """One figure of one run; CPU in ms per document by process, latency in ms."""

    value: float
    unit: str = "/s"
    p50: float = math.nan
    cpu: dict[str, float] = {}


Rows = dict[str, Row]


class Bench:
    """A running service, and the rows that are measured with it."""

    def __init__(self, running: MeasuredService) -> None:
        self._running = running
        self._load = LoadGenerator(running.url, KEY)
        self._ended = 0

    async def warm_up(self) -> None:
        """Carry some documents, so that caches and processes are there."""
        self._load.run(self._conversions(WARM), CONVERSIONS_AT_ONCE)
        self._load.run(self._submissions(WARM), SUBMISSIONS_AT_ONCE)
        await self._wait_until_ended(2 * WARM)

    async def convert(self, documents: int) -> Row:
        """Convert so many documents over several connections."""
        return self._convert(documents, CONVERSIONS_AT_ONCE)

    async def carry(self, documents: int) -> tuple[Row, Row, list[Answer]]:
        """Submit documents and wait for their end: how many are accepted, and how many end."""
        cpu, began = self._running.cpu_seconds(), time.perf_counter()
        answers = self._load.run(self._submissions(documents), SUBMISSIONS_AT_ONCE)
        accepted = time.perf_counter() - began
        _ = [answer.document_id for answer in answers]
        await self._wait_until_ended(documents)
        ended = time.perf_counter() - began
        p50 = 1000 * median(answer.seconds for answer in answers)
        used = self._cpu_since(cpu, documents)
        return Row(documents / accepted, p50=p50), Row(documents / ended, cpu=used), answers

    async def batches(self, documents: int) -> Row:
        """Submit batches and wait for the end of their documents."""
        batches = max(documents // BATCH, 1)
        cpu, began = self._running.cpu_seconds(), time.perf_counter()
        answers = self._load.run(
            (self._batch() for _ in range(batches)), min(BATCHES_AT_ONCE, batches)
        )
        _check(answers, 202)
        await self._wait_until_ended(batches * BATCH)
        took = time.perf_counter() - began
        used = self._cpu_since(cpu, batches * BATCH)
        p50 = 1000 * median(answer.seconds for answer in answers)
        return Row(batches * BATCH / took, p50=p50, cpu=used)

    def status_reads(self, submitted: list[Answer]) -> Row:
        """Read the status of documents at random."""
        ids = [answer.document_id for answer in submitted]
        asked = (self._load.get(f"/api/documents/status/{one}")
                 for one in random.choices(ids, k=READS * len(ids)))  # fmt: skip  # no secret
        return self._flat_out(asked, READS * len(ids), READS_AT_ONCE)

    async def latencies(self, converts: float, carries: float) -> Rows:
        """Measure the latency of one document alone, and at parts of the rates of before."""
        rows = {"convert alone": _latency(self._convert(ALONE, 1).p50)}
        lone: list[float] = []
        for _ in range(ALONE):
            lone.extend(await self._carry_at(math.inf, 1))
        rows["document alone"] = _latency(median(lone))
        for share in (0.5, 0.9):
            rate = share * converts
            answers = self._load.run(
                self._conversions(round(rate * SECONDS_AT_RATE)), AT_MOST, rate
            )
            _check(answers, 200)
            self._ended += len(answers)
            found = 1000 * median(answer.seconds for answer in answers)
            rows[f"convert at {share:.0%}"] = _latency(found)
        for share in (0.5, 0.9):
            rate = share * carries
            took = await self._carry_at(rate, round(rate * SECONDS_AT_RATE))
            rows[f"document at {share:.0%}"] = _latency(median(took))
        return rows

    async def _carry_at(self, rate: float, documents: int) -> list[float]:
        """Return the ms from when each document was due to be sent until its recorded end."""
        answers = self._load.run(self._submissions(documents), min(AT_MOST, documents), rate)
        await self._wait_until_ended(documents)
        due = {answer.document_id: answer.due for answer in answers}
        with self._database() as database:
            ends = database.execute("SELECT id, finished_at FROM documents").fetchall()
        return [end - 1000 * due[document] for document, end in ends if document in due]

    def _convert(self, documents: int, connections: int) -> Row:
        row = self._flat_out(self._conversions(documents), documents, connections)
        self._ended += documents
        return row

    def _flat_out(self, requests: Iterable[bytes], count: int, connections: int) -> Row:
        cpu, began = self._running.cpu_seconds(), time.perf_counter()
        answers = self._load.run(requests, connections)
        took = time.perf_counter() - began
        _check(answers, 200)
        p50 = 1000 * median(answer.seconds for answer in answers)
        return Row(count / took, p50=p50, cpu=self._cpu_since(cpu, count))

    def _cpu_since(self, before: dict[str, float], documents: int) -> dict[str, float]:
        used: dict[str, float] = {}
        for name, seconds in self._running.cpu_seconds().items():
            kind = name.partition(" ")[0]
            spent = 1000 * (seconds - before.get(name, 0.0)) / documents
            used[kind] = used.get(kind, 0.0) + spent
        return used

    def _conversions(self, count: int) -> Iterator[bytes]:
        return (
            self._load.post_files("/v1/convert", "file", [(f"{number}.pdf", unique_pdf())])
            for number in range(count)
        )

    def _submissions(self, count: int) -> Iterator[bytes]:
        path = "/api/documents/submit"
        return (
            self._load.post_files(path, "file", [(f"{number}.pdf", unique_pdf())])
            for number in range(count)
        )

    def _batch(self) -> bytes:
        files = [(f"{number}.pdf", unique_pdf()) for number in range(BATCH)]
        return self._load.post_files("/v1/batch/submit", "files", files)

    async def _wait_until_ended(self, documents: int) -> None:
        """Poll the database itself, so that waiting costs the service nothing."""
        self._ended += documents
        deadline, states = time.monotonic() + ENDED_WITHIN, dict[str, int]()
        with self._database() as database:
            while time.monotonic() < deadline:
                counted = "SELECT state, count(*) FROM documents GROUP BY state"
                states = dict(database.execute(counted).fetchall())
                if states.get("completed") == self._ended:
                    return
                await asyncio.sleep(POLL_INTERVAL)
        raise RuntimeError(f"{states} instead of {self._ended} completed")

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._running.data / 'ilios.db'}?mode=ro", uri=True)


async def local(checkout: Path, documents: int) -> Rows:
    """Measure every load with documents on this machine and the OCR stub."""
    async with (
        ocr_stub.running_ocr_stub() as url,
        server.run_service(stub=False, checkout=checkout, **_settings(url)) as running,
    ):
        await asyncio.sleep(IDLE_AFTER)
        idle = sum(running.resident_mb().values())
        bench, rows = Bench(running), Rows()
        await bench.warm_up()
        rows["convert, 8 at once"] = await bench.convert(documents)
        accepted, ended, answers = await bench.carry(documents)
        rows["submit, 16 at once"], rows["end to end"] = accepted, ended
        rows["batches of 50"] = await bench.batches(documents)
        rows["status, 16 at once"] = bench.status_reads(answers)
        rows |= await bench.latencies(rows["convert, 8 at once"].value, ended.value)
        peak = sum(running.resident_mb("VmHWM").values())
        return rows | {"memory idle": Row(idle, " MB"), "memory peak": Row(peak, " MB")}


async def s3(checkout: Path, documents: int) -> Rows:
    """Measure submissions with documents in a bucket and the OCR stub."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-s3-") as name, rclone(Path(name)) as store:
        async with ocr_stub.running_ocr_stub() as url:
            environ = _settings(url) | store.environ(store.config())
            async with server.run_service(stub=False, checkout=checkout, **environ) as running:
                bench = Bench(running)
                await bench.warm_up()
                accepted, ended, _ = await bench.carry(documents)
                return {"submit, S3": accepted, "end to end, S3": ended}


async def pipeline_alone(checkout: Path, documents: int) -> Rows:
    """Measure the pipeline with an engine inside the process that takes no time."""
    async with server.run_service(stub=True, checkout=checkout) as running:
        await pipeline.warm_up(running, SUBMISSIONS_AT_ONCE, KILOBYTES)
        run = await pipeline.carry(
            running, documents, SUBMISSIONS_AT_ONCE, KILOBYTES, before=pipeline.WARM
        )
        used = {name: 1000 * seconds / documents for name, seconds in run.cpu.items()}
        return {"pipeline, no engine": Row(documents / run.ended, cpu=used)}


async def own_engine(checkout: Path, documents: int) -> Rows:
    """Measure conversions of a small document by the engine on this machine."""
    async with server.run_service(stub=False, checkout=checkout) as running:
        conversions = max(documents // 5, 20)
        rate, cpu = await convert.rate_and_cpu(running, conversions)
        return {"convert, own engine": Row(rate, p50=1000 / rate, cpu=cpu)}


PARTS: dict[str, Callable[[Path, int], Any]] = {
    "local": local,
    "s3": s3,
    "pipeline": pipeline_alone,
    "engine": own_engine,
}


def fsync_ms() -> float:
    """Return the median time of an append of 4 KB and its fsync, on the volume of the services."""
    took: list[float] = []
    with tempfile.TemporaryFile(prefix="ilios-bench-") as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return 1000 * median(took)


def unique_pdf() -> bytes:
    """Return a valid PDF of one page like no other; a comment fills it."""
    return BEFORE + b"%" + secrets.token_hex(32).encode() + PADDING + b"\nstartxref" + AFTER


def _settings(ocr: str) -> dict[str, Any]:
    return {"API_KEY": KEY, "MISTRAL_API_KEY": "any", "MISTRAL_SERVER_URL": ocr}


def _latency(milliseconds: float) -> Row:
    return Row(milliseconds, " ms")


def _check(answers: list[Answer], status: int) -> None:
    for answer in answers:
        if answer.status != status:
            raise RuntimeError(f"answered {answer.status}: {answer.body[:500]!r}")
