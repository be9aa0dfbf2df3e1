"""CPU per document with metrics, which are scraped meanwhile, and without, in alternated pairs."""

import asyncio
from contextlib import suppress
from statistics import median

import aiohttp

from bench import pipeline, server
from bench.pipeline import WARM

SCRAPE_INTERVAL = 5.0  # seconds, more often than any scraper by default
KEY = "bench"


async def measure(pairs: int = 10, documents: int = 600, clients: int = 16) -> None:
    """Carry documents with and without metrics, and print the median ratio of the CPU."""
    ratios: list[float] = []
    for number in range(pairs):
        # Which comes first alternates: a machine may become slower from one run to the next.
        order = (True, False) if number % 2 else (False, True)
        used = {metrics: await _cpu(documents, clients, metrics=metrics) for metrics in order}
        ratios.append(used[True] / used[False])
        print(
            f"pair {number + 1}: {used[False]:.2f} ms without, {used[True]:.2f} ms with, "
            f"{ratios[-1]:.3f}",
            flush=True,
        )
    print(f"CPU with metrics     {median(ratios):.3f} of that without, median of {pairs} pairs")


async def _cpu(documents: int, clients: int, *, metrics: bool) -> float:
    """Return the milliseconds of CPU of all processes for one document."""
    async with server.run_service(stub=True, ILIOS_METRICS_KEY=KEY if metrics else "") as running:
        await pipeline.warm_up(running, clients, 50)
        scraping = asyncio.create_task(_scrape(running.url)) if metrics else None
        run = await pipeline.carry(running, documents, clients, 50, before=WARM)
        if scraping is not None:
            scraping.cancel()
            with suppress(asyncio.CancelledError):
                await scraping
    return run.cpu_per_document


async def _scrape(url: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            async with session.get(f"{url}/metrics") as answer:
                answer.raise_for_status()
                await answer.read()
            await asyncio.sleep(SCRAPE_INTERVAL)
