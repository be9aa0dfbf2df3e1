"""Snapshots are whole or not there, few are kept, and none is made of what is damaged."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ilios.database import snapshots
from ilios.database.damage import Damage, DatabaseDamaged
from ilios.database.snapshots import NoRoom, SnapshotDamaged
from tests import events
from tests.ilios.database.books import CREATED, Books, history, opened

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with opened(tmp_path / "ilios.db") as books:
        await books.apply(*history(*map(events.submitted, range(1, 300))))
        yield books


async def take(directory: Path, now: datetime = NOW, damage: Damage | None = None) -> Path:
    database = directory / "ilios.db"
    return await snapshots.take(database, directory / "snapshots", damage or Damage(database), now)


@pytest.mark.usefixtures("books")
async def test_a_snapshot_has_all_that_was_committed_and_how_far_that_is(tmp_path: Path) -> None:
    made = await take(tmp_path)
    assert made.name == "ilios-20260115T103000Z.db"
    assert snapshots.made_at(made) == NOW
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.parent.stat().st_mode & 0o777 == 0o700
    assert snapshots.fault_in(made) is None
    cursor = snapshots.cursor_in(made, "test")
    assert cursor
    assert (cursor.created, cursor.sequence) == (CREATED, 299)
    with closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (299,)


@pytest.mark.usefixtures("books")
async def test_two_are_kept_the_newest_first(tmp_path: Path) -> None:
    made = [await take(tmp_path, NOW + timedelta(hours=hour)) for hour in range(4)]
    assert snapshots.kept_in(tmp_path / "snapshots") == [made[3], made[2]]


async def test_writing_goes_on_meanwhile_and_is_not_in_it(books: Books, tmp_path: Path) -> None:
    await books.connection.execute("BEGIN IMMEDIATE")
    await books.connection.execute("DELETE FROM documents")
    made = await take(tmp_path)
    await books.connection.execute("COMMIT")
    with closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (299,)


@pytest.mark.usefixtures("books")
async def test_what_a_killed_process_has_left_is_swept(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots"
    directory.mkdir()
    (directory / "ilios-20250101T000000Z.db.new").write_bytes(b"half")
    made = await take(tmp_path)
    assert list(directory.iterdir()) == [made]


@pytest.mark.usefixtures("books")
async def test_none_is_made_where_it_would_take_the_room_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(NoRoom, match="MB are free"):
        await take(tmp_path)
    assert list((tmp_path / "snapshots").iterdir()) == []


async def test_a_damaged_database_makes_no_snapshot(books: Books, tmp_path: Path) -> None:
    await books.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = tmp_path / "ilios.db"
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(os.urandom(path.stat().st_size - 2 * 4096))
    damage = Damage(path)
    with pytest.raises(DatabaseDamaged):
        await take(tmp_path, damage=damage)
    assert damage.found
    with pytest.raises(DatabaseDamaged):
        await take(tmp_path, damage=damage)
    assert list((tmp_path / "snapshots").iterdir()) == []


@pytest.mark.usefixtures("books")
async def test_what_cannot_be_read_back_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "fault_in", lambda _: "it is not what it was")
    with pytest.raises(SnapshotDamaged, match="not what it was"):
        await take(tmp_path)
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_an_empty_or_strange_file_is_no_snapshot(tmp_path: Path) -> None:
    empty, strange = tmp_path / "a.db", tmp_path / "b.db"
    empty.touch()
    strange.write_bytes(b"strange " * 1000)
    assert snapshots.fault_in(empty) == "it is empty"
    assert snapshots.fault_in(strange)
    assert snapshots.kept_in(tmp_path) == []
