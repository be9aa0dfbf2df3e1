"""Killed between any two steps, the service keeps every promise when it is started again.

The clients, the documents and the verification are those of `ilios chaos`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.failpoints import POINTS, Failpoint
from ilios.chaos.processes import IsolatedService
from ilios.chaos.run import Trial, run_trial

DOCUMENTS = 24
TESTED_ELSEWHERE = {"retention.moved", "snapshots.written", "swapping.aside", "uploads.moved"}
TESTED_ELSEWHERE |= {"batcher.converted", "batcher.handed_over"}
"""Points of what clients do not set off, or not soon: tests/journeys/test_failpoints_aside.py,
tests/journeys/test_mistral_batches.py."""
ONCE, OFTEN = (1,), (5,)
AGAIN = (6, 3, 8)
"""The how-manieth time is the last, at each start: one group or event is not like the other."""
WRITING = {"ledger.applied", "ledger.committed", "persister.announced", "persister.committed"}
RARE = {
    "actor.buried",
    "aggregator.said",
    "aggregator.submitted",
    "deletion.said",
    "erasing.erased",
}
"""Points that are reached once in every run; the others at least as often as that."""


class Armed(IsolatedService):
    """The service, which is killed at a failpoint: at each start but the last, at its next hit."""

    def __init__(self, directory: Path, point: Failpoint, hits: Sequence[int]) -> None:
        super().__init__(directory)
        self._point = point
        self._hits = list(hits)

    def command(self) -> tuple[str, ...]:
        if self.starts > len(self._hits):
            return super().command()
        hit = str(self._hits[self.starts - 1])
        return ("-m", "tests.journeys.armed", self._point, hit, "serve")


@pytest.mark.parametrize("point", [point for point in POINTS if point not in TESTED_ELSEWHERE])
async def test_killed_there_it_keeps_every_promise(tmp_path: Path, point: Failpoint) -> None:
    hits = ONCE if point in RARE else AGAIN if point in WRITING else OFTEN
    service = Armed(tmp_path, point, hits)
    trial = Trial(documents=DOCUMENTS, kills=0, seed=int.from_bytes(os.urandom(2)), clients=6)
    output: list[str] = []
    report = await run_trial(trial, service, output.append)
    assert service.starts == len(hits) + 1, "the point was not reached"
    (ended,) = report.violations
    assert (ended.kind, "code -9" in ended.what) == ("ended by itself", True), report.violations
    assert not report.is_late, output
    assert report.accepted >= DOCUMENTS
