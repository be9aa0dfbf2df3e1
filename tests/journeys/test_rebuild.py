"""A damaged database is refused and rebuilt from a snapshot and the log, equal row by row."""

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import nats
import pytest

from ilios.database.recovery.wal import sidecar
from ilios.integrity import losses
from ilios.integrity.losses import Loss, LossesFile
from schemas.ids import new_id
from tests.journeys.commands import CommandResult, run_ilios
from tests.journeys.conftest import CopyOnce
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import (
    ServiceClient,
    billed_documents,
    document_states,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

PAGE = 4096  # bytes
WITHIN = 60.0  # seconds
TABLES = {
    "documents": "SELECT * FROM documents WHERE removed_at IS NULL ORDER BY id",
    # Without the blob keys and the time of erasure, which only the janitor writes.
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


async def some_work(service: RunningService, client: ServiceClient, documents: int) -> None:
    """Have documents converted, one fail and one deleted."""
    for _ in range(documents):
        assert await client.is_accepted()
    broken = {"data": b"%PDF-1.7 broken", "headers": {"Content-Type": "application/pdf"}}
    assert (await client.send("POST", "/api/documents/submit", **broken)).status == 202
    database = service.data_dir / "ilios.db"
    await wait_until(lambda: len(document_states(database)) >= documents + 1, within=WITHIN)
    await wait_until(
        lambda: not {"pending", "processing"} & {*document_states(database).values()}, within=WITHIN
    )
    removed = next(iter(client.accepted_texts))
    assert (await client.send("DELETE", f"/api/documents/{removed}")).status == 200
    del client.accepted_texts[removed]


@pytest.fixture
def data(copy_once: CopyOnce, tmp_path: Path) -> Path:
    """The data of a service that did some work and was stopped."""
    copy_once("rebuild", work_and_stop, tmp_path / "data")
    return tmp_path / "data"


async def work_and_stop(data: Path) -> None:
    environ = {"ILIOS_LOCAL_PAGE_PRICE": "777", "ILIOS_SNAPSHOT_HOURS": "0"}
    async with running_service(data, **environ) as service, ServiceClient(service) as client:
        await some_work(service, client, 4)


def damage(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(PAGE)
        file.write(os.urandom(2 * PAGE))


async def refused(data: Path) -> CommandResult:
    result = await run_ilios(data, "serve", PORT="0")
    assert result.code == 3
    return result


async def test_a_damaged_database_is_refused_and_rebuilt_from_the_log(data: Path) -> None:
    database = data / "ilios.db"
    before = rows(database)
    damage(database)
    assert "`ilios rebuild`" in (await refused(data)).errors

    made = await run_ilios(data, "rebuild")
    assert made.code == 0, made
    assert "was rebuilt; the old one is now ilios.db.damaged-" in made.out
    after = rows(database)
    for table in ("documents", "removed", "batches"):
        assert after[table] == before[table]
    # A damaged file may have lost the prices that were billed; then the current ones are used.
    assert [row[:9] for row in after["usage"]] == [row[:9] for row in before["usage"]]
    assert [one.name for one in data.glob("ilios.db.damaged-*")]

    async with running_service(data) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        (new,) = client.accepted_texts
        await wait_until(lambda: document_states(database).get(new) == "completed", within=WITHIN)
        assert len(billed_documents(database)) == len(before["usage"]) + 1


@pytest.mark.slow
async def test_events_that_left_the_log_are_rebuilt_from_the_snapshot(data: Path) -> None:
    database = data / "ilios.db"
    async with running_service(data) as service, ServiceClient(service) as client:
        await wait_until(lambda: any((data / "snapshots").glob("ilios-*Z.db")), within=WITHIN)
        await some_work(service, client, 3)
    before = rows(database)
    assert (await run_ilios(data, "rebuild", "--snapshot", "none")).code == 0, "it is in order"
    damage(database)
    made = await run_ilios(data, "rebuild")
    assert made.code == 0, made
    assert "snapshot   ilios-" in made.out
    assert rows(database) == before, "the snapshot has what was billed"


@pytest.mark.slow
async def test_a_sound_database_is_proven_equal_and_not_changed(data: Path) -> None:
    database = data / "ilios.db"
    before = database.read_bytes()
    for words in (("--check",), ()):
        result = await run_ilios(data, "rebuild", *words)
        assert result.code == 0, result
        assert "sound, and equal row by row" in result.out
        assert "Nothing was changed" in result.out
    assert database.read_bytes() == before
    assert sorted(path.name for path in data.glob("ilios.db*")) == ["ilios.db", "ilios.db.lock"]


async def test_a_check_of_a_damaged_database_changes_nothing(data: Path) -> None:
    database = data / "ilios.db"
    damage(database)
    before = database.read_bytes()
    result = await run_ilios(data, "rebuild", "--check")
    assert result.code == 1
    assert "damaged" in result.out
    assert database.read_bytes() == before
    assert not list(data.glob("ilios.db.damaged-*"))


@pytest.mark.slow
async def test_a_missing_database_is_rebuilt(data: Path) -> None:
    database = data / "ilios.db"
    before = rows(database)
    database.unlink()
    made = await run_ilios(data, "rebuild")
    assert made.code == 0, made
    assert "cannot be read" not in made.out, "there is none that could be"
    assert rows(database)["documents"] == before["documents"]


@pytest.mark.slow
async def test_events_of_readiness_checks_are_not_reported_as_malformed(data: Path) -> None:
    async with running_service(data) as service, ServiceClient(service) as client:
        assert (await client.send("GET", "/readyz")).status == 200  # by an event of its own
    result = await run_ilios(data, "rebuild", "--check")
    assert result.code == 0, result
    assert "malformed" not in result.out


async def test_a_row_changed_by_hand_is_found(data: Path) -> None:
    database = data / "ilios.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE documents SET pages = 99 WHERE state = 'completed'")
        connection.commit()
    result = await run_ilios(data, "rebuild", "--check")
    assert result.code == 1
    assert "rows differ in the old database" in result.out


@pytest.mark.slow
async def test_a_rebuild_without_the_log_has_to_be_accepted(data: Path) -> None:
    database = data / "ilios.db"
    damage(database)
    before = database.read_bytes()
    shutil.rmtree(data / "nats" / "jetstream")
    result = await run_ilios(data, "rebuild")
    assert result.code == 1
    assert "there is no log" in result.errors
    assert "--accept-gap" in result.errors
    assert database.read_bytes() == before
    result = await run_ilios(data, "rebuild", "--accept-gap")
    assert result.code == 0, result
    assert rows(database) == {table: [] for table in TABLES}


async def test_a_rebuild_is_refused_while_the_service_runs(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data"):
        result = await run_ilios(tmp_path / "data", "rebuild")
        assert result.code == 3
        assert "in use by another process" in result.errors


@pytest.mark.slow
async def test_a_missing_snapshot_is_reported(data: Path) -> None:
    result = await run_ilios(data, "rebuild", "--snapshot", "ilios-20260101T000000Z.db")
    assert result.code == 3
    assert "there is none of this name" in result.errors


@pytest.mark.slow
async def test_a_truncated_database_with_its_wal_is_rebuilt(data: Path) -> None:
    database = data / "ilios.db"
    before = rows(database)
    async with running_service(data) as service:
        wal = sidecar(database, "-wal")
        await wait_until(lambda: wal.exists() and wal.stat().st_size > 0, within=WITHIN)
        await service.kill("service")
    os.truncate(database, database.stat().st_size // 2)
    made = await run_ilios(data, "rebuild")
    assert made.code == 0, made
    assert "was rebuilt; the old one is now ilios.db.damaged-" in made.out
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
@pytest.mark.parametrize(
    "there", [pytest.param(True, marks=pytest.mark.slow), False], ids=["an empty directory", "none"]
)
async def test_a_command_on_a_wrong_data_directory_creates_nothing_and_names_the_setting(
    tmp_path: Path, words: tuple[str, ...], *, there: bool
) -> None:
    wrong = tmp_path / "wrong"
    if there:
        wrong.mkdir()
    result = await run_ilios(wrong, *words)
    assert result.code == 3
    assert str(wrong) in result.errors
    assert "ILIOS_DATA_DIR" in result.errors
    assert "--accept-gap" not in result.errors
    assert list(tmp_path.rglob("*")) == ([wrong] if there else [])


@pytest.mark.slow
async def test_a_rebuild_does_not_create_a_mistyped_database(data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "ilios.db"
    result = await run_ilios(data, "rebuild", "--check", LOCAL_DB_PATH=str(elsewhere))
    assert result.code == 3
    assert "LOCAL_DB_PATH" in result.errors
    assert not elsewhere.parent.exists()


@pytest.mark.slow
async def test_a_newer_database_is_refused_by_serve_and_rebuild(data: Path) -> None:
    database = data / "ilios.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("INSERT INTO upgrades VALUES (99, '7.8.9')")
        connection.commit()
    before = database.read_bytes()
    for words in (("serve",), ("rebuild", "--check"), ("rebuild", "--accept-gap")):
        result = await run_ilios(data, *words, PORT="0")
        assert result.code == 3, result
        assert "Install ilios 7.8.9 again, or a newer one" in result.errors
        assert "Traceback" not in result.errors
    assert database.read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as others")
async def test_files_created_by_root_belong_to_the_user_of_the_service(data: Path) -> None:
    owner, group = 54321, 54322
    for path in (data, *data.rglob("*")):
        os.lchown(path, owner, group)
    database = data / "ilios.db"
    commands = (("rebuild",), ("rebuild", "--check"), ("dead", "list"), ("losses",))
    for command in commands:
        damage(database)
        result = await run_ilios(data, *command)
        assert "going on as uid 54321, who owns" in result.errors, result
        if command == ("rebuild",):
            assert result.code == 0, result
    shutil.rmtree(data / "nats")  # so that all of it is created again
    assert (await run_ilios(data, "rebuild", "--accept-gap")).code == 0
    now = datetime.now(UTC)
    lost = Loss(kind="end", created="before", first=1, last=1, found_at=now, since=None, until=now)
    (data / losses.LOSSES_FILE).write_bytes(msgspec.json.encode(LossesFile((lost,))))
    os.chown(data / losses.LOSSES_FILE, owner, group)
    assert "Accepted" in (await run_ilios(data, "losses", "--accept")).out
    others = {
        str(path.relative_to(data)): (path.lstat().st_uid, path.lstat().st_gid)
        for path in (data, *data.rglob("*"))
        if (path.lstat().st_uid, path.lstat().st_gid) != (owner, group)
    }
    assert others == {}
    assert list((data / "nats" / "jetstream").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("completed")
async def test_a_rebuild_killed_halfway_is_refused_by_the_service_and_repeated(
    tmp_path: Path,
) -> None:
    database = tmp_path / "ilios.db"
    before = rows(database)
    damage(database)
    killed = await run_ilios(tmp_path, "rebuild", armed="swapping.aside")
    assert killed.code == -9
    assert not database.exists()
    refused = await run_ilios(tmp_path, "serve", PORT="0")
    assert refused.code == 3
    assert "a rebuild was broken off" in refused.errors
    made = await run_ilios(tmp_path, "rebuild")
    assert made.code == 0, made
    assert rows(database) == before
    assert len(list(tmp_path.glob("ilios.db.damaged-*Z"))) == 1


async def test_a_rejected_submission_is_rebuilt_as_it_was(data: Path) -> None:
    database = data / "ilios.db"
    name = new_id()
    async with running_service(data):
        publisher = await nats.connect((data / "nats" / "publisher.url").read_text().strip())
        await publisher.request(f"ilios.document.submitted.p05.default.{name}", b"{}", timeout=10)
        await publisher.close()
        await wait_until(lambda: document_states(database).get(name) == "failed", within=WITHIN)
    result = await run_ilios(data, "rebuild", "--check")
    assert result.code == 0, result
    assert "sound, and equal row by row" in result.out
