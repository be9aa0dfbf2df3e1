"""A snapshot is made when the newest one is old, and not when it cannot be."""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.persister import NAME
from actors.writes import ApplyEntries, Cursor
from ilios import snapshots as module
from ilios.database import snapshots
from ilios.database.damage import Damage, DatabaseDamaged
from ilios.settings import Settings
from ilios.snapshots import Snapshots
from tests.actors.running import running
from tests.ilios.database.books import CREATED, STREAM, Books, opened
from tests.waiting import until

LOOK_EVERY = 0.01  # seconds


def watched(books: Books, directory: Path, hours: int = 24) -> Snapshots:
    settings = Settings(data_dir=directory, snapshot_hours=hours)
    return Snapshots(settings, Damage(settings.database_path), books.ledger)


async def write(books: Books) -> None:
    await books.ledger.keep([ApplyEntries(NAME, (), Cursor(STREAM, CREATED, 5))])  # type: ignore[list-item]


async def test_the_first_is_made_when_there_is_anything_to_keep(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots"
    async with (
        opened(tmp_path / "ilios.db") as books,
        running(lambda: watched(books, tmp_path).run(LOOK_EVERY)),
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
        async with running(lambda: watched(books, tmp_path).run(LOOK_EVERY)):
            await until(lambda: len(snapshots.kept_in(directory)) == made)


async def test_none_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        async with running(lambda: watched(books, tmp_path, hours=0).run(LOOK_EVERY)):
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
    monkeypatch.setattr(module, "AGAIN_AFTER", timedelta(milliseconds=200))
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        async with running(lambda: watched(books, tmp_path).run(LOOK_EVERY)):
            await until(lambda: len(snapshots.kept_in(tmp_path / "snapshots")) == 1)
    assert tries[1] - tries[0] >= timedelta(milliseconds=200)


async def test_damage_is_not_passed_over(tmp_path: Path) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        await write(books)
        settings = Settings(data_dir=tmp_path)
        damage = Damage(settings.database_path)
        damage.found = "it is"
        with pytest.raises(DatabaseDamaged):
            await Snapshots(settings, damage, books.ledger).run(LOOK_EVERY)
