"""A large document through the edge into a bucket and back: rates, memory, and what is left."""

import asyncio
import hashlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from bench import server
from bench.memory import SETTLED
from tests.s3 import servers
from tests.s3.servers import S3Server

MIB = 1024 * 1024
CHUNK_BYTES = 256 * 1024
VANISHING = 200 * MIB  # bytes a client would send that hangs up before
GONE_WITHIN = 30.0  # seconds until nothing of a vanished client is left
_T = TypeVar("_T")

STORES = {"swift": servers.swift, "rclone": servers.rclone}


async def measure(store: str, megabytes: int, clients: int) -> None:
    """Send ``clients`` documents of so many MiB at once, and read them back; then vanish."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        bucket = Path(name) / "bucket"
        bucket.mkdir()
        with STORES[store](bucket) as s3:
            place = s3.config()
            environ: dict[str, Any] = s3.environ(place)
            data = Path(name) / "data"
            async with server.run_service(data, stub=True, **environ) as running:
                await asyncio.sleep(SETTLED)
                idle = running.resident_mb()["service"]
                print(f"idle                 {idle:.0f} MB; {clients} x {megabytes} MiB, {store}")
                size = megabytes * MIB
                async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as session:
                    sent = await _measured(
                        "upload", running, idle, size * clients,
                        *(_upload(session, running.url, size) for _ in range(clients)),
                    )  # fmt: skip
                    ended = await _measured(
                        "fetch and convert", running, idle, size * clients,
                        *(_wait_until_ended(session, running.url, name) for name, _ in sent),
                    )  # fmt: skip
                    came = await _measured(
                        "download", running, idle, size * clients,
                        *(_download(session, running.url, name) for name, _ in sent),
                    )  # fmt: skip
                    print(f"ended                {', '.join(sorted(set(ended)))}")
                    print(f"as it was sent       {came == [sha256 for _, sha256 in sent]}")
                    print(
                        f"vanished client      "
                        f"{await _hang_up_midway(running.url, s3, place.prefix)}"
                    )


async def _measured(
    what: str,
    running: server.RunningService,
    idle: float,
    size: int,
    *work: Coroutine[Any, Any, _T],
) -> list[_T]:
    running.reset_peak()
    used, began = running.cpu_seconds()["service"], time.monotonic()
    done = await asyncio.gather(*work)
    took = time.monotonic() - began
    peak = running.resident_mb("VmHWM")["service"]
    cpu = running.cpu_seconds()["service"] - used
    print(
        f"{what:<20} {size / MIB / took:.0f} MiB/s in {took:.1f} s, service: {cpu:.1f} s of CPU, "
        f"peak {peak:.0f} MB, moved by {peak - idle:.1f} MB"
    )
    return list(done)


async def _body(size: int, sha256: "hashlib._Hash") -> AsyncIterator[bytes]:
    data = b"%PDF-1.7" + secrets.token_bytes(CHUNK_BYTES - 8)
    for _ in range(size // CHUNK_BYTES):
        sha256.update(data)
        yield data
        data = data[1:] + data[:1]


async def _upload(session: aiohttp.ClientSession, url: str, size: int) -> tuple[str, str]:
    """Submit a document; returns its id and its SHA-256."""
    sha256 = hashlib.sha256()
    form = aiohttp.FormData()
    body = _body(size, sha256)
    form.add_field("file", body, filename="big.pdf", content_type="application/pdf")
    async with session.post(f"{url}/api/documents/submit", data=form) as response:
        answer = await response.json(content_type=None)
        assert response.status == 202, answer
    return str(answer["id"]), sha256.hexdigest()


async def _wait_until_ended(session: aiohttp.ClientSession, url: str, name: str) -> str:
    while True:
        async with session.get(f"{url}/api/documents/status/{name}") as response:
            status = await response.json(content_type=None)
        if status["status"] in ("completed", "failed"):
            return f"{status['status']} {status.get('error', '')}".strip()
        await asyncio.sleep(0.2)


async def _download(session: aiohttp.ClientSession, url: str, name: str) -> str:
    sha256 = hashlib.sha256()
    async with session.get(f"{url}/api/documents/{name}/original") as response:
        assert response.status == 200, response.status
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            sha256.update(chunk)
    return sha256.hexdigest()


async def _hang_up_midway(url: str, s3: S3Server, prefix: str) -> str:
    """Hang up in the middle of an upload, and say what becomes of what has come."""
    before = await asyncio.to_thread(s3.objects, prefix)
    async with aiohttp.ClientSession() as session:
        sending = asyncio.create_task(_upload(session, url, VANISHING))
        while not await asyncio.to_thread(s3.uploads, prefix):
            assert not sending.done()
        sending.cancel()
        await asyncio.wait({sending})
    began = time.monotonic()
    while time.monotonic() - began < GONE_WITHIN:
        uploads = await asyncio.to_thread(s3.uploads, prefix)
        if not uploads and await asyncio.to_thread(s3.objects, prefix) == before:
            return f"leaves nothing after {time.monotonic() - began:.2f} s"
        await asyncio.sleep(0.01)
    return "leaves something"
