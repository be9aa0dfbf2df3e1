"""An earlier build and this one in turns, so that a noisy machine slows both alike.

The clients, the documents and the OCR stub are those of this checkout.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Literal

from bench.builds import build_of
from bench.rows import PARTS, Row, fsync_ms
from ilios.chaos.processes import ROOT

Part = Literal["all", "local", "s3", "pipeline", "engine"]
Figures = dict[tuple[str, Path], list[Row]]


async def measure(
    before: str, rounds: int = 3, documents: int = 500, minutes: float = 10.0, part: Part = "all"
) -> None:
    """Measure an earlier commit, or a directory with a ``.venv``, and this checkout in turns.

    The order within a round alternates. No round begins that would not end within ``minutes``.
    """
    began = time.monotonic()
    figures: Figures = {}
    syncs = [fsync_ms()]
    async with build_of(before) as earlier:
        for number in range(rounds):
            round_began = time.monotonic()
            builds = (earlier, ROOT) if number % 2 == 0 else (ROOT, earlier)
            for name in PARTS if part == "all" else [part]:
                for checkout in builds:
                    for row, found in (await PARTS[name](checkout, documents)).items():
                        figures.setdefault((row, checkout), []).append(found)
                    syncs.append(fsync_ms())
            now = time.monotonic()
            print(f"round {number + 1} of {rounds} took {now - round_began:.0f} s", flush=True)
            if now + (now - round_began) > began + 60 * minutes:
                break
        _report(figures, earlier, syncs)


def _report(figures: Figures, earlier: Path, syncs: list[float]) -> None:
    sync = median(syncs)
    print(f"\nfsync p50 {sync:.2f} ms ({min(syncs):.2f} to {max(syncs):.2f})")
    print(f"{'':20}{'before':>16}{'now':>16}{'ratio':>7}{'p50 ms':>17}"
          f"{'CPU ms each':>17}   by process, before; now")  # fmt: skip
    for row in dict.fromkeys(name for name, _ in figures):
        old, new = figures[row, earlier], figures[row, ROOT]
        ratio = median(two.value / one.value for one, two in zip(old, new, strict=True))
        print(
            f"{row:20}{_value(old, sync):>16}{_value(new, sync):>16}{ratio:>7.2f}"
            f"{_two(_p50(old), _p50(new), 1):>17}{_two(_cpu(old), _cpu(new), 2):>17}"
            f"   {_by_process(old)}; {_by_process(new)}".rstrip("; ")
        )


def _value(rows: list[Row], sync: float) -> str:
    value, unit = median(row.value for row in rows), rows[0].unit
    if unit == " ms":
        return f"{value:.1f} ms {value / sync:.0f}x"
    return f"{value:.0f}{unit}"


def _two(one: float, two: float, digits: int) -> str:
    return "" if one != one else f"{one:.{digits}f} -> {two:.{digits}f}"  # noqa: PLR0124  # NaN


def _p50(rows: list[Row]) -> float:
    return median(row.p50 for row in rows)


def _cpu(rows: list[Row]) -> float:
    return median(sum(row.cpu.values()) for row in rows) if rows[0].cpu else float("nan")


def _by_process(rows: list[Row]) -> str:
    names: Iterable[str] = dict.fromkeys(name for row in rows for name in row.cpu)
    return ", ".join(f"{n} {median(row.cpu.get(n, 0.0) for row in rows):.2f}" for n in names)
