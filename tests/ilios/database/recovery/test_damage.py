"""Damage is detected at the start or by a query; from then on every query fails."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from ilios.database.connection import DamageMonitor, DatabaseDamaged, open_reader, open_writer
from ilios.database.queries import SqliteDocumentQueries
from ilios.database.recovery.wal import sidecar
from tests import events
from tests.ilios.database.db import history, open_database

PAGE = 4096  # bytes
DOCUMENTS = 300


async def write_database(path: Path) -> None:
    """Write a database of some pages, and close it."""
    async with open_database(path) as db:
        await db.apply(*history(*map(events.submitted, range(1, DOCUMENTS))))


def overwrite(path: Path, page: int, count: int = 1) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(os.urandom(PAGE * count))


async def copy_as_killed(path: Path, target: Path) -> None:
    """Put at ``target`` a copy of a database as a killed process leaves it, with its commits."""
    async with open_database(path) as db:
        for number in range(1, 40):
            await db.apply(*history(events.submitted(number), first=number))
        for suffix in ("", "-wal", "-shm"):
            shutil.copyfile(sidecar(path, suffix), sidecar(target, suffix))


async def open_it(path: Path) -> None:
    async with open_writer(path):
        pass


@pytest.mark.parametrize("page", [0, 1, 3, 8])
async def test_four_kilobytes_of_nonsense_anywhere_are_noticed_at_start(
    tmp_path: Path, page: int
) -> None:
    path = tmp_path / "ilios.db"
    await write_database(path)
    overwrite(path, page)
    before = path.read_bytes()
    with pytest.raises(DatabaseDamaged, match="ilios rebuild"):
        await open_it(path)
    assert path.read_bytes() == before, "it was touched"


async def test_the_files_of_a_killed_process_are_no_damage(tmp_path: Path) -> None:
    await copy_as_killed(tmp_path / "ilios.db", tmp_path / "copy.db")
    async with open_database(tmp_path / "copy.db") as db:
        assert len(await db.table("documents")) == 39


async def test_a_commit_that_was_broken_off_is_in_order(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    await copy_as_killed(tmp_path / "ilios.db", copy)
    sidecar(copy, "-shm").unlink()  # a power cut leaves no shared index
    wal = sidecar(copy, "-wal")
    os.truncate(wal, wal.stat().st_size - 100)
    async with open_database(copy) as db:
        assert len(await db.table("documents")) == 38


@pytest.mark.parametrize("fault", ["in its midst", "cut short", "gone"])
async def test_a_write_ahead_log_that_has_lost_commits_is_refused(
    tmp_path: Path, fault: str
) -> None:
    copy = tmp_path / "copy.db"
    await copy_as_killed(tmp_path / "ilios.db", copy)
    wal = sidecar(copy, "-wal")
    if fault == "in its midst":
        overwrite(wal, 8)
    elif fault == "cut short":
        os.truncate(wal, wal.stat().st_size // 2)
    else:
        wal.unlink()
    with pytest.raises(DatabaseDamaged, match="write-ahead log"):
        await open_it(copy)


async def test_a_database_that_is_gone_while_its_write_ahead_log_is_there_is_refused(
    tmp_path: Path,
) -> None:
    copy = tmp_path / "copy.db"
    await copy_as_killed(tmp_path / "ilios.db", copy)
    copy.unlink()
    with pytest.raises(DatabaseDamaged, match="write-ahead log is there"):
        await open_it(copy)


async def test_the_service_does_not_start_empty_beside_an_unfinished_rebuild(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ilios.db"
    (tmp_path / "ilios.db.rebuilt").write_bytes(b"")
    with pytest.raises(DatabaseDamaged, match="broken off"):
        await open_it(path)
    assert not path.exists()


async def test_damage_that_is_met_while_running_stops_every_answer(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    await write_database(path)
    damage = DamageMonitor(path)
    async with open_writer(path, damage) as writing, open_reader(path, damage) as reading:
        reads = SqliteDocumentQueries(reading)
        assert await reads.document("default", events.id_of(1))
        async with open_reader(path, damage) as other:
            await other.fetchall("SELECT * FROM documents WHERE false")  # has read the schema
            overwrite(path, 2, path.stat().st_size // PAGE - 2)
            with pytest.raises(sqlite3.DatabaseError):
                await other.fetchall("SELECT * FROM documents ORDER BY id DESC")
        assert damage.reason
        with pytest.raises(DatabaseDamaged):
            await reads.document("default", events.id_of(1))
        with pytest.raises(DatabaseDamaged):
            await writing.execute("BEGIN IMMEDIATE")


async def test_an_error_that_is_not_about_the_file_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    damage = DamageMonitor(path)
    async with open_writer(path, damage) as writing:
        with pytest.raises(sqlite3.Error):
            await writing.execute("SELECT nonsense")
        await writing.execute("SELECT 1")
    assert damage.reason is None
