"""Killed between any two steps, the service keeps every promise after it is started again.

The clients, the documents and the checks are those of `ilios chaos`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.failpoints import POINTS, Failpoint
from ilios.chaos.processes import IsolatedService
from ilios.chaos.run import Trial, run_trial

FEW, MANY = 12, 24  # documents; groups of writes are reached less often than single events
ROOT = Path(__file__).parents[2]
TESTED_ELSEWHERE = {
    "batcher.converted": "test_mistral.py",
    "batcher.handed_over": "test_mistral.py",
    "engine.range_stored": "test_long_documents.py",
    "objects.chunk": "test_bus_objects.py",
    "objects.unlisted": "../bus/test_objects.py",
    "retention.moved": "test_maintenance.py",
    "snapshots.written": "test_maintenance.py",
    "swapping.aside": "test_rebuild.py",
    "uploads.moved": "test_upload_urls.py",
}
"""Points that clients do not reach, or not soon, and the modules that test them."""
ONCE, OFTEN = (1,), (5,)
AGAIN = (6, 3, 8)
"""At which hit of the point the service is killed, for each start but the last."""
WRITING = {"ledger.applied", "ledger.committed", "persister.announced", "persister.committed"}
RARE = {
    "actor.buried",
    "aggregator.published",
    "aggregator.submitted",
    "deletion.published",
    "erasing.erased",
}
"""Points that may be reached only once in a run."""

QUICK = {"actor.answered", "persister.committed", "publisher.sent"}
"""Points that `make test` tries; the others are slow."""
TESTED_HERE = [
    point if point in QUICK else pytest.param(point, marks=pytest.mark.slow)
    for point in POINTS
    if point not in TESTED_ELSEWHERE
]


class Armed(IsolatedService):
    """The service, killed at a failpoint at each start but the last."""

    def __init__(self, directory: Path, point: Failpoint, hits: Sequence[int]) -> None:
        super().__init__(directory)
        # As the armed starts have it: a process less for the last one, which is not about the edge.
        self._environ = {**self._environ, "ILIOS_EDGE_PROCESSES": "0"}
        self._point = point
        self._hits = list(hits)

    def command(self) -> tuple[str, ...]:
        if self.starts > len(self._hits):
            return super().command()
        hit = str(self._hits[self.starts - 1])
        return ("-m", "tests.journeys.armed", self._point, hit, "serve")


@pytest.mark.parametrize("point", TESTED_HERE)
async def test_a_service_killed_at_a_failpoint_keeps_every_promise(
    tmp_path: Path, point: Failpoint
) -> None:
    hits = ONCE if point in RARE else AGAIN if point in WRITING else OFTEN
    service = Armed(tmp_path, point, hits)
    documents = MANY if point in WRITING else FEW
    trial = Trial(documents=documents, kills=0, seed=int.from_bytes(os.urandom(2)), clients=6)
    # What is printed, the seed first, is shown with every failure.
    report = await run_trial(trial, service, print, lambda: service.starts > len(hits))
    assert service.starts == len(hits) + 1, f"seed {trial.seed}: the point was not reached"
    kinds = [(one.kind, "code -9" in one.what) for one in report.violations]
    assert kinds == [("ended by itself", True)], f"seed {trial.seed}: {report.violations}"
    assert not report.is_late
    assert report.accepted >= documents


def test_every_failpoint_is_reached_somewhere_and_once_only() -> None:
    sources = [
        path.read_text()
        for floor in ("bus", "actors", "ilios")
        for path in (ROOT / floor).rglob("*.py")
    ]
    reached = {point: sum(text.count(f'reach("{point}")') for text in sources) for point in POINTS}
    assert {point: count for point, count in reached.items() if count != 1} == {}
    for point, module in TESTED_ELSEWHERE.items():
        assert f'"{point}"' in (Path(__file__).parent / module).read_text()
