"""Files that vanish while the service runs: refused within seconds, and well again when back."""

import shutil
from pathlib import Path

import pytest

from tests.journeys.running import running_service
from tests.journeys.service_client import ServiceClient, document_states
from tests.journeys.starting import WITHIN, check_not_ready, is_ready
from tests.waiting import wait_until

SOON = 30.0  # seconds; it is looked at twice a second, but a machine may be under load
PLACES = {
    "the database": ("ilios.db", "the database"),
    "its write-ahead log": ("ilios.db-wal", "its write-ahead log"),
    "blobs": ("blobs", "the directory of blobs"),
    "the log": ("nats/jetstream", "the directory of the log"),
    "all data": (".", "the data directory"),
}


async def problem(client: ServiceClient, part: str) -> bool:
    return part in await client.health_error()


async def is_completed(client: ServiceClient, data: Path) -> bool:
    states = document_states(data / "ilios.db")
    return all(states.get(document) == "completed" for document in client.accepted_texts)


@pytest.mark.parametrize("what", PLACES)
async def test_what_is_moved_away_stops_every_answer_until_it_is_back(
    tmp_path: Path, what: str
) -> None:
    name, called = PLACES[what]
    data = tmp_path / "data"
    async with running_service(data) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        await wait_until(lambda: is_completed(client, data), within=WITHIN)
        path = (data / name).resolve()
        aside = path.rename(tmp_path / "aside")
        await wait_until(lambda: problem(client, f"{called} {path} is gone"), within=SOON)
        await check_not_ready(client)
        for asked in ("/", "/openapi.json", "/docs"):
            assert (await client.send("GET", asked)).status == 200
        aside.rename(path)
        await wait_until(lambda: is_ready(client), within=WITHIN)
        for document, text in client.accepted_texts.items():
            assert await client.first_line(document) == text
        assert await client.is_accepted()
        await wait_until(lambda: is_completed(client, data), within=WITHIN)


@pytest.mark.parametrize("name", ["ilios.db", "blobs", "nats/jetstream"])
async def test_what_was_replaced_by_a_copy_needs_a_start(tmp_path: Path, name: str) -> None:
    async with running_service(tmp_path) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        await wait_until(lambda: is_completed(client, tmp_path), within=WITHIN)
        path = tmp_path / name
        copy = tmp_path / "copy"
        if path.is_dir():
            shutil.copytree(path, copy)
            shutil.rmtree(path)
        else:
            shutil.copy(path, copy)
            path.unlink()
        await wait_until(lambda: problem(client, "is gone"), within=SOON)
        copy.rename(path)
        await wait_until(
            lambda: problem(client, "is not the one the service has open"), within=SOON
        )
        assert await problem(client, "start the service again")
        await check_not_ready(client)


async def test_a_part_of_the_blobs_that_is_moved_away_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_service(data) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        await wait_until(lambda: is_completed(client, data), within=WITHIN)
        (text,) = client.accepted_texts.values()
        (original,) = (data / "blobs").glob("??/originals*")
        shard = original.parent
        aside = shard.rename(tmp_path / "aside")
        await wait_until(lambda: problem(client, f"{shard} is gone"), within=SOON)
        await wait_until(lambda: refuses(client), within=SOON)
        await check_not_ready(client)
        aside.rename(shard)
        await wait_until(lambda: is_ready(client), within=WITHIN)
        (document,) = client.accepted_texts
        assert await client.first_line(document) == text


async def refuses(client: ServiceClient) -> bool:
    return (await client.send("GET", "/api/usage/summary")).status == 503


async def test_a_block_of_the_log_that_was_deleted_is_noticed(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        (events,) = (tmp_path / "nats").glob("jetstream/*/*/streams/ILIOS_EVENTS/msgs")
        for block in events.glob("*.blk"):
            block.unlink()
        await wait_until(lambda: problem(client, "written to a file that was deleted"), within=SOON)
        await check_not_ready(client)


async def test_a_log_that_was_moved_away_is_not_replaced_by_another_server(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running_service(data) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        await wait_until(lambda: is_completed(client, data), within=WITHIN)
        log = data / "nats" / "jetstream"
        aside = log.rename(tmp_path / "aside")
        await service.kill("nats-server")
        await wait_until(
            lambda: problem(client, f"directory of the log {log} is gone"), within=SOON
        )
        await check_not_ready(client)
        assert not log.exists()
        aside.rename(log)
        await wait_until(lambda: is_ready(client), within=WITHIN)
        assert await client.is_accepted()
        await wait_until(lambda: is_completed(client, data), within=WITHIN)
