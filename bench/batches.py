"""Batches against single submissions; the cost of a status read; the memory of a download."""

import asyncio
import time

import aiohttp

from bench import pipeline, server
from bench.client import POLL_INTERVAL, Client, multipart, share, unique_pdf
from bench.server import MeasuredService

CLIENTS = 16
AT_ONCE = 4  # batches that are submitted at the same time
ROUNDS = 2  # each kind is measured so often, in turns
STATUS_READS = 2000


async def measure(batches: int = 20, documents: int = 100, kilobytes: int = 10) -> None:
    """Submit the same number of documents in batches and singly, in turns."""
    total = batches * documents
    print(f"{batches} batches of {documents} files of {kilobytes} KB, stub engine")
    async with server.run_service(stub=True) as running:
        await pipeline.warm_up(running, CLIENTS, kilobytes)
        done, ids = pipeline.WARM, list[str]()
        for _ in range(ROUNDS):
            run = await pipeline.carry(running, total, CLIENTS, kilobytes, before=done)
            done += 2 * total
            began = time.perf_counter()
            ids = await _submit_batches(running.url, batches, documents, kilobytes)
            await pipeline.wait_until_completed(running.data, done)
            single, batched = total / run.ended, total / (time.perf_counter() - began)
            await _wait_until_completed(running.url, ids, documents)
            print(
                f"end to end           single {single:.0f}, in batches {batched:.0f} "
                f"documents/s: {batched / single:.2f} times"
            )
        await _print_status_cost(running, ids[0])


async def measure_download(documents: int = 100, kilobytes: int = 1024) -> None:
    """Download one batch of large Markdown in both formats and watch the memory of the service."""
    async with server.run_service(stub=True, kilobytes=kilobytes) as running:
        (batch_id,) = await _submit_batches(running.url, 1, documents, 10)
        await _wait_until_completed(running.url, [batch_id], documents)
        for form in ("jsonl", "zip", "jsonl", "zip"):
            before = server.of_service(running.resident_mb())
            running.reset_peak()
            size = await _download(f"{running.url}/v1/batch/download/{batch_id}?format={form}")
            peak = server.of_service(running.resident_mb("VmHWM"))
            print(
                f"download as {form:<9}{size / 2**20:.0f} MB; the service's memory moved by "
                f"{peak - before:.1f} MB"
            )


async def _submit_batches(url: str, batches: int, documents: int, kilobytes: int) -> list[str]:
    ids: list[str] = []

    async def submit(client: Client, number: int) -> None:
        contents = [(f"{number}-{place}.pdf", unique_pdf(kilobytes)) for place in range(documents)]
        answer = await client.post("/v1/batch/submit", *multipart("files", contents))
        if answer.status != 202:
            raise RuntimeError(f"submit answered {answer.status}: {answer.body!r}")
        ids.append(str(answer.json()["batchId"]))

    await share(url, AT_ONCE, range(batches), submit)
    return ids


async def _wait_until_completed(url: str, ids: list[str], documents: int) -> None:
    expected = {"total": documents, "completed": documents}
    expected |= {"pending": 0, "processing": 0, "failed": 0}
    client = Client(url)
    for batch_id in ids:
        status: dict[str, object] = {}
        while status.get("status") not in ("completed", "failed"):
            await asyncio.sleep(POLL_INTERVAL)
            status = (await client.get(f"/v1/batch/status/{batch_id}")).json()
        if status["progress"] != expected:
            raise RuntimeError(f"batch {batch_id}: {status['progress']}")
    client.close()


async def _print_status_cost(running: MeasuredService, batch_id: str) -> None:
    client = Client(running.url)
    before = server.of_service(running.cpu_seconds())
    for _ in range(STATUS_READS):
        await client.get(f"/v1/batch/status/{batch_id}")
    used = server.of_service(running.cpu_seconds()) - before
    client.close()
    print(f"status of a batch    {1000 * used / STATUS_READS:.2f} ms of CPU in the service")


async def _download(url: str) -> int:
    size = 0
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        response.raise_for_status()
        async for chunk in response.content.iter_any():
            size += len(chunk)
    return size
