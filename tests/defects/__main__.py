"""Command ``python -m tests.defects``: check that the tests catch each defect of the table.

Takes minutes. The exit code is 1 if a defect is missed or cannot be tried.
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
NICENESS = 5  # added to that of the caller: the trials take every core for minutes


def main() -> int:
    """Try the chosen defects and print a verdict on each."""
    options = _parser().parse_args()
    defects = table.read()
    if options.only:
        defects = tuple(one for one in defects if one.name in options.only)
        if unknown := {*options.only} - {one.name for one in defects}:
            print(f"unknown defect: {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
    if options.list:
        for defect in defects:
            _list(defect)
        return 0
    os.nice(NICENESS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the copies would not be deleted
    tree: Path = options.tree.resolve()
    venv_python = tree / ".venv/bin/python"
    python = venv_python if venv_python.exists() else Path(sys.executable)
    with tempfile.TemporaryDirectory(prefix="ilios-defects-") as directory:
        trials = Trials(tree, Path(directory), python, options.workers)
        verdicts = _try_all(trials, defects)
    caught = sum(verdict.outcome == "caught" for verdict in verdicts)
    print(f"{caught} of {len(verdicts)} caught")
    return 0 if caught == len(verdicts) else 1


def _try_all(trials: Trials, defects: tuple[Defect, ...]) -> list[Verdict]:
    verdicts = trials.not_applicable(defects)
    left = [one for one in defects if one not in {verdict.defect for verdict in verdicts}]
    verdicts += trials.failing_without_defect(left)
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
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="try this defect; may be repeated"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        help="number of defects tried at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--tree", type=Path, default=ROOT, help="the checkout to copy (default: this one)"
    )
    parser.add_argument("--list", action="store_true", help="print the table and exit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
