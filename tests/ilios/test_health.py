"""Health says what is true of each part, and which one is at fault."""

from pathlib import Path
from typing import cast

import pytest

from actors.ports import EngineCrashed
from actors.writer import Writer
from actors.writes import LedgerUnavailable
from bus.connection import Connection
from bus.errors import BusUnavailable
from ilios import health as module
from ilios.database.reads import Reads
from ilios.health import Health
from ilios.supervision import Supervisor
from schemas.replies import HealthReport


class Part:
    """Stands for every part at once: does nothing, or raises what it was given."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault

    async def check(self) -> None:
        if self.fault:
            raise self.fault

    async def keep(self, write: object) -> None:
        await self.check()

    async def ping(self) -> None:
        await self.check()

    async def convert(self, *_: object) -> None:
        pytest.fail("health converts nothing")


async def _report(directory: Path, **faults: Exception) -> HealthReport:
    def part(name: str) -> Part:
        return Part(faults.get(name))

    return await Health(
        cast("Connection", part("bus")),
        cast("Writer", part("writer")),
        cast("Reads", part("database")),
        part("engine"),  # type: ignore[arg-type]  # health only checks it
        Supervisor(),
        directory,
    )()


async def test_all_is_well_when_every_part_answers(tmp_path: Path) -> None:
    report = await _report(tmp_path)
    assert report.healthy
    assert report.problems == []
    assert report.services["bus"] == report.services["database"] == "connected"


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("bus", BusUnavailable("gone")),
        ("writer", LedgerUnavailable("full")),
        ("database", TimeoutError()),
        ("engine", EngineCrashed("no child starts", blame=False)),
    ],
)
async def test_a_part_that_does_not_answer_is_named_and_no_other(
    tmp_path: Path, part: str, fault: Exception
) -> None:
    report = await _report(tmp_path, **{part: fault})
    assert not report.healthy
    assert [problem.partition(":")[0] for problem in report.problems] == [part]
    told = [name for name, state in report.services.items() if state == "unavailable"]
    assert told == [part]


async def test_a_volume_without_room_is_a_problem_before_the_next_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FREE_BYTES", 2**62)
    report = await _report(tmp_path)
    assert not report.healthy
    assert report.services["blobs"] == "full"
