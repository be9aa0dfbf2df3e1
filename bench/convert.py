"""What ``POST /v1/convert`` adds to the time the engine itself takes, in one run."""

import statistics
import tempfile
import time
from importlib.resources import files
from pathlib import Path

from actors import sniffing
from actors.engines import SourceFile
from bench import server
from bench.client import Client
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits


async def measure(rounds: int) -> None:
    """Convert the one-page sample by the engine alone and by HTTP, in turns."""
    sample = Path(str(files("ilios"))) / "samples" / "hello.pdf"
    content = sample.read_bytes()
    engine_times: list[float] = []
    service_times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        async with (
            server.run_service(Path(name), stub=False) as running,
            LocalEngine(EngineLimits(processes=1)) as engine,
        ):
            client = Client(running.url)
            for _ in range(rounds + 10):  # the first ones warm the children
                started = time.perf_counter()
                await engine.convert(SourceFile(sample, sniffing.PDF))
                engine_times.append(time.perf_counter() - started)
                started = time.perf_counter()
                answer = await client.post_file("/v1/convert", "hello.pdf", content)
                service_times.append(time.perf_counter() - started)
                if answer.status != 200:
                    raise RuntimeError(f"convert answered {answer.status}: {answer.body!r}")
            client.close()
    alone = 1000 * statistics.median(engine_times[10:])
    whole = 1000 * statistics.median(service_times[10:])
    p95 = 1000 * statistics.quantiles(service_times[10:], n=20)[18]
    print(f"engine alone         {alone:.1f} ms (median of {rounds})")
    print(f"/v1/convert          {whole:.1f} ms (median), {p95:.1f} ms (p95)")
    print(f"added                {whole - alone:.1f} ms (median)")
