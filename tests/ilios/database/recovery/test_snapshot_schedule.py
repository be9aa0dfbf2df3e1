"""A snapshot is made when the last one is old enough."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.clock_guard import RunningTime
from actors.persister import NAME
from actors.writes import ApplyEvents, Cursor, Writer
from ilios.database.recovery import snapshot_schedule as module
from ilios.database.recovery import snapshots
from ilios.database.recovery.snapshot_schedule import SnapshotScheduler
from ilios.database.sqlite import DamageMonitor, DatabaseDamaged
from ilios.integrity.faults import Faults
from ilios.settings.settings import Settings
from tests.actors.running import running_in_background
from tests.ilios.database.db import CREATED, STREAM, Database, open_database
from tests.waiting import wait_until

LOOK_EVERY = 0.01  # seconds
NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


class Watched:
    """What makes snapshots, with a running time that passes as the test wants it to."""

    def __init__(self, db: Database, directory: Path, hours: int = 24, *, ran: float = 0) -> None:
        settings = Settings(data_dir=directory, snapshot_hours=hours)
        self.directory = settings.snapshots_dir
        self.seconds = 0.0
        self.writer = Writer(db.store)
        time = RunningTime(self.writer, timedelta(hours=ran), lambda: self.seconds)
        self.faults = Faults()
        self.snapshots = SnapshotScheduler(
            settings, DamageMonitor(settings.database_path), db.store, time, self.faults
        )

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        async with (
            running_in_background(self.writer.run),
            running_in_background(lambda: self.snapshots.run(LOOK_EVERY)),
        ):
            yield

    def count(self) -> int:
        return len(snapshots.list_snapshots(self.directory))

    async def reaches(self, count: int) -> None:
        await wait_until(lambda: self.count() == count)

    async def stays_at(self, count: int) -> None:
        """Make sure that looks which are due make no other."""
        for _ in range(10):
            await asyncio.sleep(LOOK_EVERY)
        assert self.count() == count


def set_clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Set the wall clock of what makes snapshots."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now

    monkeypatch.setattr(module, "datetime", Clock)


async def write(db: Database) -> None:
    await db.store.commit([ApplyEvents(NAME, (), Cursor(STREAM, CREATED, 5))])  # type: ignore[list-item]


async def test_the_first_snapshot_is_made_after_the_first_write(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots"
    async with (
        open_database(tmp_path / "ilios.db") as db,
        Watched(db, tmp_path).watching(),
    ):
        await asyncio.sleep(10 * LOOK_EVERY)
        assert not directory.exists(), "of an empty database"
        await write(db)
        await wait_until(lambda: len(snapshots.list_snapshots(directory)) == 1)
        await asyncio.sleep(10 * LOOK_EVERY)
    assert len(snapshots.list_snapshots(directory)) == 1


@pytest.mark.parametrize(
    ("age", "made"),
    [(timedelta(hours=1), 1), (timedelta(hours=25), 2), (timedelta(hours=-25), 2)],
    ids=["a young one", "an old one", "one of the future"],
)
async def test_another_is_made_when_the_newest_is_not_of_the_last_day(
    tmp_path: Path, age: timedelta, made: int
) -> None:
    directory = tmp_path / "snapshots"
    async with open_database(tmp_path / "ilios.db") as db:
        await write(db)
        database = tmp_path / "ilios.db"
        now = datetime.now(UTC)
        await snapshots.create(database, directory, DamageMonitor(database), now - age)
        async with Watched(db, tmp_path).watching():
            await wait_until(lambda: len(snapshots.list_snapshots(directory)) == made)


async def test_none_is_made_while_a_fault_blocks(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        watched = Watched(db, tmp_path)
        watched.faults.report("files", "the database is gone", blocking=True)
        await write(db)
        async with watched.watching():
            await watched.stays_at(0)
            watched.faults.resolve("files")
            await watched.reaches(1)


async def test_none_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        await write(db)
        async with Watched(db, tmp_path, hours=0).watching():
            await asyncio.sleep(10 * LOOK_EVERY)
    assert not (tmp_path / "snapshots").exists()


@pytest.mark.parametrize(
    "fault", [snapshots.NotEnoughSpace("no"), OSError("no"), sqlite3.Error("no")]
)
async def test_a_failed_snapshot_is_retried_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    take, tries = snapshots.create, list[datetime]()

    async def refuse(database: Path, directory: Path, damage: DamageMonitor, now: datetime) -> Path:
        tries.append(now)
        if len(tries) == 1:
            raise fault
        return await take(database, directory, damage, now)

    monkeypatch.setattr(snapshots, "create", refuse)
    async with open_database(tmp_path / "ilios.db") as db:
        await write(db)
        watched = Watched(db, tmp_path)
        async with watched.watching():
            await wait_until(lambda: len(tries) == 1)
            # A clock that jumps does not make it try again and again.
            set_clock(monkeypatch, datetime.now(UTC) + timedelta(days=400))
            await watched.stays_at(0)
            watched.seconds += module.RETRY_AFTER.total_seconds()
            await wait_until(lambda: watched.count() == 1)
    assert len(tries) == 2


async def test_damage_is_not_passed_over(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        await write(db)
        settings = Settings(data_dir=tmp_path)
        damage = DamageMonitor(settings.database_path)
        damage.reason = "it is"
        writer = Writer(db.store)
        async with running_in_background(writer.run):
            time = RunningTime(writer, timedelta())
            snapshots_of = SnapshotScheduler(settings, damage, db.store, time, Faults())
            with pytest.raises(DatabaseDamaged):
                await snapshots_of.run(LOOK_EVERY)


async def test_another_is_made_after_a_day_of_running_regardless_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        await write(db)
        set_clock(monkeypatch, NOW)  # and it stands still
        watched = Watched(db, tmp_path)
        async with watched.watching():
            await wait_until(lambda: watched.count() == 1)
            watched.seconds = 23 * 3600
            await watched.stays_at(1)
            watched.seconds = 24 * 3600
            await wait_until(lambda: watched.count() == 2)
            await watched.stays_at(2)


async def test_the_running_time_counts_over_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        await write(db)
        set_clock(monkeypatch, NOW)
        for ran, made in ((0, 1), (12, 1), (23, 1), (24, 2), (30, 2), (48, 2)):
            watched = Watched(db, tmp_path, ran=ran)
            async with watched.watching():
                await watched.reaches(made)
                await watched.stays_at(made)
    names = [path.name for path in snapshots.list_snapshots(tmp_path / "snapshots")]
    assert names == ["ilios-20260115T103002Z.db", "ilios-20260115T103001Z.db"], "at 48 and 24 hours"


async def test_snapshots_of_a_clock_that_was_ahead_neither_stay_nor_stop_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "snapshots"
    async with open_database(tmp_path / "ilios.db") as db:
        await write(db)
        for ran, days in ((0, 400), (24, 500)):
            set_clock(monkeypatch, NOW + timedelta(days=days))
            watched = Watched(db, tmp_path, ran=ran)
            async with watched.watching():
                await reaches(directory, NOW + timedelta(days=days))
        assert len(snapshots.list_snapshots(directory)) == 2
        set_clock(monkeypatch, NOW)
        for ran in (25, 50):
            watched = Watched(db, tmp_path, ran=ran)
            async with watched.watching():
                await reaches(directory, NOW)
                await wait_until(lambda: len(snapshots.list_snapshots(directory)) == 2)
                await watched.stays_at(2)
    assert {path.name[6:10] for path in snapshots.list_snapshots(directory)} == {"2026"}


async def reaches(directory: Path, when: datetime) -> None:
    """Wait until the first snapshot was made about then."""
    minute = timedelta(minutes=1)

    def is_first() -> bool:
        kept = snapshots.list_snapshots(directory)
        return bool(kept) and abs(snapshots.created_at(kept[0]) - when) < minute

    await wait_until(is_first)
