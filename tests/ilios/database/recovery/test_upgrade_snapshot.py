"""A database of an older version has a snapshot before it is migrated."""

import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from ilios.database import migrations
from ilios.database.connection import open_writer
from ilios.database.recovery import snapshots
from ilios.database.recovery.upgrade_snapshot import make_upgrade_snapshot
from ilios.database.sqlite import DamageMonitor
from ilios.settings.settings import Settings

LATEST = migrations.scripts()[-1][0]


def make_older(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for number, script in migrations.scripts()[:-1]:
            connection.executescript(f"{script}; PRAGMA user_version = {number};")
        connection.execute("INSERT INTO cursors VALUES ('persister', 's', 'c', 17)")
        connection.commit()


async def start(directory: Path) -> list[Path]:
    """Open the database as the service does; return the snapshots there are then."""
    settings = Settings(data_dir=directory)
    damage = DamageMonitor(settings.database_path)
    before = partial(make_upgrade_snapshot, settings, damage)
    async with open_writer(settings.database_path, damage, before_upgrade=before) as connection:
        assert await connection.fetchall(migrations.VERSION) == [(LATEST,)]
    return snapshots.list_snapshots(settings.snapshots_dir)


async def test_an_older_database_has_a_snapshot_of_its_version(tmp_path: Path) -> None:
    make_older(tmp_path / "ilios.db")
    (made,) = await start(tmp_path)
    with closing(sqlite3.connect(made)) as snapshot:
        assert snapshot.execute(migrations.VERSION).fetchone() == (LATEST - 1,)
        assert snapshot.execute("SELECT sequence FROM cursors").fetchone() == (17,)
    assert await start(tmp_path) == [made], "a current one needs none"


async def test_a_new_database_has_no_snapshot(tmp_path: Path) -> None:
    assert await start(tmp_path) == []


class FullVolume(NamedTuple):
    total: int = 1
    used: int = 1
    free: int = 0


async def test_a_full_volume_does_not_prevent_the_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_older(tmp_path / "ilios.db")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FullVolume())
    assert await start(tmp_path) == []
