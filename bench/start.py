"""The time until the service is ready: earlier builds and this one in turns."""

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from msgspec import Struct

from bench.builds import build_of
from bench.server import MeasuredService
from ilios.chaos.processes import ROOT

POLL_INTERVAL = 0.005  # seconds between questions whether it is ready


class Start(Struct, frozen=True):
    """What a start took until ``/readyz`` was 200: seconds, CPU seconds, and MB when idle."""

    seconds: float
    cpu: float
    resident: float


async def measure(before: str, starts: int = 10, *, mistral: bool = False) -> None:
    """Start earlier commits, separated by commas, and this checkout in turns.

    Each round starts every build on a new directory, and once more on the same. ``mistral`` sets a
    key of Mistral, whose client is then opened.
    """
    environ = {"MISTRAL_API_KEY": "any"} if mistral else {}
    async with AsyncExitStack() as stack:
        earlier = [await stack.enter_async_context(build_of(one)) for one in before.split(",")]
        builds = dict(zip([*before.split(","), "now"], [*earlier, ROOT], strict=True))
        new: dict[str, list[Start]] = {name: [] for name in builds}
        again: dict[str, list[Start]] = {name: [] for name in builds}
        for number in range(starts):
            for name in builds if number % 2 == 0 else reversed(builds):
                with tempfile.TemporaryDirectory(prefix="ilios-bench-start-") as data:
                    for figures in (new, again):
                        figures[name].append(await _start(Path(data), builds[name], environ))
    print(f"median of {starts} starts in turns; load of the machine {os.getloadavg()[0]:.1f}")
    for title, figures in (("new directory", new), ("again", again)):
        for name, found in figures.items():
            _report(f"{title}, {Path(name).name}", found, figures["now"])


async def _start(data: Path, checkout: Path, environ: dict[str, str]) -> Start:
    service = MeasuredService(data, stub=False, kilobytes=0, checkout=checkout, log=None, **environ)
    began = time.monotonic()
    await service.start()
    try:
        while not await asyncio.to_thread(_is_ready, service.url):  # noqa: ASYNC110  # by HTTP
            await asyncio.sleep(POLL_INTERVAL)
        seconds, cpu = time.monotonic() - began, sum(service.cpu_seconds().values())
        await asyncio.sleep(1.0)  # what is loaded after the start counts as idle memory
        return Start(seconds, cpu, sum(service.resident_mb().values()))
    finally:
        await service.stop()


def _is_ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/readyz") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _report(title: str, found: list[Start], now: list[Start]) -> None:
    seconds, cpu = median(one.seconds for one in found), median(one.cpu for one in found)
    ratio = median(new.seconds / old.seconds for old, new in zip(found, now, strict=True))
    ratio_cpu = median(new.cpu / old.cpu for old, new in zip(found, now, strict=True))
    print(
        f"{title:32}{seconds:6.2f} s  CPU {cpu:5.2f} s  {median(o.resident for o in found):5.0f} MB"
        f"   now takes {ratio:.2f} of the time, {ratio_cpu:.2f} of the CPU"
    )
