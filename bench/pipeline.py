"""The pipeline alone: how fast documents are accepted and carried to ``completed``."""

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path

from bench import machine, server
from bench.client import Client, unique_pdf

FINISHED_WITHIN = 120.0  # seconds
ASKED_EVERY = 0.05  # seconds between looks at the database


async def measure(documents: int, clients: int, kilobytes: int) -> None:
    """Submit ``documents`` through ``clients`` connections and wait until all are completed."""
    speed = [machine.reference_loop_ms()]
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        data = Path(name)
        async with server.run_service(data, stub=True) as running:
            await submit(running.url, 100, clients, kilobytes)  # warm
            await wait_until_completed(data, 100)
            idle = running.resident_mb()
            before = running.cpu_seconds()
            started = time.perf_counter()
            latencies = await submit(running.url, documents, clients, kilobytes)
            accepted = time.perf_counter() - started
            await wait_until_completed(data, documents + 100)
            ended = time.perf_counter() - started
            used = {k: v - before.get(k, 0) for k, v in running.cpu_seconds().items()}
            peak = running.resident_mb("VmHWM")
    speed.append(machine.reference_loop_ms())
    print(f"documents            {documents} of {kilobytes} KB by {clients} clients")
    print(f"accepted             {documents / accepted:.0f}/s")
    print_latencies(sorted(latencies))
    print(f"end to end           {documents / ended:.0f} documents/s")
    print_cpu(used, documents)
    print(f"reference loop       {speed[0]:.0f} ms before, {speed[1]:.0f} ms after")
    print_memory("idle", idle)
    print_memory("peak", peak)


async def submit(url: str, documents: int, clients: int, kilobytes: int) -> list[float]:
    """Submit documents one by one and return how long each answer took, in seconds."""
    latencies: list[float] = []
    left = iter(range(documents))

    async def one_client() -> None:
        client = Client(url)
        for number in left:
            content = unique_pdf(kilobytes)
            started = time.perf_counter()
            answer = await client.post_file("/api/documents/submit", f"{number}.pdf", content)
            latencies.append(time.perf_counter() - started)
            if answer.status != 202:
                raise RuntimeError(f"submit answered {answer.status}: {answer.body!r}")
        client.close()

    await asyncio.gather(*(one_client() for _ in range(clients)))
    return latencies


async def wait_until_completed(data: Path, wanted: int) -> None:
    """Wait at the database itself, so that waiting costs the service nothing."""
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
            await asyncio.sleep(ASKED_EVERY)
    raise RuntimeError(f"{done} of {wanted} completed, {billed} billed")


def print_latencies(latencies: list[float]) -> None:
    """Print percentiles of sorted latencies, in seconds."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    last = len(latencies) - 1
    told = (f"{n} {1000 * latencies[min(last, int(s * last))]:.1f} ms" for n, s in shares.items())
    print(f"  latency            {', '.join(told)}")


def print_cpu(used: dict[str, float], documents: int) -> None:
    """Print what the CPU seconds of each process come to for each document."""
    each = (f"{name} {1000 * seconds / documents:.2f}" for name, seconds in used.items())
    total = 1000 * sum(used.values()) / documents
    print(f"CPU per document     {total:.2f} ms, of which {', '.join(each)}")


def print_memory(when: str, held: dict[str, float]) -> None:
    """Print resident megabytes by process."""
    print(f"resident, {when}       " + ", ".join(f"{k} {v:.0f} MB" for k, v in held.items()))
