"""A database is brought up to date whole, or left as it was."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.writes import ClockReading, ClockState
from ilios import __version__
from ilios.database import migrations
from ilios.database.connection import DatabaseDamaged, open_reader, open_writer
from ilios.database.migrations import NewerDatabase
from ilios.database.queries import SqliteDocumentQueries, SqliteMaintenanceQueries
from schemas.options import ConversionOptions
from tests.waiting import wait_until

SECOND = "CREATE TABLE more (a TEXT NOT NULL) STRICT;\nINSERT INTO more VALUES ('x');\n"


def look(path: Path, question: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


def tables(path: Path) -> set[object]:
    return {name for (name,) in look(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")}


def version(path: Path) -> object:
    return look(path, "PRAGMA user_version")[0][0]


async def open_and_close(path: Path) -> None:
    async with open_writer(path):
        pass


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ilios.db"
    await open_and_close(path)
    names = {"documents", "usage", "cursors", "batches", "sweeps", "running", "upgrades", "history"}
    assert tables(path) == names
    assert version(path) == migrations.scripts()[-1][0]


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    await open_and_close(path)
    before = look(path, "SELECT * FROM sqlite_schema")
    await open_and_close(path)
    assert look(path, "SELECT * FROM sqlite_schema") == before


async def test_only_new_migrations_are_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ilios.db"
    await open_and_close(path)
    existing = migrations.scripts()
    monkeypatch.setattr(migrations, "scripts", lambda: [*existing, (existing[-1][0] + 1, SECOND)])
    await open_and_close(path)
    assert look(path, "SELECT * FROM more") == [("x",)]
    assert version(path) == existing[-1][0] + 1


@pytest.mark.parametrize("fault", ["SELECT nonsense;", "INSERT INTO more VALUES (NULL);", "BURN;"])
async def test_a_step_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path = tmp_path / "ilios.db"
    await open_and_close(path)
    existing = migrations.scripts()
    ahead = existing[-1][0] + 1
    broken = [*existing, (ahead, SECOND), (ahead + 1, SECOND.replace("more", "third") + fault)]
    with monkeypatch.context() as broken_release:
        broken_release.setattr(migrations, "scripts", lambda: broken)
        with pytest.raises((sqlite3.Error, DatabaseDamaged)):
            await open_and_close(path)
    assert version(path) == ahead, "the step before it is whole"
    assert "third" not in tables(path)
    monkeypatch.setattr(migrations, "scripts", lambda: broken[:-1])
    await open_and_close(path)


async def test_a_newer_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    await open_and_close(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerDatabase, match="99"):
        await open_and_close(path)
    assert path.read_bytes() == before


async def test_a_newer_database_is_refused_with_its_version_and_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ilios.db"
    existing = migrations.scripts()
    ahead = existing[-1][0] + 1
    with monkeypatch.context() as newer:
        newer.setattr(migrations, "scripts", lambda: [*existing, (ahead, SECOND)])
        newer.setattr(migrations, "__version__", "7.8.9")
        await open_and_close(path)
    with pytest.raises(NewerDatabase) as raised:
        await open_and_close(path)
    assert f"has step {ahead} of the schema" in str(raised.value)
    assert "Install ilios 7.8.9 again, or a newer one." in str(raised.value)


async def test_a_database_of_before_running_times_keeps_its_rows_and_its_last_sweep(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ilios.db"
    with closing(sqlite3.connect(path)) as connection:
        for number, script in migrations.scripts()[:6]:
            connection.executescript(f"{script}; PRAGMA user_version = {number};")
        connection.execute("INSERT INTO cursors VALUES ('persister', 's', 'c', 17)")
        connection.execute("INSERT INTO sweeps VALUES ('first', 1000), ('last', 1768471200000)")
        connection.execute(
            "INSERT INTO documents (tenant, id, state, file_name, content_type, priority, "
            "retention_days, operation, submitted_at, submitted_sequence, expires_at) "
            "VALUES ('default', 'a', 'pending', 'a', 'b', 5, 9, 'convert', 0, 1, 0)"
        )
        connection.commit()
    await open_and_close(path)
    assert look(path, "SELECT sequence FROM cursors") == [(17,)]
    assert look(path, "SELECT id, state FROM documents") == [("a", "pending")]
    async with open_reader(path) as reading:
        upkeep = SqliteMaintenanceQueries(reading)
        last = ClockReading(datetime(2026, 1, 15, 10, tzinfo=UTC), timedelta())
        assert await upkeep.clock_state() == ClockState(trusted=last, latest=last)
        assert await upkeep.running_time() == timedelta()
    assert look(path, "SELECT program FROM upgrades WHERE version = 7") == [(__version__,)]


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    numbers = [number for number, _ in migrations.scripts()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_script_is_split_at_its_statements() -> None:
    script = "-- a; comment;\nCREATE TABLE a (\n  b TEXT -- why;\n);\n\nSELECT 1;\n\n"
    assert migrations.split_statements(script) == ["CREATE TABLE a (\n  b TEXT\n)", "SELECT 1"]


@pytest.mark.parametrize("content", [b"this is no database at all, whatever its name" * 100])
async def test_a_file_that_is_no_database_is_refused_and_not_touched(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "ilios.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseDamaged, match=r"ilios\.db"):
        await open_and_close(path)
    assert path.read_bytes() == content


async def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    await open_and_close(path)
    with sqlite3.connect(path) as connection:
        rows = (("reader" * 10 + str(number), "s", "c", number) for number in range(9999))
        connection.executemany("INSERT INTO cursors VALUES (?, ?, ?, ?)", rows)
    connection.close()
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + b"\x5a" * 8192 + whole[middle + 8192 :])
    with pytest.raises(DatabaseDamaged):
        await open_and_close(path)
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DatabaseDamaged):
        await open_and_close(path)
    path.write_bytes(whole)
    await open_and_close(path)


async def test_a_commit_survives_a_power_cut_and_only_the_owner_may_look(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    async with open_writer(path) as connection:
        for question, answer in (
            ("PRAGMA journal_mode", "wal"),
            ("PRAGMA synchronous", 2),
            ("PRAGMA foreign_keys", 1),
        ):
            ((found,),) = await connection.fetchall(question)
            assert found == answer, question
        for file in tmp_path.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file


async def test_the_writer_trusts_neither_the_schema_nor_the_pages_of_a_file(
    tmp_path: Path,
) -> None:
    async with open_writer(tmp_path / "ilios.db") as connection:
        for question, answer in (("PRAGMA trusted_schema", 0), ("PRAGMA cell_size_check", 1)):
            ((found,),) = await connection.fetchall(question)
            assert found == answer, question


async def test_a_reader_sees_committed_rows_and_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "with space?#%.db"
    async with open_writer(path) as writing, open_reader(path) as reading:
        await writing.execute("INSERT INTO cursors VALUES ('a', 'b', 'c', 1)")
        assert list(await reading.fetchall("SELECT sequence FROM cursors")) == [(1,)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await reading.execute("DELETE FROM cursors")


async def test_a_reader_does_not_make_a_database(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        async with open_reader(tmp_path / "none.db"):
            pytest.fail("there is none")
    # The thread it was tried in ends by itself, and wants the loop for it.
    await wait_until(lambda: not any("worker" in thread.name for thread in threading.enumerate()))
    assert list(tmp_path.iterdir()) == []


async def test_engine_and_model_of_a_former_database_become_options(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    with closing(sqlite3.connect(path)) as connection:
        for number, script in migrations.scripts()[:7]:
            connection.executescript(f"{script}; PRAGMA user_version = {number};")
        connection.executemany(
            "INSERT INTO documents (tenant, id, state, file_name, content_type, priority, "
            "retention_days, operation, submitted_at, submitted_sequence, expires_at, "
            "engine_wanted, model_wanted) "
            "VALUES ('default', ?, 'pending', 'a', 'b', 5, 9, 'convert', 0, 1, 0, ?, ?)",
            [("a", None, None), ("b", "local", None), ("c", "mistral", "m-1")],
        )
        connection.commit()
    await open_and_close(path)
    async with open_reader(path) as reading:
        reads = SqliteDocumentQueries(reading)
        records = [await reads.document("default", name) for name in "abc"]
    assert [record.options for record in records if record] == [
        ConversionOptions(),
        ConversionOptions(engine="local"),
        ConversionOptions(engine="mistral", model="m-1"),
    ]
    assert [(record.warnings, record.quality) for record in records if record] == [((), None)] * 3
    assert not any(record.partial for record in records if record)
