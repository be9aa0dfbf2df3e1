"""Trials of defects, each in a copy of the tree with the tests that should catch it.

The copy is the working directory of the tests and first on their search path, so that they and the
processes they start import its sources.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from msgspec import Struct

from .table import Defect, NotApplicable

WITHIN = 300.0  # seconds for the tests of one defect
ALL_WITHIN = 1200.0  # seconds for all tests on the unchanged tree
STOPPED_WITHIN = 10.0  # seconds for tests to end the processes they started
NOT_COPIED = shutil.ignore_patterns(
    "__pycache__", ".venv", ".git", ".audit", ".hypothesis", ".*_cache", "data", "dist"
)
FAILED = 1  # pytest's exit code for failed tests; others mean that they did not run

Outcome = Literal["caught", "missed", "error"]


class Verdict(Struct, frozen=True):
    """Outcome of a trial; ``reason`` is the test that caught the defect, or an error."""

    defect: Defect
    outcome: Outcome
    reason: str
    seconds: float = 0.0


class Ran(Struct, frozen=True):
    """Exit code and output of a run of tests; ``code`` is None after a timeout."""

    code: int | None
    output: str

    @property
    def failed(self) -> list[str]:
        """The ids of the failed tests, each with its error."""
        return re.findall(r"^(?:FAILED|ERROR) (\S.*)", self.output, re.MULTILINE)

    @property
    def tail(self) -> str:
        """The last lines of the output."""
        return "\n".join(self.output.splitlines()[-15:])


class Trials:
    """Tries defects in copies of a tree, one at a time in each copy."""

    def __init__(self, tree: Path, directory: Path, python: Path, workers: int) -> None:
        """Make a copy for each worker in ``directory``, which the caller deletes."""
        self._tree = tree
        self._python = python
        self._copies = [directory / f"copy-{number}" for number in range(workers)]
        self._free: SimpleQueue[Path] = SimpleQueue()
        for copy in self._copies:
            shutil.copytree(tree, copy, symlinks=True, ignore=NOT_COPIED)
            self._free.put(copy)

    def not_applicable(self, defects: Iterable[Defect]) -> list[Verdict]:
        """Return a verdict on each defect that does not fit the tree."""
        found = []
        for defect in defects:
            try:
                defect.check(self._copies[0])
            except NotApplicable as error:
                found.append(Verdict(defect, "error", str(error)))
        return found

    def failing_without_defect(self, defects: Sequence[Defect]) -> list[Verdict]:
        """Return a verdict on each defect whose tests fail on the unchanged tree."""
        tests = sorted({test for defect in defects for test in defect.tests})
        shares = [tests[number :: len(self._copies)] for number in range(len(self._copies))]
        with ThreadPoolExecutor(len(self._copies)) as threads:
            within = [ALL_WITHIN] * len(shares)
            runs = list(threads.map(self._run, self._copies, filter(None, shares), within))
        for run in runs:
            if run.code not in (0, FAILED) or (run.code and not run.failed):
                raise RuntimeError(f"the tests do not run on the unchanged tree:\n{run.tail}")
        failed = [test for run in runs for test in run.failed]
        return [
            Verdict(defect, "error", f"fails without the defect: {', '.join(mine)}")
            for defect in defects
            if (mine := [one for one in failed if one.startswith(defect.tests)])
        ]

    def try_out(self, defects: Sequence[Defect]) -> Iterator[Verdict]:
        """Yield the verdict on each defect as soon as its trial ends."""
        with ThreadPoolExecutor(len(self._copies)) as threads:
            trials = [threads.submit(self._try, defect) for defect in defects]
            try:
                for trial in as_completed(trials):
                    yield trial.result()
            finally:
                threads.shutdown(cancel_futures=True)

    def _try(self, defect: Defect) -> Verdict:
        began = time.monotonic()
        copy = self._free.get()
        try:
            (copy / defect.file).write_text(defect.text(copy), "utf-8")
            run = self._run(copy, defect.tests, WITHIN, "-x")
        finally:
            # With its old time, or Python would use the bytecode of the defect.
            shutil.copy2(self._tree / defect.file, copy / defect.file)
            self._free.put(copy)
        seconds = time.monotonic() - began
        if run.code == 0:
            return Verdict(defect, "missed", f"by {', '.join(defect.tests)}", seconds)
        if run.code != FAILED:
            return Verdict(defect, "error", f"the tests did not run:\n{run.tail}", seconds)
        return Verdict(defect, "caught", f"by {', '.join(run.failed)}", seconds)

    def _run(self, tree: Path, tests: Sequence[str], within: float, *options: str) -> Ran:
        command = [str(self._python), "-m", "pytest", "-q", "--tb=short", "-rfE"]
        command += ["-p", "no:randomly", "-p", "no:cacheprovider", *options, *tests]
        environ = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
        with subprocess.Popen(
            command,
            cwd=tree,
            env=environ | {"PYTHONPATH": str(tree), "COLUMNS": "250"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                output, _ = process.communicate(timeout=within)
            except subprocess.TimeoutExpired:
                return Ran(None, f"timeout after {within:.0f} s\n{_stop(process)}")
            return Ran(process.returncode, output)


def _stop(process: subprocess.Popen[str]) -> str:
    """Interrupt tests, so that they end the processes they started; return their output."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=STOPPED_WITHIN)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]
