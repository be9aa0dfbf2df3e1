"""A rebuild from snapshot and log works whatever has become of the old database."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.writes import (
    ApplyEvents,
    ClockReading,
    ClockState,
    Cursor,
    Hold,
    MarkClock,
    MarkRunningTime,
    MarkSweep,
)
from bus import subjects
from bus.connection import Connection
from bus.publisher import Publisher
from ilios.cli.rebuild import format_lines
from ilios.database import migrations
from ilios.database.connection import open_reader
from ilios.database.migrations import NewerDatabase
from ilios.database.queries import SqliteMaintenanceQueries
from ilios.database.recovery import snapshots
from ilios.database.recovery.rebuild import Gap, RebuildReport, rebuild
from ilios.database.recovery.wal import sidecar
from ilios.database.sqlite import DamageMonitor
from ilios.nats.server import NatsServer
from ilios.secret import Secret
from ilios.settings.settings import Settings
from tests import events
from tests.ilios.database.db import history, open_database

DOCUMENTS = 60
SUFFIXES = ("", "-wal", "-shm")


class DamagedDatabase:
    """A data directory on a bus, with a database as a killed service leaves it."""

    def __init__(self, settings: Settings, template: Path) -> None:
        self.settings = settings
        self.database = settings.database_path
        self._template = template

    @property
    def wal(self) -> Path:
        return sidecar(self.database, "-wal")

    def restore(self) -> None:
        """Put the files back as they were before anything was done to them."""
        for path in self.database.parent.glob("ilios.db*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for suffix in SUFFIXES:
            shutil.copyfile(sidecar(self._template, suffix), sidecar(self.database, suffix))

    async def rebuild(self) -> RebuildReport:
        """Rebuild and make sure that all is there, and that the report can be printed."""
        report = await rebuild(self.settings, check=False, accept_gap=True)
        assert "".join(format_lines(report, check=False))
        assert report.is_proven
        with closing(sqlite3.connect(self.database)) as connection:
            count = connection.execute("SELECT count(*) FROM documents").fetchone()
            assert count == (DOCUMENTS,)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return report


@pytest.fixture
async def damaged(
    connection: Connection, nats_server: NatsServer, tmp_path: Path
) -> DamagedDatabase:
    publisher = Publisher(connection)
    for number in range(1, DOCUMENTS + 1):
        await publisher.publish(events.submitted(number))
    data = tmp_path / "data"
    data.mkdir()
    settings = Settings(data_dir=data, nats_url=Secret(nats_server.url("operator")))
    assert (await rebuild(settings, check=False, accept_gap=False)).replaced
    template = tmp_path / "template.db"
    async with open_database(settings.database_path) as db:
        for minutes in range(1, 40):
            write = MarkRunningTime(timedelta(minutes=minutes))
            await db.store.commit([write])  # type: ignore[list-item]
        for suffix in SUFFIXES:
            shutil.copyfile(sidecar(settings.database_path, suffix), sidecar(template, suffix))
    return DamagedDatabase(settings, template)


def fill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def halve(*paths: Path) -> None:
    for path in paths:
        os.truncate(path, path.stat().st_size // 2)


def zero_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(2 * 4096))


def be_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "strange").touch()


def be_a_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


DAMAGES: dict[str, Callable[[DamagedDatabase], None]] = {
    "cut in half beside its WAL": lambda ruin: halve(ruin.database),
    "both cut in half": lambda ruin: halve(ruin.database, ruin.wal),
    "a header that was cut": lambda ruin: os.truncate(ruin.database, 60),
    "one byte": lambda ruin: os.truncate(ruin.database, 1),
    "no byte": lambda ruin: os.truncate(ruin.database, 0),
    "the WAL alone": lambda ruin: ruin.database.unlink(),
    "random bytes": lambda ruin: fill(ruin.database, random.Random(1).randbytes(50_000)),
    "zeros": lambda ruin: fill(ruin.database, bytes(50_000)),
    "pages of zeros": lambda ruin: zero_pages(ruin.database),
    "a directory": lambda ruin: be_a_directory(ruin.database),
    "a WAL that is a directory": lambda ruin: be_a_directory(ruin.wal),
    "an index that is a directory": lambda ruin: be_a_directory(sidecar(ruin.database, "-shm")),
    "a link to nowhere": lambda ruin: be_a_link_to_nowhere(ruin.database),
    "text": lambda ruin: fill(ruin.database, b"dear diary " * 1000),
    "another database": lambda ruin: another(ruin.database),
}  # fmt: skip


def another(path: Path) -> None:
    """Put there a sound database whose tables have our names and hold something else."""
    for suffix in SUFFIXES:
        sidecar(path, suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE documents (tenant, id, pages)")
        connection.execute("INSERT INTO documents VALUES (1, x'00ff', 'many'), (NULL, 'a', 1e300)")
        connection.execute("CREATE TABLE cursors (reader, created, sequence)")
        connection.execute("INSERT INTO cursors VALUES ('persister', 7, 'far')")
        connection.execute(
            "CREATE TABLE usage (tenant, document_id, operation, engine, model, pages, "
            "unit_micros, base_micros, margin_percent, total_micros)"
        )
        connection.commit()


async def test_a_rebuild_continues_in_any_state_of_the_old_file(damaged: DamagedDatabase) -> None:
    for name, way in DAMAGES.items():
        damaged.restore()
        way(damaged)
        try:
            report = await damaged.rebuild()
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
        assert report.replaced, name


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
async def test_an_old_file_that_cannot_be_read_is_set_aside(damaged: DamagedDatabase) -> None:
    damaged.restore()
    damaged.database.chmod(0)
    report = await damaged.rebuild()
    assert report.replaced
    assert report.old_fault
    assert "cannot be read" in report.old_fault


@pytest.mark.slow
async def test_a_few_dozen_mutilations_at_random_all_end_in_a_sound_database(
    damaged: DamagedDatabase,
) -> None:
    for seed in range(48):
        damaged.restore()
        mutilate(damaged, random.Random(seed))
        try:
            await damaged.rebuild()
        except NewerDatabase:
            # A single byte makes it look like one; all else is sound, and what to do is in there.
            with closing(sqlite3.connect(damaged.database)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), seed
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error


def mutilate(damaged: DamagedDatabase, chance: random.Random) -> None:
    """Harm one to three places of the three files."""
    for _ in range(chance.randint(1, 3)):
        path = sidecar(damaged.database, chance.choice(SUFFIXES))
        if not path.exists() or not (size := path.stat().st_size):
            continue
        match chance.randrange(6):
            case 0:
                os.truncate(path, chance.randrange(size))
            case 1:
                path.unlink()
            case 2:
                overwrite(path, chance.randrange(min(size, 200)), chance.randbytes(16))
            case 3:
                overwrite(path, chance.randrange(size), chance.randbytes(4096))
            case 4:
                overwrite(path, chance.randrange(size) // 4096 * 4096, bytes(4096))
            case 5:
                path.write_bytes(path.read_bytes() + chance.randbytes(chance.randrange(9000)))


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


async def test_a_hold_after_a_jump_of_the_clock_outlives_a_rebuild(
    damaged: DamagedDatabase,
) -> None:
    damaged.restore()
    now, hour = datetime(2027, 3, 1, tzinfo=UTC), timedelta(hours=1)
    believed, seen = ClockReading(now - timedelta(days=400), hour), ClockReading(now, 9 * hour)
    state = ClockState(believed, seen, Hold(2 * hour, timedelta(days=400)))
    async with open_database(damaged.database) as db:
        for write in (MarkSweep(believed.wall_time), MarkClock(state)):
            await db.store.commit([write])  # type: ignore[list-item]
    with closing(sqlite3.connect(damaged.database)) as connection:
        connection.execute("DELETE FROM documents WHERE id = ?", (events.id_of(1),))
        connection.commit()
    assert (await damaged.rebuild()).replaced
    async with open_database(damaged.database), open_reader(damaged.database) as reading:
        assert await SqliteMaintenanceQueries(reading).clock_state() == state
        assert await SqliteMaintenanceQueries(reading).running_time() == 9 * hour


async def test_the_fullest_snapshot_is_used_and_another_is_named_where_it_has_a_gap(
    damaged: DamagedDatabase, tmp_path: Path
) -> None:
    directory, lost = damaged.settings.snapshots_dir, tmp_path / "lost.db"
    async with open_database(lost) as db:
        published = history(*map(events.submitted, range(100, 100 + 2 * DOCUMENTS)))
        (write,) = (
            ApplyEvents("persister", tuple(published), Cursor("ILIOS_EVENTS", "before", 500)),
        )
        await db.store.commit([write])  # type: ignore[list-item]
    first = datetime(2026, 1, 1, tzinfo=UTC)
    best = await snapshots.create(lost, directory, DamageMonitor(lost), first)
    later = await snapshots.create(
        damaged.database, directory, DamageMonitor(damaged.database), first + timedelta(days=1)
    )
    damaged.database.unlink()
    with pytest.raises(Gap, match="the log was created on") as raised:
        await rebuild(damaged.settings, check=False, accept_gap=False)
    assert best.name in str(raised.value)
    assert f"--snapshot {later.name}" in str(raised.value)
    report = await rebuild(damaged.settings, check=False, accept_gap=False, snapshot=later.name)
    assert (report.snapshot, report.replaced) == (later, True)


async def test_a_newer_database_is_left_alone(
    damaged: DamagedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged.restore()
    existing = migrations.scripts()
    step = (existing[-1][0] + 1, "CREATE TABLE more (a TEXT);\n")
    with monkeypatch.context() as newer:
        newer.setattr(migrations, "scripts", lambda: [*existing, step])
        newer.setattr(migrations, "__version__", "7.8.9")
        async with open_database(damaged.database):
            pass
    before = damaged.database.read_bytes()
    with pytest.raises(NewerDatabase, match=r"Install ilios 7\.8\.9 again, or a newer one"):
        await rebuild(damaged.settings, check=False, accept_gap=True)
    assert damaged.database.read_bytes() == before
    assert sorted(path.name for path in damaged.database.parent.glob("ilios.db*")) == [
        "ilios.db",
        "ilios.db.lock",
    ]


async def test_a_rebuilt_database_with_a_fault_replaces_nothing(
    damaged: DamagedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged.restore()
    zero_pages(damaged.database)
    before = damaged.database.read_bytes()
    monkeypatch.setattr("ilios.database.recovery.rebuild.find_faults", lambda *_: ["a fault"])
    report = await rebuild(damaged.settings, check=False, accept_gap=True)
    assert (report.is_proven, report.replaced) == (False, False)
    assert "WRONG      a fault" in format_lines(report, check=False)
    assert damaged.database.read_bytes() == before
    left = {path.name for path in damaged.database.parent.glob("ilios.db*")}
    assert not left & {"ilios.db.rebuilt", "ilios.db.control", "ilios.db.compared"}


async def test_a_database_of_a_version_with_other_rejections_or_none_is_sound(
    connection: Connection, damaged: DamagedDatabase
) -> None:
    subject = subjects.subject_for(events.submitted(DOCUMENTS + 1))
    await Publisher(connection).publish_raw(subject, b'{"type":"document.submitted/1"}', {})
    fill(damaged.database, b"")
    assert (await rebuild(damaged.settings, check=False, accept_gap=True)).replaced
    with closing(sqlite3.connect(damaged.database)) as earlier:
        for table in ("documents", "history"):
            earlier.execute(f"UPDATE {table} SET reason = 'Else.' WHERE code = 'invalid_event'")
        earlier.commit()
    report = await rebuild(damaged.settings, check=True, accept_gap=False)
    assert "old        sound, and equal row by row" in format_lines(report, check=True)
    with closing(sqlite3.connect(damaged.database)) as earlier:
        deleted = earlier.execute("DELETE FROM documents WHERE code = 'invalid_event'").rowcount
        earlier.commit()
    assert deleted == 1
    report = await rebuild(damaged.settings, check=True, accept_gap=False)
    assert (report.is_proven, report.is_sound) == (True, True)
    lacking = "old        sound; it lacks rows that earlier versions did not store"
    assert lacking in format_lines(report, check=True)
    with closing(sqlite3.connect(damaged.database)) as ruined:
        ruined.execute("DELETE FROM documents WHERE id = ?", (events.id_of(1),))
        ruined.commit()
    assert not (await rebuild(damaged.settings, check=True, accept_gap=False)).is_sound
