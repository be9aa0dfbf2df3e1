"""Data that vanishes or is not the right one: nothing is answered or failed until it is back."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.journeys.running import running_service
from tests.journeys.service_client import ServiceClient, document_states
from tests.journeys.starting import (
    WITHIN,
    check_not_ready,
    check_waits_for,
    is_ready,
    starting_service,
)
from tests.s3.servers import BUCKET, S3Server
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

SOON = 30.0  # seconds; it is looked at twice a second, but a machine may be under load
PLACES = {
    "the database": ("ilios.db", "the database"),
    "its write-ahead log": ("ilios.db-wal", "its write-ahead log"),
    "blobs": ("blobs", "the directory of blobs"),
    "the log": ("nats/jetstream", "the directory of the log"),
    "all data": (".", "the data directory"),
}
OWNER = ".ilios"


async def problem(client: ServiceClient, part: str) -> bool:
    return part in await client.health_error()


@pytest.mark.parametrize(
    "places", [["the database"], pytest.param([*PLACES][1:], marks=pytest.mark.slow)]
)
async def test_nothing_is_answered_while_data_is_moved_away(
    tmp_path: Path, places: list[str]
) -> None:
    data = tmp_path / "data"
    # The edge has a process of its own, which looks after the files as the core does.
    async with (
        running_service(data, ILIOS_EDGE_PROCESSES="1") as service,
        ServiceClient(service) as client,
    ):
        assert await client.is_accepted()
        await wait_until(lambda: are_completed(client, data), within=WITHIN)
        for name, called in map(PLACES.__getitem__, places):
            path = (data / name).resolve()
            aside = path.rename(tmp_path / "aside")
            await wait_until(lambda: problem(client, f"{called} {path} is gone"), within=SOON)  # noqa: B023
            await check_not_ready(client)
            for asked in ("/", "/openapi.json", "/docs"):
                assert (await client.send("GET", asked)).status == 200
            aside.rename(path)
            await wait_until(lambda: is_ready(client), within=WITHIN)
            for document, text in client.accepted_texts.items():
                assert await client.first_line(document) == text
            assert await client.is_accepted()
            await wait_until(lambda: are_completed(client, data), within=WITHIN)


@pytest.mark.parametrize(
    "name",
    [
        "ilios.db",
        pytest.param("blobs", marks=pytest.mark.slow),
        pytest.param("nats/jetstream", marks=pytest.mark.slow),
    ],
)
async def test_data_replaced_by_a_copy_needs_a_restart(tmp_path: Path, name: str) -> None:
    async with running_service(tmp_path) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        await wait_until(lambda: are_completed(client, tmp_path), within=WITHIN)
        path = tmp_path / name
        copy = tmp_path / "copy"
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copy(path, copy)
        # nats-server writes files while its directory is removed, which is not atomic.
        path.rename(tmp_path / "original")
        await wait_until(lambda: problem(client, "is gone"), within=SOON)
        copy.rename(path)
        await wait_until(
            lambda: problem(client, "is not the one the service has open"), within=SOON
        )
        assert await problem(client, "start the service again")
        await check_not_ready(client)


@pytest.mark.slow
async def test_a_missing_shard_of_the_blobs_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_service(data) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        await wait_until(lambda: are_completed(client, data), within=WITHIN)
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


@pytest.mark.slow
async def test_markdown_that_a_power_cut_took_is_answered(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, ServiceClient(service) as client:
        for _ in range(2):
            assert await client.is_accepted()
        await wait_until(lambda: are_completed(client, tmp_path), within=WITHIN)
        emptied, lost = (tmp_path / "blobs").glob("??/markdown*")
        emptied.write_bytes(b"")
        lost.unlink()
        for document, text in client.accepted_texts.items():
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


@pytest.mark.slow
async def test_a_log_that_was_moved_away_is_not_replaced_by_another_server(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running_service(data) as service, ServiceClient(service) as client:
        assert await client.is_accepted()
        await wait_until(lambda: are_completed(client, data), within=WITHIN)
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
        await wait_until(lambda: are_completed(client, data), within=WITHIN)


async def work(client: ServiceClient, data: Path, documents: int = 2) -> None:
    for _ in range(documents):
        assert await client.is_accepted()
    await wait_until(lambda: are_completed(client, data), within=WITHIN)


def are_completed(client: ServiceClient, data: Path) -> bool:
    states = document_states(data / "ilios.db")
    return all(states.get(document) == "completed" for document in client.accepted_texts)


@asynccontextmanager
async def running_with_documents(data: Path, **environ: str) -> AsyncIterator[dict[str, str]]:
    """Have a service complete two documents and stop; lend what was promised."""
    async with running_service(data, **environ) as service, ServiceClient(service) as client:
        await work(client, data)
        promised = client.accepted_texts
    yield promised


async def all_are_there(client: ServiceClient, promised: dict[str, str]) -> None:
    for document, words in promised.items():
        assert await client.first_line(document) == words


def empty(server: S3Server, prefix: str) -> dict[str, bytes]:
    """Take everything out of a bucket; returns it."""
    taken = {}
    for key in server.objects(prefix):
        taken[key] = server.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        server.client.delete_object(Bucket=BUCKET, Key=key)
    return taken


@pytest.mark.slow
async def test_an_emptied_bucket_is_waited_for_and_not_taken_over(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.config()
    environ = swift.environ(place)
    async with running_with_documents(tmp_path, **environ) as promised:
        taken = empty(swift, place.prefix)
        async with starting_service(tmp_path, **environ) as (service, client):
            await check_waits_for(
                client, f"the object {place.prefix}{OWNER}, which names the owner"
            )
            assert place.prefix + OWNER not in swift.objects(place.prefix)
            for key, content in taken.items():
                swift.put_object(key, content)
            await service.wait_until_ready()
            await all_are_there(client, promised)


@pytest.mark.slow
async def test_another_bucket_of_the_same_owner_is_not_the_right_one(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.config()
    environ = swift.environ(place)
    async with running_with_documents(tmp_path, **environ) as promised:
        owner = swift.client.get_object(Bucket=BUCKET, Key=place.prefix + OWNER)["Body"].read()
        other = swift.environ(swift.config())
        swift.put_object(other["ILIOS_S3_PREFIX"] + OWNER, owner)
        async with starting_service(tmp_path, **other) as (service, client):
            await check_waits_for(client, "blobs of the database is in the blob store")
            assert await service.stop() == 0
        async with (
            running_service(tmp_path, **environ) as service,
            ServiceClient(service) as client,
        ):
            await all_are_there(client, promised)


@pytest.mark.slow
async def test_a_bucket_that_is_emptied_while_the_service_runs_fails_no_document(
    swift: S3Server, tmp_path: Path
) -> None:
    place = swift.config()
    async with (
        running_service(tmp_path, **swift.environ(place)) as service,
        ServiceClient(service) as client,
    ):
        await work(client, tmp_path)
        promised = dict(client.accepted_texts)
        taken = empty(swift, place.prefix)
        await wait_until(lambda: refuses(client), within=WITHIN)
        await check_not_ready(client)
        late = await client.publish()
        assert late is not None
        assert swift.content_keys(place) == []
        assert set(document_states(tmp_path / "ilios.db").values()) <= {
            "pending",
            "processing",
            "completed",
        }
        for key, content in taken.items():
            swift.put_object(key, content)
        await wait_until(lambda: is_ready(client), within=WITHIN)
        await wait_until(lambda: are_completed(client, tmp_path), within=WITHIN)
        await all_are_there(client, promised)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moved away", "an empty one in its place"])
async def test_a_wrong_directory_of_blobs_is_waited_for(tmp_path: Path, how: str) -> None:
    data = tmp_path / "data"
    async with running_with_documents(data) as promised:
        aside = (data / "blobs").rename(tmp_path / "aside")
        if how != "moved away":
            (data / "blobs").mkdir()
        async with starting_service(data) as (service, client):
            await check_waits_for(client, f"blobs of the database is in {data}/blobs")
            assert not (data / "blobs").exists() or not list((data / "blobs").iterdir())
            if how != "moved away":
                (data / "blobs").rmdir()
            aside.rename(data / "blobs")
            await service.wait_until_ready()
            await all_are_there(client, promised)


@pytest.mark.slow
async def test_waiting_documents_do_not_fail_for_a_wrong_directory_of_blobs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_service(data) as service, ServiceClient(service, pages=60) as client:
        for _ in range(6):
            assert await client.is_accepted()
        # A database without documents expects no blobs.
        await wait_until(lambda: len(document_states(data / "ilios.db")) == 6, within=WITHIN)
        await service.kill("all")
    aside = (data / "blobs").rename(tmp_path / "aside")
    async with starting_service(data) as (service, waiting):
        await check_waits_for(waiting, "blobs of the database is in")
        aside.rename(data / "blobs")
        await service.wait_until_ready()
        await wait_until(lambda: are_completed(client, data), within=WITHIN)


@pytest.mark.slow
async def test_blobs_that_are_lost_for_good_are_given_up_by_a_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_with_documents(data) as promised:
        (data / "blobs").rename(tmp_path / "aside")
        async with starting_service(data) as (service, client):
            await check_waits_for(client, f"make the file {data}/blobs.lost")
            (data / "blobs.lost").touch()
            await service.wait_until_ready()
            for document in promised:
                gone = await client.send("GET", f"/api/documents/{document}")
                assert (gone.status, gone.code) == (410, "content_gone")
            await work(client, data)
            await all_are_there(client, client.accepted_texts)


async def test_one_document_without_its_blobs_does_not_make_the_service_unready(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service, ServiceClient(service) as client:
        await work(client, tmp_path, documents=3)
        lost = next(iter(client.accepted_texts))
        for path in (tmp_path / "blobs").glob(f"*/*{lost}*"):
            path.unlink()
        gone = await client.send("GET", f"/api/documents/{lost}")
        assert (gone.status, gone.code) == (410, "content_gone")
        assert await is_ready(client)
        assert await client.is_accepted()
