"""A snapshot is made when the newest one is old, and not when it cannot be."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.persister import NAME
from actors.running_time import RunningTime
from actors.writer import Writer
from actors.writes import ApplyEntries, Cursor
from ilios import snapshots as module
from ilios.database import snapshots
from ilios.database.damage import Damage, DatabaseDamaged
from ilios.faults import Faults
from ilios.settings import Settings
from ilios.snapshots import Snapshots
from tests.actors.running import running
from tests.ilios.database.books import CREATED, STREAM, Books, opened
from tests.waiting import until

LOOK_EVERY = 0.01  # seconds
NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


class Watched:
    """What makes snapshots, with a running time that passes as the test wants it to."""

    def __init__(self, books: Books, directory: Path, hours: int = 24, *, ran: float = 0) -> None:
        settings = Settings(data_dir=directory, snapshot_hours=hours)
        self.directory = settings.snapshots_dir
        self.seconds = 0.0
        self.writer = Writer(books.ledger)
        time = RunningTime(self.writer, timedelta(hours=ran), lambda: self.seconds)
        self.faults = Faults()
        self.snapshots = Snapshots(
            settings, Damage(settings.database_path), books.ledger, time, self.faults
        )

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        async with running(self.writer.run), running(lambda: self.snapshots.run(LOOK_EVERY)):
            yield

    def count(self) -> int:
        return len(snapshots.kept_in(self.directory))

    async def reaches(self, count: int) -> None:
        await until(lambda: self.count() == count)

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


async def write(books: Books) -> None:
    await books.ledger.keep([ApplyEntries(NAME, (), Cursor(STREAM, CREATED, 5))])  # type: ignore[list-item]


async def test_the_first_is_made_when_there_is_anything_to_keep(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots"
    async with (
        opened(tmp_path / "ilios.db") as books,
        Watched(books, tmp_path).watching(),
    ):
        await asyncio.sleep(10 * LOOK_EVERY)
        assert not directory.exists(), "of an empty database"
        await write(books)
        await until(lambda: len(snapshots.kept_in(directory)) == 1)
        await asyncio.sleep(10 * LOOK_EVERY)
    assert len(snapshots.kept_in(directory)) == 1


@pytest.mark.parametrize(
    ("age", "made"),
    [(timedelta(hours=1), 1), (timedelta(hours=25), 2), (timedelta(hours=-25), 2)],
    ids=["a young one", "an old one", "one of the future"],
)
async def test_another_is_made_when_the_newest_is_not_of_the_last_day(
    tmp_path: Path, age: timedelta, made: int
) -> None:
    directory = tmp_path / "snapshots"
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        database = tmp_path / "ilios.db"
        now = datetime.now(UTC)
        await snapshots.take(database, directory, Damage(database), now - age)
        async with Watched(books, tmp_path).watching():
            await until(lambda: len(snapshots.kept_in(directory)) == made)


async def test_none_is_made_while_a_fault_blocks(tmp_path: Path) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        watched = Watched(books, tmp_path)
        watched.faults.report("files", "the database is gone", blocking=True)
        await write(books)
        async with watched.watching():
            await watched.stays_at(0)
            watched.faults.resolve("files")
            await watched.reaches(1)


async def test_none_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        async with Watched(books, tmp_path, hours=0).watching():
            await asyncio.sleep(10 * LOOK_EVERY)
    assert not (tmp_path / "snapshots").exists()


@pytest.mark.parametrize("fault", [snapshots.NoRoom("no"), OSError("no"), sqlite3.Error("no")])
async def test_one_that_cannot_be_made_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    take, tries = snapshots.take, list[datetime]()

    async def refuse(database: Path, directory: Path, damage: Damage, now: datetime) -> Path:
        tries.append(now)
        if len(tries) == 1:
            raise fault
        return await take(database, directory, damage, now)

    monkeypatch.setattr(snapshots, "take", refuse)
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        watched = Watched(books, tmp_path)
        async with watched.watching():
            await until(lambda: len(tries) == 1)
            # A clock that jumps does not make it try again and again.
            set_clock(monkeypatch, datetime.now(UTC) + timedelta(days=400))
            await watched.stays_at(0)
            watched.seconds += module.AGAIN_AFTER.total_seconds()
            await until(lambda: watched.count() == 1)
    assert len(tries) == 2


async def test_damage_is_not_passed_over(tmp_path: Path) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        settings = Settings(data_dir=tmp_path)
        damage = Damage(settings.database_path)
        damage.found = "it is"
        writer = Writer(books.ledger)
        async with running(writer.run):
            time = RunningTime(writer, timedelta())
            snapshots_of = Snapshots(settings, damage, books.ledger, time, Faults())
            with pytest.raises(DatabaseDamaged):
                await snapshots_of.run(LOOK_EVERY)


async def test_another_is_made_after_a_day_of_running_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        set_clock(monkeypatch, NOW)  # and it stands still
        watched = Watched(books, tmp_path)
        async with watched.watching():
            await until(lambda: watched.count() == 1)
            watched.seconds = 23 * 3600
            await watched.stays_at(1)
            watched.seconds = 24 * 3600
            await until(lambda: watched.count() == 2)
            await watched.stays_at(2)


async def test_the_running_time_counts_over_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        set_clock(monkeypatch, NOW)
        for ran, made in ((0, 1), (12, 1), (23, 1), (24, 2), (30, 2), (48, 2)):
            watched = Watched(books, tmp_path, ran=ran)
            async with watched.watching():
                await watched.reaches(made)
                await watched.stays_at(made)
    names = [path.name for path in snapshots.kept_in(tmp_path / "snapshots")]
    assert names == ["ilios-20260115T103002Z.db", "ilios-20260115T103001Z.db"], "at 48 and 24 hours"


async def test_snapshots_of_a_clock_that_was_ahead_neither_stay_nor_stop_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "snapshots"
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        for ran, days in ((0, 400), (24, 500)):
            set_clock(monkeypatch, NOW + timedelta(days=days))
            watched = Watched(books, tmp_path, ran=ran)
            async with watched.watching():
                await reaches(directory, NOW + timedelta(days=days))
        assert len(snapshots.kept_in(directory)) == 2
        set_clock(monkeypatch, NOW)
        for ran in (25, 50):
            watched = Watched(books, tmp_path, ran=ran)
            async with watched.watching():
                await reaches(directory, NOW)
                await until(lambda: len(snapshots.kept_in(directory)) == 2)
                await watched.stays_at(2)
    assert {path.name[6:10] for path in snapshots.kept_in(directory)} == {"2026"}


async def reaches(directory: Path, when: datetime) -> None:
    """Wait until the first snapshot was made about then."""
    minute = timedelta(minutes=1)

    def is_first() -> bool:
        kept = snapshots.kept_in(directory)
        return bool(kept) and abs(snapshots.made_at(kept[0]) - when) < minute

    await until(is_first)
