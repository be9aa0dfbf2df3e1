"""Two builds in turns, so that a noisy machine slows both alike: CPU per document.

The client and the sample are those of this checkout; the service, with the stub engine and with its
own, is that of each checkout.
"""

import statistics
from pathlib import Path

from bench import convert, pipeline, server
from ilios.chaos.processes import ROOT

CLIENTS, KILOBYTES = 16, 50
MEASURES = ("pipeline", "convert")


async def measure(
    before: Path, rounds: int = 10, documents: int = 1500, conversions: int = 200
) -> None:
    """Measure the checkout at ``before`` and this one ``rounds`` times in turns.

    The order within a pair alternates. ``before`` needs its own ``.venv``.
    """
    before = before.resolve()
    costs: dict[tuple[str, Path], list[float]] = {}
    for number in range(rounds):
        for checkout in (before, ROOT) if number % 2 == 0 else (ROOT, before):
            costs.setdefault(("pipeline", checkout), []).append(
                await _pipeline(checkout, documents)
            )
            costs.setdefault(("convert", checkout), []).append(
                await _convert(checkout, conversions)
            )
        for name in MEASURES:
            old, new = costs[name, before][-1], costs[name, ROOT][-1]
            print(
                f"pair {number + 1:2} {name:9} before {old:.2f} ms   now {new:.2f} ms   "
                f"ratio {new / old:.3f}",
                flush=True,
            )
    print("CPU per document     before       now   median of the ratios")
    for name in MEASURES:
        then, now = costs[name, before], costs[name, ROOT]
        ratios = [new / old for old, new in zip(then, now, strict=True)]
        print(
            f"{name:<16} {statistics.median(then):>7.2f} ms {statistics.median(now):>6.2f} ms   "
            f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )


async def _pipeline(checkout: Path, documents: int) -> float:
    async with server.run_service(stub=True, checkout=checkout) as running:
        await pipeline.warm_up(running, CLIENTS, KILOBYTES)
        run = await pipeline.carry(running, documents, CLIENTS, KILOBYTES, before=pipeline.WARM)
    return run.cpu_per_document


async def _convert(checkout: Path, conversions: int) -> float:
    async with server.run_service(stub=False, checkout=checkout) as running:
        return await convert.cpu_per_document(running, conversions)
