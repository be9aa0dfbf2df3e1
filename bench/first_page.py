"""The first page of a long PDF, and what it costs that pages are reported."""

import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median

import aiohttp
import msgspec

from bench import server
from bench.builds import build_of
from bench.client import Client
from bench.server import MeasuredService
from ilios.chaos.processes import ROOT
from tests import documents

LINES = 40  # of a page
SENTENCES = (
    "The committee met in the morning and read the report of the last year with care.",
    "Every measurement was repeated twice, and the mean of both values is given below.",
    "In most cities the price of bread has risen faster than the price of milk.",
    "Nobody expected that the bridge would carry so many people after the storm.",
    "A short walk along the river leads from the station to the old market square.",
    "These results agree with those of earlier work, although the sample was smaller.",
    "Water boils at a lower temperature on high mountains than it does at the sea.",
)
WARM_UP = 5  # documents before the first one that counts
FIRST_WITHIN = 1.0  # bar: seconds
MOST_CPU = 5.0  # bar: percent
PAIRS = 10


def book(pages: int, seed: int = 0) -> bytes:
    """Return a PDF of dense pages."""
    dice = random.Random(seed)  # text, not a secret
    return documents.pdf_of_streams([_page(number, dice) for number in range(1, pages + 1)])


def _page(number: int, dice: random.Random) -> bytes:
    lines = (dice.choice(SENTENCES) for _ in range(LINES))
    shown = " ".join(f"({line}) Tj T*" for line in lines)
    heading = f"BT /F1 18 Tf 72 740 Td (Chapter {number}) Tj ET"
    return f"{heading} BT /F1 10 Tf 14 TL 72 700 Td {shown} ET".encode()


async def measure(pages: int = 600, rounds: int = 5) -> None:
    """Follow the pages of a long PDF: when the first one is readable, and when all are final."""
    async with (
        server.run_service(stub=False) as running,
        aiohttp.ClientSession(running.url) as session,
    ):
        client = Client(running.url)
        for number in range(WARM_UP):
            name = await client.submit("warm.pdf", book(3, seed=1000 + number))
            await client.wait_until_ended(name, within=60)
        firsts = []
        for number in range(rounds):
            first, last, drafts = await _follow(session, book(pages, seed=number))
            firsts.append(first)
            print(
                f"{pages} pages: the first one after {first:.2f} s, {drafts} drafts, "
                f"all final after {last:.2f} s"
            )
        client.close()
    print("ok" if max(firsts) <= FIRST_WITHIN else "NOT MET")


async def _follow(session: aiohttp.ClientSession, pdf: bytes) -> tuple[float, float, int]:
    """Return the seconds to the first page and to the end from the submit on, and the drafts."""
    form = aiohttp.FormData()
    form.add_field("file", pdf, filename="book.pdf")
    async with session.post("/api/documents/submit", data=form) as submitted:
        name = (await submitted.json())["id"]
    began, first, drafts, ended = time.perf_counter(), 0.0, 0, False
    async with session.get(f"/v1/documents/{name}/pages?follow=true") as answer:
        async for line in answer.content:
            found = msgspec.json.decode(line)
            if "index" in found and not found["final"]:
                first = first or time.perf_counter() - began
                drafts += 1
            ended = found.get("state") == "completed"
    if not ended or not drafts:
        raise RuntimeError("the document has not completed, or had no drafts")
    return first, time.perf_counter() - began, drafts


async def measure_cost(before: str, pages: int = 10, documents_each: int = 40) -> None:
    """Convert documents with an earlier build and this one in turns, ten times, and compare CPU."""
    ratios = []
    async with build_of(before) as checkout, AsyncExitStack() as stack:
        old, new = [
            await stack.enter_async_context(
                server.run_service(stub=False, checkout=one, PYTHONPATH=str(one))
            )
            for one in (checkout, ROOT)
        ]
        pdfs = [book(pages, seed=number) for number in range(documents_each)]
        for running in (old, new):
            await _cpu_of(running, pdfs[:WARM_UP])
        for number in range(PAIRS):
            order = (old, new) if number % 2 else (new, old)
            used = {running: await _cpu_of(running, pdfs) for running in order}
            ratios.append(100 * (used[new] / used[old] - 1))
            print(f"before {used[old]:.2f} ms, now {used[new]:.2f} ms of CPU per document")
    print(f"median {median(ratios):+.1f} % CPU per document of {pages} pages")
    print("ok" if median(ratios) <= MOST_CPU else "NOT MET")


async def _cpu_of(running: MeasuredService, pdfs: Sequence[bytes]) -> float:
    """Return the CPU milliseconds of all processes per document."""
    before = running.cpu_seconds()
    client = Client(running.url)
    names = [await client.submit("book.pdf", pdf) for pdf in pdfs]
    for name in names:
        status = await client.wait_until_ended(name, within=120)
        if status["status"] != "completed":
            raise RuntimeError(f"{name} is {status}")
    client.close()
    after = running.cpu_seconds()
    return 1000 * sum(used - before.get(name, 0.0) for name, used in after.items()) / len(pdfs)
