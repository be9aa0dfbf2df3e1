"""A damaged database is refused, and made anew from a snapshot and the log: provably the same."""

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from ilios import log_losses
from ilios.database.wal import beside
from ilios.log_losses import Book, Loss
from tests.journeys.commands import Said, ilios
from tests.journeys.running import RunningService, running
from tests.journeys.visitors import Visitor, billed, ended
from tests.waiting import until

PAGE = 4096  # bytes
WITHIN = 60.0  # seconds
TABLES = {
    "documents": "SELECT * FROM documents WHERE removed_at IS NULL ORDER BY id",
    # Where their bytes lay, and since when they are gone, is the janitor's business.
    "removed": "SELECT id, state, removed_at, pages FROM documents WHERE removed_at ORDER BY id",
    "usage": "SELECT * FROM usage ORDER BY document_id",
    "batches": "SELECT * FROM batches ORDER BY id",
}


def rows(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return everything that is written down, but bookkeeping."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return {
            table: connection.execute(statement).fetchall() for table, statement in TABLES.items()
        }


async def some_work(service: RunningService, visitor: Visitor, documents: int) -> None:
    """Have documents converted, one fail and one deleted."""
    for _ in range(documents):
        assert await visitor.is_accepted()
    broken = {"data": b"%PDF-1.7 broken", "headers": {"Content-Type": "application/pdf"}}
    assert (await visitor.ask("POST", "/api/documents/submit", **broken)).status == 202
    database = service.data_dir / "ilios.db"
    await until(lambda: len(ended(database)) >= documents + 1, within=WITHIN)
    await until(lambda: not {"pending", "processing"} & {*ended(database).values()}, within=WITHIN)
    removed = next(iter(visitor.promised))
    assert (await visitor.ask("DELETE", f"/api/documents/{removed}")).status == 200
    del visitor.promised[removed]


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """The data of a service that did some work and was stopped."""
    data = tmp_path / "data"
    environ = {"ILIOS_LOCAL_PAGE_PRICE": "777", "ILIOS_SNAPSHOT_HOURS": "0"}
    async with running(data, **environ) as service, Visitor(service) as visitor:
        await some_work(service, visitor, 4)
    return data


def damage(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(PAGE)
        file.write(os.urandom(2 * PAGE))


async def refused(data: Path) -> Said:
    said = await ilios(data, "serve", PORT="0")
    assert said.code == 3
    return said


async def test_a_damaged_database_is_refused_and_made_anew_from_the_log(data: Path) -> None:
    database = data / "ilios.db"
    before = rows(database)
    damage(database)
    assert "`ilios rebuild`" in (await refused(data)).errors

    made = await ilios(data, "rebuild")
    assert made.code == 0, made
    assert "was made anew; the old one is kept as ilios.db.damaged-" in made.out
    after = rows(database)
    for table in ("documents", "removed", "batches"):
        assert after[table] == before[table]
    # The damaged file may not tell what was billed; then the prices of today are taken.
    assert [row[:9] for row in after["usage"]] == [row[:9] for row in before["usage"]]
    assert [one.name for one in data.glob("ilios.db.damaged-*")]

    async with running(data) as service, Visitor(service) as visitor:
        assert await visitor.is_accepted()
        (new,) = visitor.promised
        await until(lambda: ended(database).get(new) == "completed", within=WITHIN)
        assert len(billed(database)) == len(before["usage"]) + 1


async def test_what_the_log_no_longer_has_comes_from_the_snapshot(data: Path) -> None:
    database = data / "ilios.db"
    async with running(data) as service, Visitor(service) as visitor:
        await until(lambda: any((data / "snapshots").glob("ilios-*Z.db")), within=WITHIN)
        await some_work(service, visitor, 3)
    before = rows(database)
    assert (await ilios(data, "rebuild", "--snapshot", "none")).code == 0, "it is in order"
    damage(database)
    made = await ilios(data, "rebuild")
    assert made.code == 0, made
    assert "snapshot   ilios-" in made.out
    assert rows(database) == before, "the snapshot knows what was billed"


async def test_a_sound_database_is_proven_to_be_equal_and_left_alone(data: Path) -> None:
    database = data / "ilios.db"
    before = database.read_bytes()
    for words in (("--check",), ()):
        said = await ilios(data, "rebuild", *words)
        assert said.code == 0, said
        assert "sound, and equal row by row" in said.out
        assert "Nothing was changed" in said.out
    assert database.read_bytes() == before
    assert sorted(path.name for path in data.glob("ilios.db*")) == ["ilios.db", "ilios.db.lock"]


async def test_a_check_of_a_damaged_database_changes_nothing(data: Path) -> None:
    database = data / "ilios.db"
    damage(database)
    before = database.read_bytes()
    said = await ilios(data, "rebuild", "--check")
    assert said.code == 1
    assert "damaged" in said.out
    assert database.read_bytes() == before
    assert not list(data.glob("ilios.db.damaged-*"))


async def test_a_database_that_is_gone_is_made_anew(data: Path) -> None:
    database = data / "ilios.db"
    before = rows(database)
    database.unlink()
    made = await ilios(data, "rebuild")
    assert made.code == 0, made
    assert "cannot be read" not in made.out, "there is none that could be"
    assert rows(database)["documents"] == before["documents"]


async def test_what_the_service_writes_about_itself_is_not_malformed(data: Path) -> None:
    async with running(data) as service, Visitor(service) as visitor:
        assert (await visitor.ask("GET", "/readyz")).status == 200  # by an event of its own
    said = await ilios(data, "rebuild", "--check")
    assert said.code == 0, said
    assert "malformed" not in said.out


async def test_a_row_that_was_changed_behind_our_back_is_found(data: Path) -> None:
    database = data / "ilios.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE documents SET pages = 99 WHERE state = 'completed'")
        connection.commit()
    said = await ilios(data, "rebuild", "--check")
    assert said.code == 1
    assert "rows stand otherwise in the old database" in said.out


async def test_without_the_log_nothing_is_given_up_unless_it_is_accepted(data: Path) -> None:
    database = data / "ilios.db"
    damage(database)
    before = database.read_bytes()
    shutil.rmtree(data / "nats" / "jetstream")
    said = await ilios(data, "rebuild")
    assert said.code == 1
    assert "there is no log" in said.errors
    assert "--accept-gap" in said.errors
    assert database.read_bytes() == before
    said = await ilios(data, "rebuild", "--accept-gap")
    assert said.code == 0, said
    assert rows(database) == {table: [] for table in TABLES}


async def test_while_the_service_runs_nothing_is_rebuilt(tmp_path: Path) -> None:
    async with running(tmp_path / "data"):
        said = await ilios(tmp_path / "data", "rebuild")
        assert said.code == 3
        assert "in use by another process" in said.errors


async def test_a_snapshot_that_is_not_there_is_said(data: Path) -> None:
    said = await ilios(data, "rebuild", "--snapshot", "ilios-20260101T000000Z.db")
    assert said.code == 3
    assert "there is none of this name" in said.errors


async def test_a_database_cut_in_half_beside_its_log_is_made_anew(data: Path) -> None:
    database = data / "ilios.db"
    before = rows(database)
    async with running(data) as service:
        wal = beside(database, "-wal")
        await until(lambda: wal.exists() and wal.stat().st_size > 0, within=WITHIN)
        await service.kill("service")
    os.truncate(database, database.stat().st_size // 2)
    made = await ilios(data, "rebuild")
    assert made.code == 0, made
    assert "was made anew; the old one is kept as ilios.db.damaged-" in made.out
    for table in ("documents", "removed", "batches"):
        assert rows(database)[table] == before[table]


@pytest.mark.parametrize(
    "words",
    [
        ("rebuild", "--check"),
        ("rebuild",),
        ("rebuild", "--accept-gap"),
        ("dead", "list"),
        ("losses",),
        ("losses", "--accept"),
    ],
)
@pytest.mark.parametrize("there", [True, False], ids=["an empty directory", "none"])
async def test_where_no_service_has_run_nothing_is_made_and_the_setting_is_named(
    tmp_path: Path, words: tuple[str, ...], *, there: bool
) -> None:
    wrong = tmp_path / "wrong"
    if there:
        wrong.mkdir()
    said = await ilios(wrong, *words)
    assert said.code == 3
    assert str(wrong) in said.errors
    assert "ILIOS_DATA_DIR" in said.errors
    assert "--accept-gap" not in said.errors
    assert list(tmp_path.rglob("*")) == ([wrong] if there else [])


async def test_a_wrong_place_of_the_database_is_not_made(data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "ilios.db"
    said = await ilios(data, "rebuild", "--check", LOCAL_DB_PATH=str(elsewhere))
    assert said.code == 3
    assert "LOCAL_DB_PATH" in said.errors
    assert not elsewhere.parent.exists()


async def test_a_newer_database_is_left_alone_by_serve_and_rebuild(data: Path) -> None:
    database = data / "ilios.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("INSERT INTO upgrades VALUES (99, '7.8.9')")
        connection.commit()
    before = database.read_bytes()
    for words in (("serve",), ("rebuild", "--check"), ("rebuild", "--accept-gap")):
        said = await ilios(data, *words, PORT="0")
        assert said.code == 3, said
        assert "Install ilios 7.8.9 again, or a newer one" in said.errors
        assert "Traceback" not in said.errors
    assert database.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as others")
async def test_what_root_makes_belongs_to_the_user_of_the_service(data: Path) -> None:
    owner, group = 54321, 54322
    for path in (data, *data.rglob("*")):
        os.lchown(path, owner, group)
    database = data / "ilios.db"
    commands = (("rebuild",), ("rebuild", "--check"), ("dead", "list"), ("losses",))
    for command in commands:
        damage(database)
        said = await ilios(data, *command)
        assert "going on as uid 54321, who owns" in said.errors, said
        if command == ("rebuild",):
            assert said.code == 0, said
    shutil.rmtree(data / "nats")  # and so all of it is made anew
    assert (await ilios(data, "rebuild", "--accept-gap")).code == 0
    now = datetime.now(UTC)
    lost = Loss(kind="end", created="before", first=1, last=1, found_at=now, since=None, until=now)
    (data / log_losses.FILE).write_bytes(msgspec.json.encode(Book((lost,))))
    os.chown(data / log_losses.FILE, owner, group)
    assert "Accepted" in (await ilios(data, "losses", "--accept")).out
    others = {
        str(path.relative_to(data)): (path.lstat().st_uid, path.lstat().st_gid)
        for path in (data, *data.rglob("*"))
        if (path.lstat().st_uid, path.lstat().st_gid) != (owner, group)
    }
    assert others == {}
    assert list((data / "nats" / "jetstream").iterdir())
