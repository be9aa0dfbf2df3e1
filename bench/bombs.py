"""Hostile documents by the hundred, while somebody else keeps asking for small good ones."""

import asyncio
import itertools
import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bench import server
from bench.client import Client
from bench.machine import reference_loop_ms
from tests import documents
from tests.hostile_documents import Canary, Hostile, hostile

NEIGHBOUR_EVERY = 0.5  # seconds between two good documents
QUIET = 20.0  # seconds the neighbours have the engines to themselves
ENDED_WITHIN = 400.0  # seconds
LOOK_EVERY = 0.05  # seconds between looks at how far a document is
GOOD_PAGES = 3
CANARY_WORD = "canary-in-a-file"


class Ended(msgspec.Struct, frozen=True):
    """What became of one hostile document."""

    kind: str
    state: str
    why: str
    seconds: float


class Neighbours:
    """Small good documents by ``/v1/convert``, one after the other, at a steady pace."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.answers: Counter[int] = Counter()

    @asynccontextmanager
    async def during(self, phase: str) -> AsyncIterator[None]:
        """Ask while the context is open; what was asked until then is waited for."""
        asking: list[asyncio.Task[None]] = []

        async def pace() -> None:
            for number in itertools.count():
                asking.append(asyncio.create_task(self._ask(phase, number)))
                await asyncio.sleep(NEIGHBOUR_EVERY)

        pacing = asyncio.create_task(pace())
        try:
            yield
        finally:
            pacing.cancel()
            await asyncio.gather(*asking)

    async def _ask(self, phase: str, number: int) -> None:
        pages = [f"Page {page} of good document {number} {phase}" for page in range(GOOD_PAGES)]
        client = Client(self._url)
        began = time.perf_counter()
        answer = await client.post_file("/v1/convert", "good.pdf", documents.pdf(*pages))
        self.latencies[phase].append(time.perf_counter() - began)
        self.answers[answer.status] += 1
        if answer.status == 200 and f"document {number} {phase}" not in answer.body.decode():
            raise RuntimeError("a neighbour got the text of somebody else")
        client.close()


async def measure(count: int, seed: int, at_once: int, only: str) -> None:
    """Submit ``count`` hostile documents, ``at_once`` in hand, and print what came of them."""
    connections: list[str] = []

    def on_connect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(str(writer.get_extra_info("peername")))
        writer.close()

    canary = await asyncio.start_server(on_connect, "127.0.0.1", 0)
    port = canary.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        file = Path(name, "canary")
        file.write_text(CANARY_WORD)
        made = (
            each
            for each in hostile(count, seed, Canary(f"http://127.0.0.1:{port}/x", str(file)))
            if only in each.kind
        )
        async with server.run_service(Path(name, "data"), stub=False) as running:
            neighbours = Neighbours(running.url)
            own = _service_pids(running)
            await _warm(running.url, at_once)
            async with neighbours.during("alone"):
                await asyncio.sleep(QUIET)
            async with neighbours.during("beside ordinary documents"):
                await _submit_all(running.url, _ordinary(seed), at_once)
            idle = running.resident_mb()
            running.reset_peak()
            began = time.perf_counter()
            async with neighbours.during("beside hostile documents"):
                ended, leaks = await _submit_all(running.url, made, at_once)
            seconds = time.perf_counter() - began
            peak = running.resident_mb("VmHWM")
            survived = own == _service_pids(running)
            left = [path for path in Path(name, "data", "engine").rglob("*") if path.is_file()]
    canary.close()
    _print_kinds(ended)
    print(f"\n{len(ended)} documents in {seconds:.0f} s, {at_once} at once; seed {seed}")
    print(f"slowest {max(one.seconds for one in ended):.1f} s from submission to the end")
    print(f"not ended as they should: {[one for one in ended if not _ended_properly(one)]}")
    for process in ("service", "nats-server"):
        print(f"{process}: {idle[process]:.0f} MB before, {peak[process]:.0f} MB at the peak")
    print(f"the service's own processes {'all survived' if survived else 'DID NOT all survive'}")
    print(
        f"connections to the canary: {len(connections)}; texts with the word of its file: {leaks}"
    )
    print(f"documents left with the engine: {len(left)}")
    for phase, latencies in neighbours.latencies.items():
        cuts = statistics.quantiles(latencies, n=20)
        p50, p95 = cuts[9], cuts[18]
        print(
            f"neighbours {phase}: {len(latencies)}, p50 {1000 * p50:.0f} ms, "
            f"p95 {1000 * p95:.0f} ms, longest {1000 * max(latencies):.0f} ms"
        )
    print(f"what neighbours were answered: {dict(neighbours.answers)}")
    print(f"reference loop {reference_loop_ms():.0f} ms")


def _service_pids(running: server.RunningService) -> dict[str, int]:
    return {k: v for k, v in running.processes().items() if not k.startswith("engine")}


def _ordinary(seed: int) -> Iterator[Hostile]:
    """Yield documents as people have them: some pages of text, a scan, a DOCX."""
    rng = random.Random(seed)
    for number in range(60):
        words = [f"{rng.random()} and more words of a line" for _ in range(30)]
        scan = documents.text_image(*[f"{rng.random()} words"] * 12)
        made: list[Callable[[], bytes]] = [
            lambda words=words: documents.pdf(*["\n".join(words)] * 20),  # type: ignore[misc]
            lambda words=words: documents.docx(*map(documents.paragraph, words)),  # type: ignore[misc]
            lambda scan=scan: documents.image_file(scan, "PDF", [scan, scan]),  # type: ignore[misc]
        ]
        yield Hostile("ordinary", f"{number}.pdf", made[number % 3]())


async def _warm(url: str, at_once: int) -> None:
    scan = documents.image_file(documents.text_image("Some words"), "PNG")
    await _submit_all(url, (Hostile("warm", "a.png", scan + bytes([n])) for n in range(8)), at_once)


async def _submit_all(url: str, made: Iterator[Hostile], at_once: int) -> tuple[list[Ended], int]:
    """Submit all of them; returns how each ended, and in how many texts the canary's word is."""
    ended: list[Ended] = []
    leaks = 0
    making = asyncio.Lock()

    async def hand() -> None:
        nonlocal leaks
        client = Client(url)
        while True:
            async with making:
                document = await asyncio.to_thread(next, made, None)
            if document is None:
                break
            end, text = await _one(client, document)
            ended.append(end)
            leaks += CANARY_WORD.encode() in text
        client.close()

    await asyncio.gather(*(hand() for _ in range(at_once)))
    return ended, leaks


async def _one(client: Client, document: Hostile) -> tuple[Ended, bytes]:
    began = time.perf_counter()
    answer = await client.post_file("/api/documents/submit", document.name, document.data)
    if answer.status != 202:
        why = f"{answer.status} {answer.json().get('code')}"
        return Ended(document.kind, "refused", why, time.perf_counter() - began), b""
    name = answer.json()["id"]
    while True:
        answer = await client.get(f"/api/documents/status/{name}")
        status = answer.json()
        seconds = time.perf_counter() - began
        if answer.status >= 500:
            return Ended(document.kind, "unanswered", str(answer.status), seconds), b""
        if status["status"] == "failed":
            return Ended(document.kind, "failed", str(status.get("code")), seconds), b""
        if status["status"] == "completed":
            text = await client.get(f"/api/documents/{name}")
            return Ended(document.kind, "completed", str(text.status), seconds), text.body
        if seconds > ENDED_WITHIN:
            return Ended(document.kind, "unfinished", str(status["status"]), seconds), b""
        await asyncio.sleep(LOOK_EVERY)


def _ended_properly(end: Ended) -> bool:
    """Tell whether it ended with a reason or a text, and without a 5xx."""
    return (
        (end.state == "completed" and end.why == "200")
        or (end.state == "failed" and end.why not in ("None", ""))
        or (end.state == "refused" and end.why.startswith("4"))
    )


def _print_kinds(ended: list[Ended]) -> None:
    kinds: dict[str, list[Ended]] = defaultdict(list)
    for end in ended:
        kinds[end.kind].append(end)
    print(f"{'':38}{'':>5}{'completed':>10}{'failed':>7}{'refused':>8}{'slowest':>9}  why failed")
    for kind, ends in sorted(kinds.items()):
        states = Counter(end.state for end in ends)
        slowest = max(end.seconds for end in ends)
        why = Counter(end.why for end in ends if end.state in ("failed", "refused"))
        print(
            f"{kind:38}{len(ends):>5}{states['completed']:>10}{states['failed']:>7}"
            f"{states['refused']:>8}{slowest:>7.1f} s  "
            + ", ".join(f"{code} {times}" for code, times in why.most_common())
        )
