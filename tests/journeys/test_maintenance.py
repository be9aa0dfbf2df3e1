"""Retention, snapshots and lost events on a real service, with times moved in the database."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from ilios.database.recovery import snapshots
from tests import documents
from tests.journeys.data_directory import DAY, blob_names, change
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import (
    FREQUENT_JANITOR,
    Client,
    kill_with_unfinished,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

WITHIN = 60.0  # seconds
FUTURE = ("ilios-20990101T000000Z.db", "ilios-20990102T000000Z.db")


async def test_an_expired_document_leaves_only_its_receipt_and_its_usage(
    tmp_path: Path, completed: str
) -> None:
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    async with running_service(tmp_path, **FREQUENT_JANITOR) as service:
        client = Client(service)
        await client.wait_for(completed, "deleted")
        status, body = await client.get(f"/api/documents/{completed}")
        assert (status, b"document_expired" in body) == (410, True)
        assert (await client.get(f"/api/documents/{completed}/original"))[0] == 410
        await wait_until(lambda: not blob_names(tmp_path))
        _, summary = await client.get("/api/usage/summary")
        assert b'"totalDocuments":1' in summary


async def test_what_is_archived_keeps_its_markdown_and_moves_its_original(
    tmp_path: Path, completed: str
) -> None:
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    async with running_service(tmp_path, ILIOS_RETENTION="archive", **FREQUENT_JANITOR) as service:
        client = Client(service)
        await client.wait_for(completed, "archived")
        status, body = await client.get(f"/api/documents/{completed}")
        assert (status, b"Meridian" in body) == (200, True)
        status, body = await client.get(f"/api/documents/{completed}/original")
        assert (status, body) == (200, documents.pdf("Meridian"))
        kinds = {blob.partition("+")[0] for blob in blob_names(tmp_path)}
        assert kinds == {"archive", "markdown", "results"}


@pytest.mark.slow
async def test_nothing_expires_when_the_clock_has_jumped_while_the_service_was_off(
    tmp_path: Path, completed: str
) -> None:
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    change(tmp_path, f"UPDATE sweeps SET at = at - 400 * {DAY}")
    async with running_service(tmp_path, **FREQUENT_JANITOR) as service:
        client = Client(service)
        other = await client.submit(documents.pdf("later"))
        await client.wait_for(other, "completed")
        assert (await client.status(completed))["status"] == "completed"


@pytest.mark.slow
async def test_documents_whose_bus_was_deleted_are_completed(tmp_path: Path) -> None:
    names = await kill_with_unfinished(tmp_path, 8)
    shutil.rmtree(tmp_path / "nats" / "jetstream", ignore_errors=True)
    change(tmp_path, "UPDATE documents SET submitted_at = submitted_at - 600000")
    async with running_service(tmp_path, **FREQUENT_JANITOR) as service:
        client = Client(service)
        for name in names:
            await client.wait_for(name, "completed")
        _, summary = await client.get("/api/usage/summary")
        assert b'"totalOperations":8' in summary


def counted(data: Path, question: str) -> int:
    with closing(sqlite3.connect(f"file:{data / 'ilios.db'}?mode=ro", uri=True)) as connection:
        return int(connection.execute(question).fetchone()[0])


def passed_since(data: Path, ran: int) -> bool:
    return counted(data, "SELECT seen_ran FROM running") > ran


@pytest.mark.slow
@pytest.mark.usefixtures("completed")
async def test_snapshots_of_the_future_neither_prevent_new_ones_nor_readiness(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "snapshots"
    directory.mkdir()
    for name in FUTURE:
        shutil.copy(tmp_path / "ilios.db", directory / name)
    async with running_service(tmp_path) as service:
        client = Client(service)
        await wait_until(lambda: len(list(directory.glob("ilios-20[!9]*Z.db"))) == 1, within=WITHIN)
        await wait_until(lambda: len(snapshots.list_snapshots(directory)) == 2, within=WITHIN)
        assert snapshots.list_snapshots(directory)[0].name not in FUTURE
        assert (await client.get("/readyz"))[0] == 200
    # It is not due again at the next start, although another of the future is still there.
    found = snapshots.list_snapshots(directory)
    async with running_service(tmp_path) as service:
        name = await Client(service).submit(documents.pdf("later"))
        await Client(service).wait_for(name, "completed")
        assert (await Client(service).get("/readyz"))[0] == 200
        assert snapshots.list_snapshots(directory) == found


@pytest.mark.slow
async def test_a_retention_hold_survives_restarts_and_ends_after_a_day_of_running(
    tmp_path: Path, completed: str
) -> None:
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    change(tmp_path, f"UPDATE sweeps SET at = at - 400 * {DAY}")
    for hours in (0, 20):  # of running, until then
        change(tmp_path, f"UPDATE running SET ran = ran + {hours * DAY // 24}")
        ran = counted(tmp_path, "SELECT ran FROM running")
        async with running_service(tmp_path, **FREQUENT_JANITOR) as service:
            client = Client(service)
            await wait_until(partial(passed_since, tmp_path, ran), within=WITHIN)
            assert (await client.status(completed))["status"] == "completed"
            assert counted(tmp_path, "SELECT held_since IS NOT NULL FROM running")
    change(tmp_path, f"UPDATE running SET ran = ran + {4 * DAY // 24}")
    async with running_service(tmp_path, **FREQUENT_JANITOR) as service:
        await Client(service).wait_for(completed, "deleted")
    assert not counted(tmp_path, "SELECT held_since IS NOT NULL FROM running")


@pytest.mark.slow
async def test_an_original_moved_before_a_kill_is_found_in_the_archive(
    tmp_path: Path, completed: str
) -> None:
    change(tmp_path, f"UPDATE documents SET expires_at = expires_at - 366 * {DAY}")
    service = RunningService(tmp_path, ILIOS_RETENTION="archive", **FREQUENT_JANITOR)
    service.armed = "retention.moved"
    starting = asyncio.ensure_future(service.start())
    await asyncio.wait([starting])
    starting.exception()  # it may have been killed before it was ready
    await service.wait_until_killed()
    await service.start()
    try:
        client = Client(service)
        await client.wait_for(completed, "archived")
        body = documents.pdf("Meridian")
        assert await client.get(f"/api/documents/{completed}/original") == (200, body)
    finally:
        await service.stop()


@pytest.mark.usefixtures("completed")
async def test_an_interrupted_snapshot_is_removed_and_repeated(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "snapshots"
    service = RunningService(tmp_path)
    service.armed = "snapshots.written"
    starting = asyncio.ensure_future(service.start())
    await asyncio.wait([starting])
    starting.exception()
    await service.wait_until_killed()
    assert [path.suffix for path in directory.iterdir()] == [".new"]
    async with running_service(tmp_path):
        await wait_until(
            lambda: [path.suffix for path in directory.iterdir()] == [".db"], within=30
        )
