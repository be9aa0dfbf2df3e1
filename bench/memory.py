"""What the service holds in memory when idle, and what a 1 GB upload adds to that."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from bench import server

GIGABYTE = 1024 * 1024 * 1024 - 4096  # just below the largest document accepted
CHUNK = b"\0" * (1024 * 1024)
SETTLED = 2.0  # seconds after start until it counts as idle


async def measure() -> None:
    """Start the service, look, upload, look again."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        async with server.run_service(Path(name), stub=False) as running:
            await asyncio.sleep(SETTLED)
            idle = running.resident_mb()
            _print("idle", idle)
            running.reset_peak()
            status, text = await _upload(running.url)
            peak = running.resident_mb("VmHWM")
            outcome = await _outcome(running.url, text)
            after = running.resident_mb("VmHWM")
    _print("peak during upload", peak)
    _print("peak with conversion", after)
    print(f"service moved by     {peak['service'] - idle['service']:.1f} MB during the upload, "
          f"{after['service'] - idle['service']:.1f} MB in all")  # fmt: skip
    print(f"upload answered      {status}; it ended: {outcome}")


def _print(what: str, held: dict[str, float]) -> None:
    services = {k: v for k, v in held.items() if not k.startswith("engine")}
    print(f"{what:<20} {sum(services.values()):.0f} MB: "
          + ", ".join(f"{k} {v:.0f}" for k, v in held.items()))  # fmt: skip


async def _body() -> AsyncIterator[bytes]:
    yield b"%PDF-1.7\n"
    left = GIGABYTE - 9
    while left > 0:
        yield CHUNK[:left]
        left -= len(CHUNK)


async def _upload(url: str) -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:
        form = aiohttp.FormData()
        form.add_field("file", _body(), filename="big.pdf", content_type="application/pdf")
        async with session.post(f"{url}/api/documents/submit", data=form) as response:
            return response.status, await response.json(content_type=None)


async def _outcome(url: str, submitted: dict[str, object]) -> str:
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/api/documents/status/{submitted['id']}") as response:
                status = await response.json(content_type=None)
            if status["status"] in ("completed", "failed"):
                return f"{status['status']}: {status.get('error', '')}"
            await asyncio.sleep(0.2)
