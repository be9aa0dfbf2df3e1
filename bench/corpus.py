"""Many documents at once: those of a directory, or hostile ones beside good neighbours."""

import asyncio
import hashlib
import itertools
import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec

from bench import server
from bench.client import Client
from ilios.engines.local.limits import MAX_PAGES
from tests import documents as samples
from tests.hostile_documents import Canary, Hostile, hostile

SUFFIXES = {
    ".pdf", ".docx", ".pptx", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".tiff", ".bmp",
}  # fmt: skip
NEIGHBOUR_EVERY = 0.5  # seconds between two good documents
QUIET = 20.0  # seconds in which only the neighbours submit
ENDED_WITHIN = 1800.0  # seconds; the time budget of 400 scans is 1500
LATE = 3
"""Budgets a document may take: its own, and those of two that have the processes before it."""

GOOD_PAGES = 3
CANARY_WORD = "canary-in-a-file"
LEFT_WITHIN = 10.0  # seconds in which a killed process gives up its document
POLL_INTERVAL = 0.05  # seconds


class Ended(msgspec.Struct, frozen=True):
    """How one document ended: its state, and its code, HTTP status or error."""

    kind: str
    state: str
    why: str
    seconds: float
    text: bytes = b""


async def measure_corpus(directory: Path, markdown: Path | None = None) -> None:
    """Submit all files below ``directory`` at once and print how each ends.

    Their Markdown is written to the directory ``markdown``, if it is given.
    """
    paths = sorted(p for p in directory.rglob("*") if p.is_file() and p.suffix in SUFFIXES)
    async with server.run_service(stub=False) as running:
        own = running.own_processes()
        began = time.perf_counter()

        async def submit(path: Path) -> Ended:
            client = Client(running.url)
            end = await _submit(client, "corpus", path.name, path.read_bytes())
            client.close()
            return end

        ends = await asyncio.gather(*map(submit, paths))
        seconds = time.perf_counter() - began
        survived = own == running.own_processes()
    for path, end in zip(paths, ends, strict=True):
        print(f"{path.name:<60} {end.state} {end.seconds:.1f} s: {end.why}, {len(end.text)} bytes")
        if markdown and end.state == "completed":
            markdown.mkdir(parents=True, exist_ok=True)
            (markdown / f"{path.name}.md").write_bytes(end.text)
    states = Counter(end.state for end in ends)
    summary = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    print(f"{len(paths)} documents in {seconds:.0f} s: {summary}")
    _print_survival(survived)


class Neighbours:
    """Small good documents by ``/v1/convert``, at a steady rate."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.answers: Counter[int] = Counter()

    @asynccontextmanager
    async def during(self, phase: str) -> AsyncIterator[None]:
        """Convert while the context is open; what was sent until then is awaited."""
        asking: list[asyncio.Task[None]] = []

        async def convert_steadily() -> None:
            for number in itertools.count():
                asking.append(asyncio.create_task(self._ask(phase, number)))
                await asyncio.sleep(NEIGHBOUR_EVERY)

        converting = asyncio.create_task(convert_steadily())
        try:
            yield
        finally:
            converting.cancel()
            await asyncio.gather(*asking)

    async def _ask(self, phase: str, number: int) -> None:
        pages = [f"Page {page} of good document {number} {phase}" for page in range(GOOD_PAGES)]
        client = Client(self._url)
        began = time.perf_counter()
        answer = await client.post_file("/v1/convert", "good.pdf", samples.pdf(*pages))
        self.latencies[phase].append(time.perf_counter() - began)
        self.answers[answer.status] += 1
        if answer.status == 200 and f"document {number} {phase}" not in answer.body.decode():
            raise RuntimeError("a neighbour got the text of another document")
        client.close()


async def measure_bombs(
    documents: int = 200, seed: int = 1, at_once: int = 4, only: str = "", budget: float = 0
) -> None:
    """Submit hostile documents, so many at once, and print how they ended.

    Of those with the same bytes one is submitted. ``only`` restricts them to kinds whose name
    contains it. ``budget`` are the seconds a document may take; 0 leaves the settings alone.
    """
    connections: list[str] = []

    def on_connect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(str(writer.get_extra_info("peername")))
        writer.close()

    canary = await asyncio.start_server(on_connect, "127.0.0.1", 0)
    port = canary.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        file = Path(name, "canary")
        file.write_text(CANARY_WORD)
        canary_ = Canary(f"http://127.0.0.1:{port}/x", str(file))
        made = _distinct(each for each in hostile(documents, seed, canary_) if only in each.kind)
        async with _limited_service(budget) as running:
            neighbours = Neighbours(running.url)
            own = running.own_processes()
            await _warm(running.url, at_once)
            async with neighbours.during("alone"):
                await asyncio.sleep(QUIET)
            async with neighbours.during("beside ordinary documents"):
                await _submit_all(running.url, _ordinary(seed), at_once)
            idle = running.resident_mb()
            running.reset_peak()
            began = time.perf_counter()
            async with neighbours.during("beside hostile documents"):
                ended = await _submit_all(running.url, made, at_once)
            seconds = time.perf_counter() - began
            peak = running.resident_mb("VmHWM")
            survived = own == running.own_processes()
            left = await _left_with_engine(running.data / "engine")
    canary.close()
    _print_kinds(ended)
    print(f"\n{len(ended)} documents in {seconds:.0f} s, {at_once} at once; seed {seed}")
    print(f"slowest {max(one.seconds for one in ended):.1f} s from submission to the end")
    if budget:
        late = [(one.kind, round(one.seconds)) for one in ended if one.seconds > LATE * budget]
        print(f"later than {LATE} times their budget of {budget:g} s: {late}")
    print(f"not ended as they should: {[one for one in ended if not _ended_properly(one)]}")
    for process in ("service", "nats-server"):
        print(f"{process}: {idle[process]:.0f} MB before, {peak[process]:.0f} MB at the peak")
    _print_survival(survived)
    leaks = sum(CANARY_WORD.encode() in one.text for one in ended)
    print(
        f"connections to the canary: {len(connections)}; texts with the word of its file: {leaks}"
    )
    print(f"documents left with the engine: {left[0]} at the end, {left[1]} shortly after it")
    for phase, latencies in neighbours.latencies.items():
        cuts = statistics.quantiles(latencies, n=20)
        p50, p95 = cuts[9], cuts[18]
        print(
            f"neighbours {phase}: {len(latencies)}, p50 {1000 * p50:.0f} ms, "
            f"p95 {1000 * p95:.0f} ms, longest {1000 * max(latencies):.0f} ms"
        )
    print(f"what neighbours were answered: {dict(neighbours.answers)}")
    print(f"reference loop {server.reference_loop_ms():.0f} ms")


def _limited_service(budget: float) -> AbstractAsyncContextManager[server.MeasuredService]:
    """Run a service that gives a document up after about so many seconds, if that is not 0."""
    if not budget:
        return server.run_service(stub=False)
    return server.run_service(
        stub=False,
        ILIOS_ENGINE_TIMEOUT=str(budget),
        ILIOS_PAGE_TIMEOUT=str(budget / 3),
        ILIOS_PAGE_BUDGET=str(budget / MAX_PAGES),
    )


def _distinct(made: Iterable[Hostile]) -> Iterator[Hostile]:
    """Yield the documents but those with the bytes of an earlier one."""
    seen: set[bytes] = set()
    for each in made:
        digest = hashlib.sha256(each.data).digest()
        if digest not in seen:
            seen.add(digest)
            yield each


async def _left_with_engine(directory: Path) -> tuple[int, int]:
    """Return how many documents are with child processes now, and once killed ones are gone.

    A document ends when its process is killed; the process is gone a moment later.
    """

    def count() -> int:
        return sum(path.is_file() for path in directory.rglob("*"))

    first = left = count()
    deadline = time.monotonic() + LEFT_WITHIN
    while left and time.monotonic() < deadline:
        await asyncio.sleep(POLL_INTERVAL)
        left = count()
    return first, left


def _ordinary(seed: int) -> Iterator[Hostile]:
    """Yield ordinary documents: some pages of text, a scan, a DOCX."""
    rng = random.Random(seed)
    for number in range(60):
        words = [f"{rng.random()} and more words of a line" for _ in range(30)]
        scan = samples.text_image(*[f"{rng.random()} words"] * 12)
        made: list[Callable[[], bytes]] = [
            lambda words=words: samples.pdf(*["\n".join(words)] * 20),  # type: ignore[misc]
            lambda words=words: samples.docx(*map(samples.paragraph, words)),  # type: ignore[misc]
            lambda scan=scan: samples.image_file(scan, "PDF", [scan, scan]),  # type: ignore[misc]
        ]
        yield Hostile("ordinary", f"{number}.pdf", made[number % 3]())


async def _warm(url: str, at_once: int) -> None:
    scan = samples.image_file(samples.text_image("Some words"), "PNG")
    await _submit_all(url, (Hostile("warm", "a.png", scan + bytes([n])) for n in range(8)), at_once)


async def _submit_all(url: str, documents_: Iterator[Hostile], at_once: int) -> list[Ended]:
    """Submit all of them, so many at once; returns how each ended."""
    ended: list[Ended] = []
    generating = asyncio.Lock()

    async def submit_next() -> None:
        client = Client(url)
        while True:
            async with generating:
                document = await asyncio.to_thread(next, documents_, None)
            if document is None:
                break
            ended.append(await _submit(client, document.kind, document.name, document.data))
        client.close()

    await asyncio.gather(*(submit_next() for _ in range(at_once)))
    return ended


async def _submit(client: Client, kind: str, name: str, content: bytes) -> Ended:
    began = time.perf_counter()
    answer = await client.post_file("/api/documents/submit", name, content)
    if answer.status != 202:
        why = f"{answer.status} {answer.json().get('code')}"
        return Ended(kind, "refused", why, time.perf_counter() - began)
    document = str(answer.json()["id"])
    status = await client.wait_until_ended(document, ENDED_WITHIN)
    seconds = time.perf_counter() - began
    if status["status"] != "completed":
        return Ended(kind, str(status["status"]), str(status.get("code")), seconds)
    text = await client.get(f"/api/documents/{document}")
    return Ended(kind, "completed", str(text.status), seconds, text.body)


def _print_survival(survived: bool) -> None:  # noqa: FBT001  # the only argument
    print(f"the service's own processes {'all survived' if survived else 'DID NOT all survive'}")


def _ended_properly(end: Ended) -> bool:
    """Return whether it ended with a text or a code, and without a 5xx."""
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
