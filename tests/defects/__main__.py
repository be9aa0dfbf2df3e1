"""``python -m tests.defects``: whether the tests notice each defect of the table.

Takes minutes. What is missed, or cannot be tried, ends it with exit code 1.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from . import table
from .table import Defect
from .trials import Trials, Verdict

ROOT = Path(__file__).resolve().parents[2]
NICER = 5  # than what else runs here


def main() -> int:
    """Try the defects that were asked for and print what became of each."""
    options = _parser().parse_args()
    defects = table.read()
    if options.only:
        defects = tuple(one for one in defects if one.name in options.only)
        if unknown := {*options.only} - {one.name for one in defects}:
            print(f"there is no defect {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
    if options.list:
        for defect in defects:
            _list(defect)
        return 0
    os.nice(NICER)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the copies would be left behind
    tree: Path = options.tree.resolve()
    own = tree / ".venv/bin/python"
    python = own if own.exists() else Path(sys.executable)
    with tempfile.TemporaryDirectory(prefix="ilios-defects-") as directory:
        trials = Trials(tree, Path(directory), python, options.workers)
        verdicts = _try_all(trials, defects)
    caught = sum(verdict.outcome == "caught" for verdict in verdicts)
    print(f"{caught} of {len(verdicts)} caught")
    return 0 if caught == len(verdicts) else 1


def _try_all(trials: Trials, defects: tuple[Defect, ...]) -> list[Verdict]:
    verdicts = trials.not_applicable(defects)
    left = [one for one in defects if one not in {verdict.defect for verdict in verdicts}]
    verdicts += trials.red(left)
    for verdict in verdicts:
        _report(verdict)
    left = [one for one in defects if one not in {verdict.defect for verdict in verdicts}]
    for verdict in trials.try_out(left):
        _report(verdict)
        verdicts.append(verdict)
    return verdicts


def _report(verdict: Verdict) -> None:
    print(f"{verdict.outcome:<7} {verdict.defect.name} ({verdict.seconds:.0f} s) {verdict.reason}")
    sys.stdout.flush()


def _list(defect: Defect) -> None:
    breaks = ", ".join(map(str, defect.breaks))
    print(f"{defect.name} [{breaks}]\n    {defect.file}: {defect.old!r} -> {defect.new!r}")
    for test in defect.tests:
        print(f"    {test}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.defects", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; may be repeated")
    parser.add_argument("--workers", type=int, default=2, help="defects at once (%(default)s)")
    parser.add_argument("--tree", type=Path, default=ROOT, help="another checkout; it is copied")
    parser.add_argument("--list", action="store_true", help="only print the table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
