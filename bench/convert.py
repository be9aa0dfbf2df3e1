"""The cost of conversions: by ``POST /v1/convert``, and of the engine by itself."""

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from PIL import Image

from actors import content_types
from actors.engines import SourceFile
from bench import server
from bench.client import Client
from bench.server import MeasuredService
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pdf.convert import convert
from tests import documents as samples

SAMPLE = Path(str(files("ilios"))) / "samples" / "hello.pdf"
WARM = 10  # conversions before the measurement
PAGES = 300  # of the long document
SCAN_DPI = 150
SCANS = 6  # pages of the scan, no two of them the same


async def measure(rounds: int = 200) -> None:
    """Convert the one-page sample by the engine alone and by HTTP, in turns."""
    engine_times: list[float] = []
    service_times: list[float] = []
    async with (
        server.run_service(stub=False) as running,
        LocalEngine(EngineLimits(processes=1)) as engine,
    ):
        client = Client(running.url)
        for _ in range(rounds + WARM):
            began = time.perf_counter()
            await engine.convert(SourceFile(SAMPLE, content_types.PDF))
            engine_times.append(time.perf_counter() - began)
            service_times.append(await _convert(client))
        client.close()
    alone = 1000 * statistics.median(engine_times[WARM:])
    whole = 1000 * statistics.median(service_times[WARM:])
    p95 = 1000 * statistics.quantiles(service_times[WARM:], n=20)[18]
    print(f"engine alone         {alone:.1f} ms (median of {rounds})")
    print(f"/v1/convert          {whole:.1f} ms (median), {p95:.1f} ms (p95)")
    print(f"added                {whole - alone:.1f} ms (median)")


async def rate_and_cpu(
    running: MeasuredService, conversions: int
) -> tuple[float, dict[str, float]]:
    """Return conversions per second, one after another, and the CPU of each in ms by process."""
    client = Client(running.url)
    for _ in range(WARM):
        await _convert(client)
    before, began = running.cpu_seconds(), time.perf_counter()
    for _ in range(conversions):
        await _convert(client)
    took, used = time.perf_counter() - began, running.cpu_seconds()
    client.close()
    cpu: dict[str, float] = {}
    for name, seconds in used.items():
        kind = name.partition(" ")[0]
        cpu[kind] = cpu.get(kind, 0.0) + 1000 * (seconds - before.get(name, 0.0)) / conversions
    return conversions / took, cpu


async def _convert(client: Client) -> float:
    began = time.perf_counter()
    answer = await client.post_file("/v1/convert", "hello.pdf", SAMPLE.read_bytes())
    if answer.status != 200:
        raise RuntimeError(f"convert answered {answer.status}: {answer.body!r}")
    return time.perf_counter() - began


async def measure_cost(directory: Path | None = None, rounds: int = 3, processes: int = 2) -> None:
    """Measure the CPU of a page: of a long document, a clean scan, and the PDFs in a directory.

    Pages per second are those of so many processes that convert at once.
    """
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        for what, made in (("long text", _long_text()), ("clean scan", _clean_scan())):
            path = Path(name, f"{what}.pdf")
            path.write_bytes(made)
            cost, pages = min(_cpu_of(path) for _ in range(rounds))
            speed = await _pages_per_second(path, processes)
            print(f"{what:12}{1000 * cost:9.1f} CPU ms/page, {pages} pages, {speed:.1f} pages/s")
    seconds = total = 0.0
    for path in sorted(directory.rglob("*.pdf")) if directory else ():
        try:
            cost, pages = _cpu_of(path)
        except Exception as error:  # noqa: BLE001  # those that are refused as well
            print(f"{path.name}: {str(error)[:80]}")
            continue
        seconds, total = seconds + cost * pages, total + pages
        print(f"{path.name[:40]:42}{1000 * cost:9.1f} CPU ms/page, {pages} pages")
    if total:
        print(f"all          {1000 * seconds / total:9.1f} CPU ms/page, {total:.0f} pages")
    print(f"memory       {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:9.0f} MB peak")
    print(f"reference loop {server.reference_loop_ms():.0f} ms")


def _cpu_of(path: Path) -> tuple[float, int]:
    """Return the seconds of CPU for a page, and how many pages there are."""
    began = time.process_time()
    pages = len(convert(path, EngineLimits(), lambda _done, _total: None).pages)
    return (time.process_time() - began) / pages, pages


async def _pages_per_second(path: Path, processes: int) -> float:
    async with LocalEngine(EngineLimits(processes=processes)) as engine:
        for again in (False, True):
            began = time.perf_counter()
            ended = await asyncio.gather(
                *(engine.convert(SourceFile(path, content_types.PDF)) for _ in range(processes))
            )
            if again:
                return sum(len(one.pages) for one in ended) / (time.perf_counter() - began)
    raise AssertionError


def _long_text() -> bytes:
    lines = [f"Line {number} with some words of plain text in it" for number in range(40)]
    return samples.pdf(*("\n".join([f"Page {page}", *lines]) for page in range(PAGES)))


def _clean_scan() -> bytes:
    first, *others = _scanned_pages()
    return samples.image_file_with(
        first, "PDF", save_all=True, append_images=others, resolution=SCAN_DPI
    )


def _scanned_pages() -> Iterator[Image.Image]:
    for page in range(SCANS):
        lines = (f"Line {line} of the scanned page {page} in clear print" for line in range(25))
        yield samples.text_image(*lines)
