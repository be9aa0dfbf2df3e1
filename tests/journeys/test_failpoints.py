"""Killed between any two steps, the service keeps every promise after it is started again.

The clients, the documents and the checks are those of `ilios chaos`.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.failpoints import POINTS, Failpoint
from ilios.chaos.processes import IsolatedService
from ilios.chaos.run import Trial, run_trial
from tests.journeys.armed import RECORD

ROOT = Path(__file__).parents[2]
TESTED_ELSEWHERE = {
    "batcher.converted": "test_mistral.py",
    "batcher.handed_over": "test_mistral.py",
    "engine.range_stored": "test_long_documents.py",
    "moving.copied": "test_blob_moves.py",
    "moving.proven": "test_blob_moves.py",
    "moving.removed": "test_blob_moves.py",
    "objects.chunk": "test_bus_objects.py",
    "objects.unlisted": "../bus/test_objects.py",
    "rekeying.replaced": "test_encryption.py",
    "rekeying.written": "test_encryption.py",
    "retention.moved": "test_maintenance.py",
    "snapshots.written": "test_maintenance.py",
    "swapping.aside": "test_rebuild.py",
    "uploads.moved": "test_upload_urls.py",
}
"""Points that clients do not reach, or not soon, and the modules that test them."""
ONCE, OFTEN = (1,), (5,)
AGAIN = (6, 3)
"""At which hit of the point the service is killed, for each time that it is."""
HITS: dict[Failpoint, Sequence[int]] = {
    **dict.fromkeys(
        ("ledger.applied", "ledger.committed", "persister.announced", "persister.committed"), AGAIN
    ),
    **dict.fromkeys(
        (
            "actor.buried",
            "aggregator.published",
            "aggregator.submitted",
            "deletion.published",
            "erasing.erased",
        ),
        ONCE,
    ),
}
"""Points of the writer, and points that may be reached only once in a run; all others OFTEN."""

DOCUMENTS = 12  # clients go on while a point is left
TOGETHER = 5  # points of one run
WITHIN = 300.0  # seconds, on a machine under load
WITHIN_OF_KILL = 30.0  # seconds from a kill to the end of what it interrupted
QUICK: tuple[Failpoint, ...] = ("actor.answered", "persister.committed", "publisher.sent")
"""Points that `make test` tries; the others are slow."""
SLOW = [point for point in POINTS if point not in QUICK and point not in TESTED_ELSEWHERE]


class Armed(IsolatedService):
    """The service, killed at one of its failpoints at each start until none is left."""

    def __init__(self, directory: Path, points: Sequence[Failpoint]) -> None:
        super().__init__(directory)
        self._record = directory / "record"
        self._record.touch()
        # As the armed starts have it: a process less for the last one, which is not about the edge.
        more = {"ILIOS_EDGE_PROCESSES": "0", RECORD: str(self._record)}
        self._environ = {**self._environ, **more}
        self._hits = {point: HITS.get(point, OFTEN) for point in points}

    def killed_at(self) -> list[str]:
        """Return the points at which it was killed so far."""
        return self._record.read_text().split()

    def left(self) -> list[str]:
        """Return a point and a hit for each point that is not done."""
        times = Counter(self.killed_at())
        return [
            f"{point}:{hits[times[point]]}"
            for point, hits in self._hits.items()
            if times[point] < len(hits)
        ]

    def has_survived(self) -> bool:
        """Whether no point is left and it was started after the last kill."""
        return not self.left() and self.starts > len(self.killed_at())

    def command(self) -> tuple[str, ...]:
        if left := self.left():
            return ("-m", "tests.journeys.armed", ",".join(left), "serve")
        return super().command()


@pytest.mark.timeout(WITHIN)
@pytest.mark.parametrize(
    "points",
    [
        QUICK,
        *(
            pytest.param(SLOW[start :: len(SLOW) // TOGETHER + 1], marks=pytest.mark.slow)
            for start in range(len(SLOW) // TOGETHER + 1)
        ),
    ],
    ids=" ".join,
)
async def test_a_service_killed_at_failpoints_keeps_every_promise(
    tmp_path: Path, points: Sequence[Failpoint]
) -> None:
    service = Armed(tmp_path, points)
    trial = Trial(
        documents=DOCUMENTS,
        kills=0,
        seed=int.from_bytes(os.urandom(2)),
        clients=6,
        within=len(service.left()) * WITHIN_OF_KILL,  # a document may wait through all of them
    )
    # What is printed, the seed first, is shown with every failure.
    report = await run_trial(trial, service, print, service.has_survived)
    print("killed at", *service.killed_at())
    assert not service.left(), f"seed {trial.seed}: points were not reached"
    kinds = [(one.kind, "code -9" in one.what) for one in report.violations]
    assert kinds == [("ended by itself", True)], f"seed {trial.seed}: {report.violations}"
    assert not report.is_late
    assert report.accepted >= DOCUMENTS


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
