"""How far the estimated ends of documents are from their ends, while mixed work waits."""

import asyncio
import random
import time
from statistics import median, quantiles

from bench import server
from bench.client import Client
from bench.first_page import book
from bench.starvation import scan_of, text_page

POLL_EVERY = 0.5  # seconds
SAMPLED = 20  # documents that are asked about
LEAST_LEFT = 2.0  # seconds: an answer in whole seconds says nothing about less
MEDIAN_ERROR, FACTOR = 0.3, 3.0  # bars
MAX_SECONDS = 600.0


def mixed_work(count: int, seed: int) -> list[bytes]:
    """Return short texts, books and scans in any order."""
    dice = random.Random(seed)  # an order, not a secret
    kinds = dice.choices(("text", "book", "scan"), weights=(6, 3, 1), k=count)
    made = {
        "text": lambda n: text_page(f"page {n}"),
        "book": lambda n: book(dice.choice((20, 60, 120)), seed=n),
        "scan": lambda n: scan_of(1) + b"%% %d\n" % n,
    }
    return [made[kind](number) for number, kind in enumerate(kinds)]


async def measure(documents: int = 120) -> None:
    """Submit mixed work at once, ask about some of it until it ends, and compare."""
    async with server.run_service(stub=False) as running:
        client = Client(running.url)
        answers: list[tuple[str, float, float]] = []
        ends: dict[str, float] = {}
        names = [await client.submit("a.pdf", data) for data in mixed_work(documents, 1)]
        sampled = names[:: max(1, documents // SAMPLED)]
        began = time.monotonic()
        while len(ends) < len(sampled) and time.monotonic() < began + MAX_SECONDS:
            for name in sampled:
                if name in ends:
                    continue
                status = (await client.get(f"/api/documents/status/{name}")).json()
                now = time.monotonic() - began
                if status["status"] in ("completed", "failed"):
                    ends[name] = now
                elif "etaSeconds" in status:
                    answers.append((name, now, status["etaSeconds"]))
            await asyncio.sleep(POLL_EVERY)
        client.close()
    errors, factors = [], []
    for name, at, estimated in answers:
        left = ends[name] - at if name in ends else 0.0
        if left >= LEAST_LEFT:
            errors.append(abs(estimated - left) / left)
            factors.append(max(estimated / left, left / estimated))
    p90 = quantiles(factors, n=10)[-1]
    print(f"{documents} documents in {max(ends.values()):.0f} s, {len(errors)} estimates of "
          f"{len(answers)} answers")  # fmt: skip
    print(f"error p50 {100 * median(errors):.0f} %, factor p90 {p90:.2f}")
    print("ok" if median(errors) <= MEDIAN_ERROR and p90 <= FACTOR else "NOT MET")
