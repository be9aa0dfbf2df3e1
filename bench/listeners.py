"""What idle streams of events cost, and submissions beside them."""

import asyncio
import resource
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bench import server
from bench.client import Client

LISTENING_KEY, SUBMITTING_KEY = "bench-listening-key-0123", "bench-submitting-key-0123"
CLIENTS = 8
SETTLED_AFTER = 3.0  # seconds
BAR = 0.95  # of the submissions per second without listeners
DOCUMENT = b"%PDF-1.7 " + b"x" * 10_000
FILES = 512  # of this process, beside the connections


async def measure(listeners: int = 1000, seconds: float = 30.0, pairs: int = 5) -> None:
    """Open so many streams, all that are allowed, and print memory, CPU and submissions beside."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, listeners + FILES), hard))
    keys = f"{LISTENING_KEY},{SUBMITTING_KEY}"
    # One of two keys has half of all places.
    limit = str(2 * listeners)
    async with server.run_service(stub=True, API_KEY=keys, ILIOS_MAX_LISTENERS=limit) as running:
        await _submissions(running.url, 3.0)  # caches
        before = server.of_service(running.resident_mb())
        async with _listening(running.url, listeners):
            await asyncio.sleep(SETTLED_AFTER)
            memory = server.of_service(running.resident_mb()) - before
            used = server.of_service(running.cpu_seconds())
            await asyncio.sleep(seconds)
            used = server.of_service(running.cpu_seconds()) - used
            refused = await _is_refused(running.url)
        ratios = []
        for _ in range(pairs):
            without = await _submissions(running.url, seconds / pairs)
            async with _listening(running.url, listeners):
                beside = await _submissions(running.url, seconds / pairs)
            ratios.append(beside[0] / without[0])
            print(
                f"accepted {without[0]:.0f}/s, p99 {1000 * without[1]:.0f} ms; "
                f"beside {listeners} listeners {beside[0]:.0f}/s, p99 {1000 * beside[1]:.0f} ms",
                flush=True,
            )
    print(
        f"{listeners} idle listeners: {memory:.1f} MB ({1024 * memory / listeners:.0f} KB each), "
        f"{100 * used / seconds:.1f} % CPU; one more is {'refused' if refused else 'NOT REFUSED'}"
    )
    ratio = statistics.median(ratios)
    met = "ok" if ratio >= BAR else "NOT MET"
    print(f"{met}: submissions beside them {ratio:.2f} times as many (median of {pairs} pairs)")


@asynccontextmanager
async def _listening(url: str, listeners: int) -> AsyncIterator[None]:
    parts = urlsplit(url)
    request = f"GET /v1/events HTTP/1.1\r\nHost: ilios\r\nX-Api-Key: {LISTENING_KEY}\r\n\r\n"
    writers = []
    try:
        for _ in range(listeners):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writers.append(writer)
            writer.write(request.encode())
            head = await reader.readline()
            if b" 200 " not in head:
                raise RuntimeError(f"stream {len(writers)} answered {head!r}")
        yield
    finally:
        for writer in writers:
            writer.transport.abort()


async def _is_refused(url: str) -> bool:
    return (await Client(url, LISTENING_KEY).get("/v1/events")).status == 503


async def _submissions(url: str, seconds: float) -> tuple[float, float]:
    """Return submissions per second, and the 99th percentile of their seconds."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def submit() -> None:
        client = Client(url, SUBMITTING_KEY)
        while time.perf_counter() < until:
            began = time.perf_counter()
            await client.submit("report.pdf", DOCUMENT)
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(submit() for _ in range(CLIENTS)))
    return len(took) / seconds, statistics.quantiles(took, n=100)[98]
