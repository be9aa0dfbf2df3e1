"""How soon ``/health`` is answered beside connections that never finish a request."""

import asyncio
import contextlib
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bench import server

DRIP_EVERY = 1.0  # seconds
POLL_INTERVAL = 0.02  # seconds between two requests of /health
BAR = 0.1  # seconds
REOPEN_AFTER = 0.1  # seconds until a connection that was closed is opened again
STOP_WITHIN = 10.0  # seconds

HEALTH_REQUEST = b"GET /health HTTP/1.1\r\nHost: ilios\r\nConnection: close\r\n\r\n"


class Kind(NamedTuple):
    """A way to occupy a connection: its first bytes, and whether a byte a second follows."""

    first: bytes
    drips: bool


def _post(path: str, kind: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: ilios\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: 60000\r\n\r\n".encode()


HEAD = b"GET /livez HTTP/1.1\r\nHost: ilios\r\nX-Drip: "
KINDS = {
    "silent": Kind(b"", drips=False),
    "half-open": Kind(HEAD, drips=False),
    "header": Kind(HEAD, drips=True),
    "upload": Kind(_post("/api/documents/submit", "application/pdf"), drips=True),
    "json": Kind(_post("/api/documents/upload-url", "application/json"), drips=True),
}

LOADS: dict[str, dict[str, int]] = {
    "no other connections": {},
    "200 half-open, 200 dripping": {"silent": 100, "half-open": 100, "header": 100, "upload": 100},
    "no others any more": {},
    "1500 half-open, over the cap": {"silent": 750, "half-open": 750},
    "1500 dripping headers, over the cap": {"header": 1500},
    "1500 dripping bodies, over the cap": {"upload": 200, "json": 1300},
    "no others at the end": {},
}


async def measure(seconds: float = 20.0) -> None:
    """Request ``/health`` for so long beside each load, in one run, and print how long it took."""
    async with server.run_service(stub=True) as running:
        print(f"{'/health beside':40}{'p50':>8}{'p99':>8}{'max':>8} ms{'requests':>10}   closed")
        worst = 0.0
        for what, load in LOADS.items():
            async with _held_connections(running.url, load) as ends:
                took, wrong = await _poll_health(running.url, seconds)
            worst = max(worst, *took)
            _print(what, took, wrong, ends)
        edge = running.processes().get(server.EDGE_PROCESS, running.pid)
        files = len(list(Path(f"/proc/{edge}/fd").iterdir()))
        print(f"afterwards: {server.of_service(running.resident_mb()):.0f} MB, {files} open files")
    met = "ok" if worst <= BAR else "NOT MET"
    print(f"{met}: every /health within {1000 * BAR:.0f} ms ({1000 * worst:.0f} ms)")


def _print(what: str, took: list[float], wrong: int, ends: list[str]) -> None:
    took = sorted(1000 * one for one in took)
    p99 = statistics.quantiles(took, n=100)[98]
    line = f"{what:40}{statistics.median(took):>8.1f}{p99:>8.1f}{took[-1]:>8.1f}   {len(took):>8}"
    print(line, f" {wrong} NOT 200" if wrong else "", " ", *ends, flush=True)


async def _poll_health(url: str, seconds: float) -> tuple[list[float], int]:
    """Request it over a new connection each time, as monitors do."""
    parts, took, wrong = urlsplit(url), [], 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(HEALTH_REQUEST)
            head = await reader.readline()
            await reader.read()
            writer.close()
        except ConnectionError:
            head = b""
        took.append(time.perf_counter() - began)
        wrong += b" 200 " not in head
        await asyncio.sleep(POLL_INTERVAL)
    return took, wrong


@asynccontextmanager
async def _held_connections(url: str, load: dict[str, int]) -> AsyncIterator[list[str]]:
    """Hold connections from another process; the list has afterwards how they ended."""
    ends: list[str] = []
    if not load:
        yield ends
        return
    words = [f"{kind}={number}" for kind, number in load.items()]
    command = (sys.executable, "-m", "bench.connections", url, *words)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()  # all of them are open
    try:
        yield ends
    finally:
        process.stdin.close()
        output = await asyncio.wait_for(process.stdout.read(), STOP_WITHIN)
        ends += output.decode().split("\n")[:-1]
        await process.wait()


async def _hold(url: str, kind: Kind, opened: asyncio.Semaphore, ends: Counter[str]) -> None:
    """Hold a connection, and open another when it is closed."""
    parts, first = urlsplit(url), True
    while True:
        end = "reset"
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            if first:
                opened.release()
                first = False
            writer.write(kind.first)
            dripping = asyncio.create_task(_drip(writer)) if kind.drips else None
            try:
                head = await reader.read(4096)
                end = head[9:12].decode() if head else "closed"
            finally:
                if dripping:
                    dripping.cancel()
                writer.close()
        ends[end] += 1
        await asyncio.sleep(REOPEN_AFTER)


async def _drip(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        await asyncio.sleep(DRIP_EVERY)
        writer.write(b"x")


async def _hold_all(url: str, numbers: dict[str, int]) -> None:
    """Hold connections until stdin ends, then print how those ended that the service closed."""
    opened, ends = asyncio.Semaphore(0), Counter[str]()
    holding = [
        asyncio.create_task(_hold(url, KINDS[kind], opened, ends))
        for kind, number in numbers.items()
        for _ in range(number)
    ]
    for _ in holding:
        await opened.acquire()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in holding:
        task.cancel()
    await asyncio.wait(holding)
    print(", ".join(f"{number} x {end}" for end, number in ends.most_common()) or "none ended")


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    where, *asked = sys.argv[1:]
    pairs = (word.partition("=") for word in asked)
    asyncio.run(_hold_all(where, {kind: int(number) for kind, _, number in pairs}))
