"""Large documents: the memory of an upload of 1 GiB; a bucket and back; a vanished client."""

import asyncio
import hashlib
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiohttp

from bench import server
from bench.client import Client
from bench.server import MeasuredService
from tests.s3 import servers
from tests.s3.servers import S3Server

MIB = 1024 * 1024
CHUNK_BYTES = 256 * 1024
LARGEST = 1024 * MIB - 4096  # bytes: just below the largest document accepted
IDLE_AFTER = 2.0  # seconds after the start
VANISHING = 200 * MIB  # bytes of an upload that is given up in its middle
GONE_WITHIN = 30.0  # seconds until nothing of it is left
ENDED_WITHIN = 900.0  # seconds
STORES = {"swift": servers.swift, "rclone": servers.rclone}
_T = TypeVar("_T")


async def measure_memory() -> None:
    """Print the memory of an idle service, and what an upload of 1 GiB adds."""
    async with server.run_service(stub=False) as running, _session() as session:
        await asyncio.sleep(IDLE_AFTER)
        idle = running.resident_mb()
        running.reset_peak()
        document, _ = await _upload(session, running.url, LARGEST)
        peak = running.resident_mb("VmHWM")
        outcome = await _wait_until_ended(running.url, document)
        after = running.resident_mb("VmHWM")
    for what, resident in (
        ("idle", idle),
        ("peak during upload", peak),
        ("peak with conversion", after),
    ):
        own = sum(mb for name, mb in resident.items() if not name.startswith("engine"))
        print(f"{what:<20} {own:.0f} MB: " + ", ".join(f"{k} {v:.0f}" for k, v in resident.items()))
    before = server.of_service(idle)
    print(
        f"service moved by     {server.of_service(peak) - before:.1f} MB during the upload, "
        f"{server.of_service(after) - before:.1f} MB in all"
    )
    print(f"it ended             {outcome}")


async def measure_s3(
    store: Literal["swift", "rclone"] = "swift", megabytes: int = 1024, clients: int = 1
) -> None:
    """Send ``clients`` documents of so many MiB at once and read them back; then hang up."""
    size = megabytes * MIB
    with (
        tempfile.TemporaryDirectory(prefix="ilios-bench-s3-") as name,
        STORES[store](Path(name)) as s3,
    ):
        config = s3.config()
        environ: dict[str, Any] = s3.environ(config)
        async with server.run_service(stub=True, **environ) as running, _session() as session:
            await asyncio.sleep(IDLE_AFTER)
            idle = server.of_service(running.resident_mb())
            print(f"idle                 {idle:.0f} MB; {clients} x {megabytes} MiB, {store}")

            async def measured(what: str, *work: Coroutine[Any, Any, _T]) -> list[_T]:
                return await _measured(what, running, idle, size * clients, *work)

            url = running.url
            sent = await measured("upload", *(_upload(session, url, size) for _ in range(clients)))
            ended = await measured(
                "fetch and convert", *(_wait_until_ended(url, document) for document, _ in sent)
            )
            came = await measured(
                "download", *(_download(session, url, document) for document, _ in sent)
            )
            print(f"ended                {', '.join(sorted(set(ended)))}")
            print(f"as it was sent       {came == [sha256 for _, sha256 in sent]}")
            print(f"vanished client      {await _hang_up_midway(url, s3, config.prefix)}")


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout())


async def _measured(
    what: str,
    running: MeasuredService,
    idle: float,
    size: int,
    *work: Coroutine[Any, Any, _T],
) -> list[_T]:
    running.reset_peak()
    before, began = server.of_service(running.cpu_seconds()), time.monotonic()
    done = await asyncio.gather(*work)
    took = time.monotonic() - began
    peak = server.of_service(running.resident_mb("VmHWM"))
    cpu = server.of_service(running.cpu_seconds()) - before
    print(
        f"{what:<20} {size / MIB / took:.0f} MiB/s in {took:.1f} s, service: {cpu:.1f} s of CPU, "
        f"peak {peak:.0f} MB, moved by {peak - idle:.1f} MB"
    )
    return list(done)


async def _upload(session: aiohttp.ClientSession, url: str, size: int) -> tuple[str, str]:
    """Submit a document of random bytes; returns its id and its SHA-256."""
    sha256 = hashlib.sha256()

    async def body() -> AsyncIterator[bytes]:
        data, left = b"%PDF-1.7" + secrets.token_bytes(CHUNK_BYTES - 8), size
        while left > 0:
            sha256.update(data[:left])
            yield data[:left]
            left -= CHUNK_BYTES
            data = data[1:] + data[:1]

    form = aiohttp.FormData()
    form.add_field("file", body(), filename="big.pdf", content_type="application/pdf")
    async with session.post(f"{url}/api/documents/submit", data=form) as response:
        answer = await response.json(content_type=None)
        assert response.status == 202, answer
    return str(answer["id"]), sha256.hexdigest()


async def _wait_until_ended(url: str, document: str) -> str:
    client = Client(url)
    status = await client.wait_until_ended(document, ENDED_WITHIN)
    client.close()
    return f"{status['status']} {status.get('error', '')}".strip()


async def _download(session: aiohttp.ClientSession, url: str, document: str) -> str:
    sha256 = hashlib.sha256()
    async with session.get(f"{url}/api/documents/{document}/original") as response:
        assert response.status == 200, response.status
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            sha256.update(chunk)
    return sha256.hexdigest()


async def _hang_up_midway(url: str, s3: S3Server, prefix: str) -> str:
    """Hang up in the middle of an upload, and return the files left of it."""
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
