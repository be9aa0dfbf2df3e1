"""With a key nothing in the files of a database can be read, and it behaves like a plain one."""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.writes import WriteRefused
from ilios.database import encryption
from ilios.database.connection import open_reader, open_writer, read_only_uri
from ilios.database.encryption import open_sqlite, raw_key
from ilios.database.recovery import snapshots, wal
from ilios.database.recovery.snapshots import contains_all_of
from ilios.database.sqlite import DamageMonitor, DatabaseDamaged
from ilios.secret import Secret
from schemas.events import AnyEvent
from tests import events
from tests.ilios.database.db import apply_write, history, open_database
from tests.ilios.database.keys import KEY, OTHER, files_with, using

NOW = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
MARKERS = (events.id_of(1).encode(), b"hello.txt", b"CREATE TABLE", b"SQLite format 3")


@pytest.fixture
def key() -> Iterator[None]:
    with using(KEY):
        yield


async def test_the_markers_are_found_where_nothing_is_encrypted(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(*history(events.submitted()))
        found = [files_with(tmp_path, marker) for marker in MARKERS]
    assert all(found), found


@pytest.mark.usefixtures("key")
async def test_neither_the_file_nor_its_log_nor_a_snapshot_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    async with open_database(path) as db:
        await db.apply(*history(events.submitted(), events.fetched(), events.converted()))
        assert wal.has_leftover(path)
        made = [
            await snapshots.create(path, tmp_path / "snapshots", DamageMonitor(path), later)
            for later in (NOW, NOW + timedelta(hours=1), NOW + timedelta(hours=2))
        ]
        assert files_with(tmp_path, *MARKERS) == []
        record = await db.reads.document("default", events.id_of(1))
        assert record
        assert record.state == "completed"
    assert files_with(tmp_path, *MARKERS) == []
    # Two remain, since the third one has been compared with them.
    assert snapshots.list_snapshots(tmp_path / "snapshots") == made[:0:-1]
    assert contains_all_of(made[1], made[2])
    assert snapshots.find_fault(made[2]) is None
    with using(OTHER):
        assert snapshots.find_fault(made[2]) == "file is not a database"


@pytest.mark.usefixtures("key")
async def test_errors_are_those_of_sqlite3_and_refuse_one_write_alone(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    async with open_database(path) as db:
        three: tuple[AnyEvent, ...] = (
            events.submitted(1),
            events.failed(1, reason="half \ud800 of it"),
            events.submitted(3),
        )
        writes = [
            apply_write(*history(event, first=number)) for number, event in enumerate(three, 1)
        ]
        answers = await db.store.commit(writes)
        assert [isinstance(answer, WriteRefused) for answer in answers] == [False, True, False]
        assert len(await db.table("documents")) == 2
    with closing(open_sqlite(path)) as one, closing(open_sqlite(path, timeout=0)) as two:
        with pytest.raises(sqlite3.IntegrityError):
            one.execute("INSERT INTO documents (tenant) VALUES (NULL)")
        one.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as busy:
            two.execute("BEGIN IMMEDIATE")
        assert busy.value.sqlite_errorcode == sqlite3.SQLITE_BUSY
        with pytest.raises(sqlite3.OperationalError, match="decode to UTF-8"):
            one.execute("SELECT CAST(x'ff' AS TEXT)").fetchall()


@pytest.mark.usefixtures("key")
async def test_damage_of_a_page_stops_every_answer(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    async with open_database(path) as db:
        await db.apply(*history(*map(events.submitted, range(1, 300))))
    with path.open("r+b") as file:
        file.seek(5 * 4096 + 100)
        file.write(b"\0")
    damage = DamageMonitor(path)
    async with open_reader(path, damage) as reading:
        with pytest.raises(DatabaseDamaged):
            await reading.fetchall("PRAGMA quick_check")
        with pytest.raises(DatabaseDamaged):
            await reading.fetchall("SELECT 1")
    with pytest.raises(DatabaseDamaged, match="ilios rebuild"):
        async with open_writer(path):
            pass


@pytest.mark.usefixtures("key")
async def test_the_log_of_a_killed_process_is_applied_and_damage_in_it_found(
    tmp_path: Path,
) -> None:
    path, killed = tmp_path / "ilios.db", tmp_path / "killed"
    killed.mkdir()
    async with open_database(path) as db:
        for number in range(1, 6):
            await db.apply(*history(events.submitted(number), first=number))
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(wal.sidecar(path, suffix), wal.sidecar(killed / path.name, suffix))
    left = killed / path.name
    assert wal.find_damage(left) is None
    log = wal.sidecar(left, "-wal")
    sound = log.read_bytes()
    log.write_bytes(sound[:5000] + bytes([sound[5000] ^ 1]) + sound[5001:])
    assert "write-ahead log is damaged" in (wal.find_damage(left) or "")
    log.write_bytes(sound)
    async with open_database(left) as db:
        assert len(await db.table("documents")) == 5


def test_64_digits_are_the_key_and_other_text_is_stretched_to_one(tmp_path: Path) -> None:
    assert raw_key(KEY) == KEY.get_secret_value()
    assert raw_key(Secret("AB" * 32)) == "ab" * 32
    # It must be the same for ever, or databases could not be opened any more.
    stretched = "9059"
    assert raw_key(OTHER).startswith(stretched)
    assert len(raw_key(OTHER)) == 64
    assert raw_key(OTHER) is raw_key(Secret(OTHER.get_secret_value()))
    with using(OTHER), closing(open_sqlite(tmp_path / "one.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    uri = read_only_uri(tmp_path / "one.db")
    with using(Secret(raw_key(OTHER))), closing(open_sqlite(uri)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_page_of_a_plain_database_does_not_look_encrypted(tmp_path: Path) -> None:
    plain, secret = tmp_path / "plain.db", tmp_path / "secret.db"
    with closing(open_sqlite(plain)) as connection:
        connection.execute("CREATE TABLE t (a)")
    with using(KEY), closing(open_sqlite(secret)) as connection:
        connection.execute("CREATE TABLE t (a)")
    assert (encryption.is_plain(plain), encryption.looks_encrypted(plain)) == (True, False)
    assert (encryption.is_plain(secret), encryption.looks_encrypted(secret)) == (False, True)
    damaged = bytearray(plain.read_bytes())
    damaged[:100] = bytes(range(100))
    plain.write_bytes(damaged)
    assert not encryption.looks_encrypted(plain)
    assert not encryption.looks_encrypted(tmp_path / "missing.db")


def test_without_a_key_sqlcipher_is_not_loaded() -> None:
    assert encryption.has_key() is False
    assert open_sqlite(":memory:").__class__ is sqlite3.Connection
    assert sys.modules["sqlite3"] is sqlite3
