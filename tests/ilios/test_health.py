"""Health reports the state of each part, and which one is at fault."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from actors.engines import Engine, EngineCrashed, EngineUnavailable
from actors.ports import Blobs
from actors.writes import DatabaseUnavailable, Writer
from bus.connection import Connection
from bus.diagnostics import PermissionViolations, PublishStats
from bus.errors import BusUnavailable
from bus.publisher import Probe
from ilios.database.queries import SqliteDocumentQueries
from ilios.database.sqlite import DamageMonitor
from ilios.health import Health, Monitoring
from ilios.integrity.faults import Faults
from ilios.runtime.disk_space import BLOBS, DiskGuard, Volume
from ilios.runtime.supervisor import Supervisor
from schemas.service_replies import HealthReport
from tests.waiting import wait_until


class Part:
    """Stands for every part at once: does nothing, or raises what it was given."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.permission_violations = PermissionViolations()
        self.connected = True
        self.publish_stats = PublishStats()
        self.problem: str | None = None
        self.asked = self.checked = 0

    async def check_writable(self) -> None:
        self.checked += 1

    async def check(self) -> None:
        self.asked += 1
        if self.fault:
            raise self.fault

    async def commit(self, write: object) -> None:
        await self.check()

    async def ping(self) -> None:
        await self.check()

    async def convert(self, *_: object) -> None:
        pytest.fail("health converts nothing")


def _volumes(**free: int) -> DiskGuard:
    """Return volumes with so much free, and a reserve of 100 bytes."""
    devices = {Path(place): number for number, place in enumerate(free)}
    return DiskGuard(
        {place: Path(place) for place in free},
        100,
        stat_volume=lambda path: Volume(devices[path], free[str(path)], files=None),
    )


async def _report(
    volumes: DiskGuard | None = None,
    damage: DamageMonitor | None = None,
    standing: Faults | None = None,
    /,
    **faults: Exception,
) -> HealthReport:
    def part(name: str) -> Part:
        return Part(faults.get(name))

    return await _health(part("bus"), volumes, damage, standing, part)()


def _health(
    bus: Part,
    volumes: DiskGuard | None = None,
    damage: DamageMonitor | None = None,
    standing: Faults | None = None,
    part: Callable[[str], Part] = lambda _: Part(),
) -> Health:
    return Health(
        connection=cast("Connection", bus),
        probe=cast("Probe", bus),
        writer=cast("Writer", part("writer")),
        reads=cast("SqliteDocumentQueries", part("database")),
        engine=cast("Engine", part("engine")),
        blobs=cast("Blobs", part("blobs")),
        disk_guard=volumes or _volumes(blobs=100, database=100, bus=100),
        monitoring=Monitoring(
            Supervisor(), damage or DamageMonitor(Path("ilios.db")), standing or Faults()
        ),
    )


async def test_health_is_ok_when_every_part_answers() -> None:
    report = await _report()
    assert report.healthy
    assert report.problems == []
    assert report.services["bus"] == report.services["database"] == "connected"


async def test_workers_leave_to_others_what_this_host_cannot_do() -> None:
    crashed = {"engine": EngineCrashed("none starts", document_blamed=False)}
    away = {"engine": EngineUnavailable("engine_busy", "It is away.", retry_after=1.0)}
    for faults, volumes, ocr, fetcher in (
        ({}, None, None, None),
        (away, None, None, None),
        (crashed, None, "engine: none starts", None),
        ({}, _volumes(database=99), "no room for database", "no room for database"),
    ):
        health = _health(Part(), volumes, part=lambda name, found=faults: Part(found.get(name)))  # type: ignore[misc]
        for converts, expected in ((True, ocr), (False, fetcher)):
            why = await health.why_no_work(converts=converts)
            assert (why or "").startswith(expected or "")
            assert (why is None) is (expected is None)


async def test_a_damaged_database_is_reported_with_advice() -> None:
    damage = DamageMonitor(Path("ilios.db"))
    damage.reason = "database disk image is malformed"
    report = await _report(None, damage)
    assert not report.healthy
    assert "malformed; `ilios rebuild`" in report.problems[0]


async def test_a_standing_fault_is_reported_and_unhealthy() -> None:
    standing = Faults()
    standing.report("log", "events are missing")
    report = await _report(None, None, standing)
    assert not report.healthy
    assert report.problems == ["log: events are missing"]


async def test_permission_violations_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = PermissionViolations()
    refusals.record("ocr", PermissionError('permissions violation for publish to "x"'))
    monkeypatch.setattr("tests.ilios.test_health.PermissionViolations", lambda: refusals)
    report = await _report()
    assert not report.healthy
    assert report.problems == [
        "bus: ocr may not publish to x: its user on the bus needs more permissions"
    ]


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("bus", BusUnavailable("gone")),
        ("writer", DatabaseUnavailable("full")),
        ("database", TimeoutError()),
        ("engine", EngineCrashed("no child starts", document_blamed=False)),
    ],
)
async def test_a_part_that_does_not_answer_is_named_and_no_other(
    part: str, fault: Exception
) -> None:
    report = await _report(**{part: fault})
    assert not report.healthy
    assert [problem.partition(":")[0] for problem in report.problems] == [part]
    unavailable = [name for name, state in report.services.items() if state == "unavailable"]
    assert unavailable == [part]


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


async def test_a_bus_that_stores_nothing_is_reported_at_once() -> None:
    bus = Part()
    health = _health(bus)
    assert (await health()).healthy
    bus.problem = "the last 2 publishes were not acknowledged"
    report = await health()
    assert not report.healthy
    assert report.problems == ["bus: the last 2 publishes were not acknowledged"]
    assert report.services["bus"] == "unavailable"


async def test_a_lost_connection_and_a_full_volume_are_reported_despite_the_cache() -> None:
    bus, room = Part(), {"bus": 100}
    devices = DiskGuard(
        {"bus": Path("bus")}, 100, stat_volume=lambda _: Volume(1, room["bus"], files=None)
    )
    health = _health(bus, devices)
    assert (await health()).healthy
    asked = bus.asked
    bus.connected = False
    assert (await health()).problems == ["bus: it is not connected"]
    bus.connected = True
    room["bus"] = 1
    await wait_until(lambda: bool(devices.shortages))
    assert (await health()).services["bus"] == "full"
    assert bus.asked == asked


async def test_no_probe_is_written_on_a_full_volume() -> None:
    bus = Part()
    bus.problem = "nothing was published since the server started"
    report = await _health(bus, _volumes(bus=0))()
    assert not report.healthy
    assert bus.checked == 0
    await _health(bus)()
    assert bus.checked == 1


async def test_high_publish_latency_is_reported() -> None:
    bus = Part()
    for _ in range(100):
        bus.publish_stats.record_reply(stored=True, latency=1.5)
    report = await _health(bus)()
    assert report.problems == ["bus: an acknowledgement takes 1.5 s as a rule"]
