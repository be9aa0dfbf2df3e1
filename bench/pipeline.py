"""The pipeline alone: how fast documents are accepted and carried to ``completed``."""

import asyncio
import sqlite3
import time
from pathlib import Path

from msgspec import Struct

from bench import server
from bench.client import POLL_INTERVAL, Client, share, unique_pdf
from bench.server import MeasuredService

WARM = 100  # documents before the measurement
FINISHED_WITHIN = 120.0  # seconds


class Run(Struct, frozen=True):
    """What so many documents took: sorted latencies and durations in seconds, CPU seconds."""

    documents: int
    latencies: list[float]
    accepted: float
    ended: float
    cpu: dict[str, float]

    @property
    def cpu_per_document(self) -> float:
        """Milliseconds of CPU of all processes for one document."""
        return 1000 * sum(self.cpu.values()) / self.documents

    def print(self) -> None:
        """Print rates, latencies and CPU."""
        last = len(self.latencies) - 1
        parts = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        latency = (
            f"{name} {1000 * self.latencies[min(last, int(part * len(self.latencies)))]:.1f} ms"
            for name, part in parts.items()
        )
        cpu = (f"{name} {1000 * used / self.documents:.2f}" for name, used in self.cpu.items())
        print(f"accepted             {self.documents / self.accepted:.0f}/s")
        print(f"  latency            {', '.join(latency)}")
        print(f"end to end           {self.documents / self.ended:.0f} documents/s")
        print(f"CPU per document     {self.cpu_per_document:.2f} ms, of which {', '.join(cpu)}")


async def measure(documents: int = 1500, clients: int = 16, kilobytes: int = 50) -> None:
    """Submit ``documents`` through ``clients`` connections and wait until all are completed."""
    speed = [server.reference_loop_ms()]
    async with server.run_service(stub=True) as running:
        await warm_up(running, clients, kilobytes)
        idle = running.resident_mb()
        run = await carry(running, documents, clients, kilobytes, before=WARM)
        peak = running.resident_mb("VmHWM")
    speed.append(server.reference_loop_ms())
    print(f"documents            {documents} of {kilobytes} KB by {clients} clients")
    run.print()
    print(f"reference loop       {speed[0]:.0f} ms before, {speed[1]:.0f} ms after")
    print_memory("idle", idle)
    print_memory("peak", peak)


async def warm_up(running: MeasuredService, clients: int, kilobytes: int) -> None:
    """Carry ``WARM`` documents to their end."""
    await submit(running.url, WARM, clients, kilobytes)
    await wait_until_completed(running.data, WARM)


async def carry(
    running: MeasuredService, documents: int, clients: int, kilobytes: int, *, before: int
) -> Run:
    """Submit documents and wait for their end; ``before`` are completed already."""
    cpu, began = running.cpu_seconds(), time.perf_counter()
    latencies = await submit(running.url, documents, clients, kilobytes)
    accepted = time.perf_counter() - began
    await wait_until_completed(running.data, before + documents)
    ended = time.perf_counter() - began
    used = {name: after - cpu.get(name, 0) for name, after in running.cpu_seconds().items()}
    return Run(documents, sorted(latencies), accepted, ended, used)


async def submit(url: str, documents: int, clients: int, kilobytes: int) -> list[float]:
    """Submit documents one by one; returns how long each response took, in seconds."""
    latencies: list[float] = []

    async def submit_one(client: Client, number: int) -> None:
        content = unique_pdf(kilobytes)
        began = time.perf_counter()
        await client.submit(f"{number}.pdf", content)
        latencies.append(time.perf_counter() - began)

    await share(url, clients, range(documents), submit_one)
    return latencies


async def wait_until_completed(data: Path, wanted: int) -> None:
    """Poll the database itself, so that waiting costs the service nothing."""
    deadline = time.monotonic() + FINISHED_WITHIN
    done = billed = 0
    with sqlite3.connect(f"file:{data / 'ilios.db'}?mode=ro", uri=True) as database:
        while time.monotonic() < deadline:
            done, billed = database.execute(
                "SELECT (SELECT count(*) FROM documents WHERE state = 'completed'),"
                " (SELECT count(*) FROM usage)"
            ).fetchone()
            if done == wanted == billed:
                return
            await asyncio.sleep(POLL_INTERVAL)
    raise RuntimeError(f"{done} of {wanted} completed, {billed} billed")


def print_memory(when: str, resident: dict[str, float]) -> None:
    """Print resident megabytes by process."""
    print(f"resident, {when}       " + ", ".join(f"{k} {v:.0f} MB" for k, v in resident.items()))
