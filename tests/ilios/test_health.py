"""Health says what is true of each part, and which one is at fault."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from actors.engines import Engine, EngineCrashed
from actors.ports import Blobs
from actors.writer import Writer
from actors.writes import LedgerUnavailable
from bus.acknowledgements import Acknowledgements
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.probe import Probe
from bus.refusals import Refusals
from ilios.database.damage import Damage
from ilios.database.reads import Reads
from ilios.faults import Faults
from ilios.free_space import BLOBS, FreeSpace, Volume
from ilios.health import Converting, Health, Messaging, Store
from ilios.supervision import Supervisor
from schemas.replies import HealthReport
from tests.waiting import until


class Part:
    """Stands for every part at once: does nothing, or raises what it was given."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.refusals = Refusals()
        self.connected = True
        self.acknowledgements = Acknowledgements()
        self.doubt: str | None = None
        self.asked = self.proved = 0

    async def prove(self) -> None:
        self.proved += 1

    async def check(self) -> None:
        self.asked += 1
        if self.fault:
            raise self.fault

    async def keep(self, write: object) -> None:
        await self.check()

    async def ping(self) -> None:
        await self.check()

    async def convert(self, *_: object) -> None:
        pytest.fail("health converts nothing")


def _volumes(**free: int) -> FreeSpace:
    """Return volumes with so much free, and a reserve of 100 bytes."""
    devices = {Path(place): number for number, place in enumerate(free)}
    return FreeSpace(
        {place: Path(place) for place in free},
        100,
        ask=lambda path: Volume(devices[path], free[str(path)], files=None),
    )


async def _report(
    volumes: FreeSpace | None = None,
    damage: Damage | None = None,
    standing: Faults | None = None,
    /,
    **faults: Exception,
) -> HealthReport:
    def part(name: str) -> Part:
        return Part(faults.get(name))

    return await _health(part("bus"), volumes, damage, standing, part)()


def _health(
    bus: Part,
    volumes: FreeSpace | None = None,
    damage: Damage | None = None,
    standing: Faults | None = None,
    part: Callable[[str], Part] = lambda _: Part(),
) -> Health:
    return Health(
        Messaging(cast("Connection", bus), cast("Probe", bus)),
        cast("Writer", part("writer")),
        cast("Reads", part("database")),
        Converting(cast("Engine", part("engine"))),
        Supervisor(),
        Store(cast("Blobs", part("blobs"))),
        free_space=volumes or _volumes(blobs=100, database=100, bus=100),
        damage=damage or Damage(Path("ilios.db")),
        faults=standing or Faults(),
    )


async def test_all_is_well_when_every_part_answers() -> None:
    report = await _report()
    assert report.healthy
    assert report.problems == []
    assert report.services["bus"] == report.services["database"] == "connected"


async def test_a_damaged_database_is_told_with_what_to_do() -> None:
    damage = Damage(Path("ilios.db"))
    damage.found = "database disk image is malformed"
    report = await _report(None, damage)
    assert not report.healthy
    assert "malformed; `ilios rebuild`" in report.problems[0]


async def test_a_standing_fault_is_told_and_is_unhealthy() -> None:
    standing = Faults()
    standing.report("log", "events are missing")
    report = await _report(None, None, standing)
    assert not report.healthy
    assert report.problems == ["log: events are missing"]


async def test_what_a_role_may_not_do_on_the_bus_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = Refusals()
    refusals.note("ocr", PermissionError('permissions violation for publish to "x"'))
    monkeypatch.setattr("tests.ilios.test_health.Refusals", lambda: refusals)
    report = await _report()
    assert not report.healthy
    assert report.problems == [
        "bus: ocr may not publish to x: its user on the bus needs more permissions"
    ]


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
    part: str, fault: Exception
) -> None:
    report = await _report(**{part: fault})
    assert not report.healthy
    assert [problem.partition(":")[0] for problem in report.problems] == [part]
    told = [name for name, state in report.services.items() if state == "unavailable"]
    assert told == [part]


@pytest.mark.parametrize("place", [BLOBS, "database", "bus"])
async def test_a_volume_without_room_is_named_before_the_next_upload(place: str) -> None:
    room = {BLOBS: 100, "database": 100, "bus": 100} | {place: 99}
    report = await _report(_volumes(**room))
    assert not report.healthy
    assert [name for name, state in report.services.items() if state == "full"] == [place]
    (problem,) = report.problems
    assert problem.startswith(f"no room for {place}: ")


async def test_a_part_that_is_away_is_not_called_full() -> None:
    report = await _report(_volumes(bus=0), bus=BusUnavailable("gone"))
    assert report.services["bus"] == "unavailable"


async def test_a_bus_that_does_not_store_what_is_published_is_told_at_once() -> None:
    bus = Part()
    health = _health(bus)
    assert (await health()).healthy
    bus.doubt = "the last 2 publishes were not acknowledged"
    report = await health()
    assert not report.healthy
    assert report.problems == ["bus: the last 2 publishes were not acknowledged"]
    assert report.services["bus"] == "unavailable"


async def test_a_lost_connection_and_a_full_volume_are_told_without_asking_anew() -> None:
    bus, room = Part(), {"bus": 100}
    devices = FreeSpace({"bus": Path("bus")}, 100, ask=lambda _: Volume(1, room["bus"], files=None))
    health = _health(bus, devices)
    assert (await health()).healthy
    asked = bus.asked
    bus.connected = False
    assert (await health()).problems == ["bus: it is not connected"]
    bus.connected = True
    room["bus"] = 1
    await until(lambda: bool(devices.shortages))
    assert (await health()).services["bus"] == "full"
    assert bus.asked == asked


async def test_no_probe_is_written_on_a_full_volume() -> None:
    bus = Part()
    bus.doubt = "nothing was published since the server started"
    report = await _health(bus, _volumes(bus=0))()
    assert not report.healthy
    assert bus.proved == 0
    await _health(bus)()
    assert bus.proved == 1


async def test_acknowledgements_that_take_long_as_a_rule_are_told() -> None:
    bus = Part()
    for _ in range(100):
        bus.acknowledgements.answered(stored=True, took=1.5)
    report = await _health(bus)()
    assert report.problems == ["bus: an acknowledgement takes 1.5 s as a rule"]
