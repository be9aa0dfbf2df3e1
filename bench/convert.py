"""``POST /v1/convert``: what it adds to the time of the engine, and its CPU per document."""

import statistics
import time
from importlib.resources import files
from pathlib import Path

from actors import sniffing
from actors.engines import SourceFile
from bench import server
from bench.client import Client
from bench.server import MeasuredService
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits

SAMPLE = Path(str(files("ilios"))) / "samples" / "hello.pdf"
WARM = 10  # conversions before the measurement


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
            await engine.convert(SourceFile(SAMPLE, sniffing.PDF))
            engine_times.append(time.perf_counter() - began)
            service_times.append(await _convert(client))
        client.close()
    alone = 1000 * statistics.median(engine_times[WARM:])
    whole = 1000 * statistics.median(service_times[WARM:])
    p95 = 1000 * statistics.quantiles(service_times[WARM:], n=20)[18]
    print(f"engine alone         {alone:.1f} ms (median of {rounds})")
    print(f"/v1/convert          {whole:.1f} ms (median), {p95:.1f} ms (p95)")
    print(f"added                {whole - alone:.1f} ms (median)")


async def cpu_per_document(running: MeasuredService, conversions: int) -> float:
    """Return the milliseconds of CPU of all processes of the service for one conversion."""
    client = Client(running.url)
    for _ in range(WARM):
        await _convert(client)
    before = running.cpu_seconds()
    for _ in range(conversions):
        await _convert(client)
    used = running.cpu_seconds()
    client.close()
    return 1000 * (sum(used.values()) - sum(before.values())) / conversions


async def _convert(client: Client) -> float:
    began = time.perf_counter()
    answer = await client.post_file("/v1/convert", "hello.pdf", SAMPLE.read_bytes())
    if answer.status != 200:
        raise RuntimeError(f"convert answered {answer.status}: {answer.body!r}")
    return time.perf_counter() - began
