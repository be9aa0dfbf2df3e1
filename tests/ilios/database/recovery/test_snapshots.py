"""Snapshots are complete or missing, few remain, and a damaged database makes none."""

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from actors.writes import MarkRunningTime
from ilios.database import migrations
from ilios.database.recovery import snapshots
from ilios.database.recovery.snapshots import NotEnoughSpace, SnapshotDamaged
from ilios.database.sqlite import DamageMonitor, DatabaseDamaged
from tests import events
from tests.ilios.database.db import CREATED, Database, history, open_database

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        await database.apply(*history(*map(events.submitted, range(1, 300))))
        yield database


async def take(directory: Path, now: datetime = NOW, damage: DamageMonitor | None = None) -> Path:
    database = directory / "ilios.db"
    return await snapshots.create(
        database, directory / "snapshots", damage or DamageMonitor(database), now
    )


@pytest.mark.usefixtures("db")
async def test_a_snapshot_has_all_that_was_committed_and_how_far_that_is(tmp_path: Path) -> None:
    made = await take(tmp_path)
    assert made.name == "ilios-20260115T103000Z.db"
    assert snapshots.created_at(made) == NOW
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.parent.stat().st_mode & 0o777 == 0o700
    assert snapshots.find_fault(made) is None
    cursor = snapshots.read_cursor(made, "test")
    assert cursor
    assert (cursor.created, cursor.sequence) == (CREATED, 299)
    with closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (299,)


@pytest.mark.usefixtures("db")
async def test_the_two_newest_snapshots_are_retained(tmp_path: Path) -> None:
    made = [await take(tmp_path, NOW + timedelta(hours=hour)) for hour in range(4)]
    assert snapshots.list_snapshots(tmp_path / "snapshots") == [made[3], made[2]]


async def test_snapshots_are_ordered_by_sequence_not_by_time(db: Database, tmp_path: Path) -> None:
    made = []
    for number, hour in ((300, 9), (301, 5), (302, 7), (303, 1)):
        await db.apply(*history(events.submitted(number), first=number))
        made.append(await take(tmp_path, NOW + timedelta(hours=hour)))
    assert snapshots.list_snapshots(tmp_path / "snapshots") == [made[3], made[2]]


async def test_of_equal_snapshots_the_longer_running_one_is_first(
    db: Database, tmp_path: Path
) -> None:
    made = []
    for minute, hour in ((1, 9), (2, 5), (3, 7)):
        await db.store.commit([MarkRunningTime(timedelta(minutes=minute))])  # type: ignore[list-item]
        made.append(await take(tmp_path, NOW + timedelta(hours=hour)))
    assert snapshots.list_snapshots(tmp_path / "snapshots") == [made[2], made[1]]


@pytest.mark.usefixtures("db")
async def test_two_snapshots_of_the_same_time_have_different_names(tmp_path: Path) -> None:
    first, second = await take(tmp_path), await take(tmp_path)
    assert first != second
    assert {*snapshots.list_snapshots(tmp_path / "snapshots")} == {first, second}


@pytest.mark.parametrize("created", [CREATED, "2026-02-01T00:00:00+00:00"], ids=["log", "other"])
async def test_snapshots_of_an_empty_database_do_not_replace_fuller_ones(
    tmp_path: Path, created: str
) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(*history(*map(events.submitted, range(1, 300))))
        good = [await take(tmp_path, NOW + timedelta(hours=hour)) for hour in (0, 1)]
    for path in tmp_path.glob("ilios.db*"):
        path.unlink()
    directory, last = tmp_path / "snapshots", tmp_path
    with capture_logs() as logs:
        async with open_database(tmp_path / "ilios.db") as db:
            for hour in range(2, 8):
                # It reads on behind all that the others had read, and starts again beside them.
                event = events.submitted(1000 + hour)
                await db.apply(*history(event, first=1000 + hour), created=created)
                last = await take(tmp_path, NOW + timedelta(hours=hour))
                assert last.exists()
    snapshots_left = snapshots.list_snapshots(directory)
    assert {*good} <= {*snapshots_left}
    assert snapshots_left[0] in good, "it has most, and a rebuild begins with it"
    assert len(snapshots_left) == 4, "two of each"
    assert last in snapshots_left
    assert [one for one in logs if "content that the database lacks" in one["event"]]


async def test_a_snapshot_in_which_a_document_is_further_on_is_not_replaced(
    db: Database, tmp_path: Path
) -> None:
    directory = tmp_path / "snapshots"
    directory.mkdir()
    before = tmp_path / "before.db"
    shutil.copy(await take(tmp_path), before)
    await db.apply(*history(events.failed(7), first=400))
    further = await take(tmp_path, NOW + timedelta(hours=1))
    assert snapshots.contains_all_of(further, before)
    assert not snapshots.contains_all_of(before, further)
    await db.apply(*history(msgspec.structs.replace(events.submitted(7), requeues=1), first=401))
    requeued = await take(tmp_path, NOW + timedelta(hours=2))
    assert snapshots.contains_all_of(requeued, further)
    assert not snapshots.contains_all_of(further, requeued)


@pytest.mark.usefixtures("db")
async def test_a_damaged_snapshot_is_neither_first_nor_removed(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots"
    directory.mkdir()
    damaged = directory / "ilios-20990101T000000Z.db"
    damaged.write_bytes(b"strange " * 1000)
    made = [await take(tmp_path, NOW + timedelta(hours=hour)) for hour in range(4)]
    assert snapshots.list_snapshots(directory) == [made[3], made[2], damaged]


@pytest.mark.parametrize("version", range(1, 7))
async def test_snapshots_of_earlier_versions_are_replaced_by_those_of_this_one(
    tmp_path: Path, version: int
) -> None:
    directory = tmp_path / "snapshots"
    directory.mkdir()
    old = [directory / f"ilios-2030010{day}T000000Z.db" for day in (1, 2)]
    for path in old:
        with closing(sqlite3.connect(path)) as connection:
            for number, script in migrations.scripts()[:version]:
                connection.executescript(script)
                connection.execute(f"PRAGMA user_version = {number}")
            expires = {"expires_at": "0"} if version >= 3 else {}
            values = {"tenant": "'default'", "id": f"'{events.id_of(1)}'", "state": "'completed'",
                      "file_name": "'a'", "content_type": "'b'", "priority": "5",
                      "retention_days": "9", "operation": "'convert'", "submitted_at": "0",
                      "submitted_sequence": "1", **expires}  # fmt: skip
            names = ", ".join(values)
            connection.execute(
                f"INSERT INTO documents ({names}) VALUES ({', '.join(values.values())})"
            )
            connection.execute("INSERT INTO cursors VALUES ('test', 's', 'c', 1)")
            connection.commit()
    assert {*snapshots.list_snapshots(directory)} == {*old}
    shutil.copy(old[0], tmp_path / "ilios.db")
    async with open_database(tmp_path / "ilios.db"):
        made = [await take(tmp_path, NOW + timedelta(hours=hour)) for hour in range(2)]
    assert snapshots.list_snapshots(directory)[0] in made
    assert {*snapshots.list_snapshots(directory)} == {*made}


async def test_writes_during_a_snapshot_continue_and_are_not_in_it(
    db: Database, tmp_path: Path
) -> None:
    await db.connection.execute("BEGIN IMMEDIATE")
    await db.connection.execute("DELETE FROM documents")
    made = await take(tmp_path)
    await db.connection.execute("COMMIT")
    with closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT count(*) FROM documents").fetchone() == (299,)


@pytest.mark.usefixtures("db")
async def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    directory = tmp_path / "snapshots"
    directory.mkdir()
    (directory / "ilios-20250101T000000Z.db.new").write_bytes(b"half")
    made = await take(tmp_path)
    assert list(directory.iterdir()) == [made]


@pytest.mark.usefixtures("db")
async def test_none_is_made_where_it_would_take_the_room_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(NotEnoughSpace, match="MB are free"):
        await take(tmp_path)
    assert list((tmp_path / "snapshots").iterdir()) == []


async def test_a_damaged_database_makes_no_snapshot(db: Database, tmp_path: Path) -> None:
    await db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = tmp_path / "ilios.db"
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(os.urandom(path.stat().st_size - 2 * 4096))
    damage = DamageMonitor(path)
    with pytest.raises(DatabaseDamaged):
        await take(tmp_path, damage=damage)
    assert damage.reason
    with pytest.raises(DatabaseDamaged):
        await take(tmp_path, damage=damage)
    assert list((tmp_path / "snapshots").iterdir()) == []


@pytest.mark.usefixtures("db")
async def test_a_snapshot_that_cannot_be_read_back_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "find_fault", lambda _: "it is not what it was")
    with pytest.raises(SnapshotDamaged, match="not what it was"):
        await take(tmp_path)
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_an_empty_or_strange_file_is_no_snapshot(tmp_path: Path) -> None:
    empty, strange = tmp_path / "a.db", tmp_path / "b.db"
    empty.touch()
    strange.write_bytes(b"strange " * 1000)
    assert snapshots.find_fault(empty) == "it is empty"
    assert snapshots.find_fault(strange)
    assert snapshots.list_snapshots(tmp_path) == []
