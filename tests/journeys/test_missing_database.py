"""A database that is missing is waited for, where something shows that there was one."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ilios.database.recovery import snapshots
from ilios.database.recovery.damage import DamageMonitor
from tests.journeys.commands import run_ilios
from tests.journeys.running import running_service
from tests.journeys.service_client import ServiceClient, document_states
from tests.journeys.starting import WITHIN, check_waits_for, is_ready, starting_service
from tests.waiting import wait_until


@pytest.fixture
async def documents(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The data of a service that was stopped, and the text of its documents by their ids."""
    data = tmp_path / "data"
    async with (
        running_service(data, ILIOS_SNAPSHOT_HOURS="0") as service,
        ServiceClient(service) as client,
    ):
        for _ in range(2):
            assert await client.is_accepted()
        await wait_until(
            lambda: list(document_states(data / "ilios.db").values()) == ["completed"] * 2, WITHIN
        )
        made = client.accepted_texts
    return data, made


async def snapshot(data: Path) -> Path:
    database = data / "ilios.db"
    now = datetime.now(UTC)
    return await snapshots.create(database, data / "snapshots", DamageMonitor(database), now)


def take_away(data: Path) -> Path:
    """Move the database aside, as a volume that is not mounted would have it."""
    aside = data.with_name("aside")
    aside.mkdir()
    for path in data.glob("ilios.db*"):
        path.rename(aside / path.name)
    return aside


async def test_a_database_that_a_snapshot_has_is_waited_for_until_it_is_back(
    documents: tuple[Path, dict[str, str]],
) -> None:
    data, made = documents
    kept = await snapshot(data)
    aside = take_away(data)
    async with starting_service(data, ILIOS_SNAPSHOT_HOURS="1") as (service, client):
        await check_waits_for(client, f"the database {data}/ilios.db is missing, and the snapshot")
        assert "ilios rebuild" in await client.health_error()
        assert not list(data.glob("ilios.db*")), "nothing begins in its place"
        for path in aside.iterdir():
            path.rename(data / path.name)
        await service.wait_until_ready()
        assert await is_ready(client)
        for document, words in made.items():
            assert await client.first_line(document) == words
        assert kept.exists()


async def test_a_mistyped_path_of_the_database_makes_nothing(
    documents: tuple[Path, dict[str, str]],
) -> None:
    data, _ = documents
    await snapshot(data)
    mistyped = data.with_name("mistyped") / "ilios.db"
    async with starting_service(data, LOCAL_DB_PATH=str(mistyped)) as (service, client):
        await check_waits_for(client, str(mistyped))
        assert not mistyped.parent.exists()
        assert await service.stop() == 0


async def test_it_is_rebuilt_while_the_service_waits(
    documents: tuple[Path, dict[str, str]],
) -> None:
    data, made = documents
    await snapshot(data)
    take_away(data)
    async with starting_service(data) as (service, client):
        await check_waits_for(client, "is missing")
        done = await run_ilios(data, "rebuild")
        assert done.code == 0, done
        await service.wait_until_ready()
        for document, words in made.items():
            assert await client.first_line(document) == words


async def test_who_wants_to_begin_without_the_snapshots_moves_them_aside(
    documents: tuple[Path, dict[str, str]],
) -> None:
    data, _ = documents
    await snapshot(data)
    take_away(data)
    async with starting_service(data) as (service, client):
        await check_waits_for(client, f"move {data}/snapshots aside")
        (data / "snapshots").rename(data / "snapshots.aside")
        await service.wait_until_ready()
        assert await is_ready(client)


async def test_without_snapshot_and_log_the_blobs_reveal_a_missing_database(
    documents: tuple[Path, dict[str, str]],
) -> None:
    data, made = documents
    aside = take_away(data)
    shutil.move(data / "nats", aside / "nats")
    async with starting_service(data) as (service, client):
        await check_waits_for(client, f"the log is empty, and {data}/blobs is of a service")
        assert not (data / "ilios.db").exists()
        for path in aside.glob("ilios.db*"):
            path.rename(data / path.name)
        await service.wait_until_ready()
        for document, words in made.items():
            assert await client.first_line(document) == words


async def test_what_the_whole_log_has_needs_no_database_to_begin_with(
    documents: tuple[Path, dict[str, str]],
) -> None:
    data, made = documents
    take_away(data)
    async with running_service(data) as service, ServiceClient(service) as client:
        await wait_until(
            lambda: document_states(data / "ilios.db").keys() == made.keys(), within=WITHIN
        )
        for document, words in made.items():
            assert await client.first_line(document) == words
