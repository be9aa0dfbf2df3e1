"""The pipeline of two builds in turns, so that a noisy machine slows both alike."""

import asyncio
import re
import statistics
from pathlib import Path

_CPU = re.compile(r"^CPU per document\s+([\d.]+) ms", re.MULTILINE)
ROOT = Path(__file__).parents[1]


async def measure(before: Path, rounds: int, documents: int) -> None:
    """Run the pipeline of the checkout at ``before`` and of this one ``rounds`` times in turns.

    The order within a pair alternates. Each checkout needs its own ``.venv``.

    :raises RuntimeError: a run failed.
    """
    costs: dict[Path, list[float]] = {before: [], ROOT: []}
    for number in range(rounds):
        pair = (before, ROOT) if number % 2 == 0 else (ROOT, before)
        for checkout in pair:
            costs[checkout].append(await _cpu_per_document(checkout, documents))
        print(
            f"pair {number + 1:2}   before {costs[before][-1]:.2f} ms   "
            f"now {costs[ROOT][-1]:.2f} ms   ratio {costs[ROOT][-1] / costs[before][-1]:.3f}",
            flush=True,
        )
    ratios = [now / then for then, now in zip(costs[before], costs[ROOT], strict=True)]
    medians = {checkout: statistics.median(found) for checkout, found in costs.items()}
    print(f"CPU per document     before {medians[before]:.2f} ms, now {medians[ROOT]:.2f} ms")
    print(f"median of the ratios {statistics.median(ratios):.3f}")


async def _cpu_per_document(checkout: Path, documents: int) -> float:
    process = await asyncio.create_subprocess_exec(
        str(checkout / ".venv/bin/python"),
        *("-m", "bench", "pipeline", "--documents", str(documents)),
        cwd=checkout,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    found = _CPU.search(printed.decode())
    if process.returncode or found is None:
        raise RuntimeError(f"the pipeline of {checkout} failed")
    return float(found[1])
