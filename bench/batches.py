"""Batches against single submits; what a status read costs; what a download holds in memory."""

import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp

from bench import server
from bench.client import Client, multipart, unique_pdf
from bench.pipeline import submit, wait_until_completed

AT_ONCE = 4  # batches that are submitted at the same time
ASKED_EVERY = 0.02  # seconds between looks at a batch
ROUNDS = 2  # each kind is measured so often, in turns
STATUS_READS = 2000


async def measure(batches: int, documents: int, kilobytes: int) -> None:
    """Submit the same number of documents in batches and singly, in turns."""
    total = batches * documents
    print(f"{batches} batches of {documents} files of {kilobytes} KB, stub engine")
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        data = Path(name)
        async with server.run_service(data, stub=True) as running:
            await submit(running.url, 100, 16, kilobytes)  # warm
            await wait_until_completed(data, 100)
            done, ids = 100, list[str]()
            for _ in range(ROUNDS):
                done += total
                started = time.perf_counter()
                await submit(running.url, total, 16, kilobytes)
                await wait_until_completed(data, done)
                single = total / (time.perf_counter() - started)
                done += total
                started = time.perf_counter()
                ids = await _submit_batches(running.url, batches, documents, kilobytes)
                await wait_until_completed(data, done)
                batched = total / (time.perf_counter() - started)
                await _wait_until_completed(running.url, ids, documents)
                print(f"end to end           single {single:.0f}, in batches {batched:.0f} "
                      f"documents/s: {batched / single:.2f} times")  # fmt: skip
            await _status_cost(running, ids[0])


async def measure_download(documents: int, kilobytes: int) -> None:
    """Download one batch of large Markdown in both formats and watch the service's memory."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        async with server.run_service(
            Path(name), stub=True, markdown_kilobytes=kilobytes
        ) as running:
            (batch_id,) = await _submit_batches(running.url, 1, documents, 10)
            await _wait_until_completed(running.url, [batch_id], documents)
            for form in ("jsonl", "zip", "jsonl", "zip"):
                before = running.resident_mb()["service"]
                running.reset_peak()
                size = await _download(f"{running.url}/v1/batch/download/{batch_id}?format={form}")
                peak = running.resident_mb("VmHWM")["service"]
                print(f"download as {form:<9}{size / 2**20:.0f} MB; the service's memory moved by "
                      f"{peak - before:.1f} MB")  # fmt: skip


async def _submit_batches(url: str, batches: int, documents: int, kilobytes: int) -> list[str]:
    ids: list[str] = []
    left = iter(range(batches))

    async def one_client() -> None:
        client = Client(url)
        for number in left:
            files = [(f"{number}-{place}.pdf", unique_pdf(kilobytes)) for place in range(documents)]
            answer = await client.post("/v1/batch/submit", *multipart("files", files))
            if answer.status != 202:
                raise RuntimeError(f"submit answered {answer.status}: {answer.body!r}")
            ids.append(str(answer.json()["batchId"]))
        client.close()

    await asyncio.gather(*(one_client() for _ in range(AT_ONCE)))
    return ids


async def _wait_until_completed(url: str, ids: list[str], documents: int) -> None:
    client = Client(url)
    for batch_id in ids:
        status: dict[str, object] = {}
        while status.get("status") not in ("completed", "failed"):
            await asyncio.sleep(ASKED_EVERY)
            status = (await client.get(f"/v1/batch/status/{batch_id}")).json()
        progress = status["progress"]
        wanted = {"total": documents, "completed": documents}
        wanted |= {"pending": 0, "processing": 0, "failed": 0}
        if progress != wanted:
            raise RuntimeError(f"batch {batch_id}: {progress}")
    client.close()


async def _status_cost(running: server.RunningService, batch_id: str) -> None:
    client = Client(running.url)
    before = running.cpu_seconds()["service"]
    for _ in range(STATUS_READS):
        await client.get(f"/v1/batch/status/{batch_id}")
    used = running.cpu_seconds()["service"] - before
    client.close()
    print(f"status of a batch    {1000 * used / STATUS_READS:.2f} ms of CPU in the service")


async def _download(url: str) -> int:
    size = 0
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        response.raise_for_status()
        async for chunk in response.content.iter_any():
            size += len(chunk)
    return size
