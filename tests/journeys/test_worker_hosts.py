"""Workers on other hosts: the work is shared, and a host that does not fit is refused."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from ilios.nats.server import NatsServer
from tests import documents
from tests.journeys.commands import run_ilios
from tests.journeys.running import running_service
from tests.journeys.service_client import (
    Client,
    ServiceClient,
    billed_documents,
    document_states,
    wait_until_completed,
)
from tests.journeys.worker_hosts import WorkerHost, core_and_workers, key_of
from tests.mistral.server import fake_mistral
from tests.s3.servers import S3Server
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

DOCUMENTS = 40
ENOUGH = 50  # documents of which a worker gets one


@pytest.fixture
def on_directory(nats_server: NatsServer, tmp_path: Path) -> dict[str, str]:
    """The settings of hosts that share a directory."""
    return {"NATS_URL": nats_server.url("operator"), "ILIOS_SHARED_BLOBS": str(tmp_path / "blobs")}


async def submit(client: ServiceClient, count: int) -> None:
    accepted = await asyncio.gather(*(client.is_accepted() for _ in range(count)))
    assert all(accepted)


async def refusal(data_dir: Path, role: str, environ: dict[str, str]) -> str:
    """Return what a worker writes that is refused for its settings."""
    ended = await run_ilios(data_dir, "run", role, armed=None, **environ)
    assert ended.code == 2, ended.errors
    return ended.errors


async def readiness(host: WorkerHost) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{host.url}/readyz") as answer:
        return answer.status


async def test_a_worker_shares_the_work_of_the_core_and_stores_nothing_of_its_own(
    on_directory: dict[str, str], tmp_path: Path
) -> None:
    async with (
        core_and_workers(tmp_path, on_directory, 1) as (core, (worker,)),
        ServiceClient(core, pages=3) as client,
    ):
        assert await readiness(worker) == 200
        await submit(client, 16)
        await wait_until_completed(client, core.data_dir)
        await wait_until(lambda: worker.converted > 0)
        assert not list(worker.data_dir.glob("*.db*"))
        assert not (worker.data_dir / "nats").exists()
        assert not (worker.data_dir / "blobs").exists()


@pytest.mark.slow
async def test_a_host_without_the_blobs_of_the_core_is_refused_with_the_setting(
    on_directory: dict[str, str], tmp_path: Path
) -> None:
    bus = {"NATS_URL": on_directory["NATS_URL"], "PORT": "0"}
    core_dir, host = tmp_path / "core", tmp_path / "host"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with running_service(core_dir, **on_directory):
        key = key_of(core_dir)
        cases = (
            (on_directory, "ILIOS_SEAL_KEY_FILE is not set"),
            (key, "this host does not share the blobs of the core: set S3_BUCKET"),
            (key | {"ILIOS_SHARED_BLOBS": str(elsewhere)}, "ILIOS_SHARED_BLOBS: "),
            (key | {"S3_BUCKET": "documents"}, "S3_BUCKET: the blobs of the core are in a dir"),
            (on_directory | key | {"ILIOS_MAX_FILE_MB": "7"}, "ILIOS_MAX_FILE_MB is 7 here"),
            (on_directory | key | {"MISTRAL_API_KEY": "k"}, "MISTRAL_API_KEY is set here"),
        )
        for environ, named in cases:
            errors = await refusal(host, "ocr", bus | environ)
            assert f"ilios cannot work here: {named}" in errors
        assert not list(elsewhere.iterdir())


@pytest.mark.slow
async def test_forty_documents_are_shared_and_those_of_a_killed_worker_are_completed_once(
    swift: S3Server, nats_server: NatsServer, tmp_path: Path
) -> None:
    place = swift.config()
    shared = swift.environ(place) | {"NATS_URL": nats_server.url("operator")}
    async with (
        core_and_workers(tmp_path, shared, 2) as (core, (first, second)),
        ServiceClient(core, pages=4) as client,
    ):
        await submit(client, DOCUMENTS)
        await wait_until_completed(client, core.data_dir)
        assert first.converted > 0
        assert second.converted > 0
        assert first.converted + second.converted <= DOCUMENTS

        await submit(client, DOCUMENTS)
        before = second.converted
        await wait_until(lambda: second.converted > before)
        assert set(document_states(core.data_dir / "ilios.db").values()) != {"completed"}
        await second.kill("all")
        await wait_until_completed(client, core.data_dir)
        assert swift.uploads(place.prefix) == []


@pytest.mark.slow
async def test_a_worker_killed_before_it_publishes_its_result_loses_and_doubles_nothing(
    on_directory: dict[str, str], tmp_path: Path
) -> None:
    async with core_and_workers(tmp_path, on_directory, 0) as (core, _):
        worker = WorkerHost(tmp_path / "worker", **on_directory, **key_of(core.data_dir))
        worker.armed = "actor.answered"
        await worker.start()
        async with ServiceClient(core) as client:
            await submit(client, 12)
            await worker.wait_until_killed()
            await wait_until_completed(client, core.data_dir)


@pytest.mark.slow
async def test_a_page_that_a_killed_worker_has_paid_for_is_not_paid_again_by_another_host(
    on_directory: dict[str, str], tmp_path: Path
) -> None:
    async with fake_mistral() as fake:
        shared = on_directory | {"MISTRAL_API_KEY": fake.key, "MISTRAL_SERVER_URL": fake.url}
        async with core_and_workers(tmp_path, shared, 0) as (core, _):
            worker = WorkerHost(tmp_path / "worker", **shared, **key_of(core.data_dir))
            worker.roles = ("ocr",)
            worker.armed = "actor.answered"  # the result is stored, and not published
            await worker.start()
            client, names = Client(core), list[str]()
            while not worker.has_ended:  # one at a time: no other call is under way at its death
                assert len(names) < ENOUGH
                names.append(await client.submit(documents.pdf(f"Paper {len(names)}")))
                await client.wait_for(names[-1], "completed")
            assert billed_documents(core.data_dir / "ilios.db") == sorted(names)
        assert fake.call_log.pages_paid == len(names)
        assert not fake.call_log.paid_twice()


@pytest.mark.slow
async def test_a_worker_on_another_bucket_prefix_or_owner_is_refused(
    swift: S3Server, nats_server: NatsServer, tmp_path: Path
) -> None:
    place, other = swift.config(), swift.config()
    bus = {"NATS_URL": nats_server.url("operator")}
    core_dir = tmp_path / "core"
    async with running_service(core_dir, **swift.environ(place), **bus):
        key = key_of(core_dir)
        wrong = swift.environ(other) | bus | key | {"PORT": "0"}
        assert "ILIOS_S3_PREFIX is" in await refusal(tmp_path / "host", "ocr", wrong)
        swift.put_object(f"{place.prefix}.ilios", b'{"id":"another"}')
        same = swift.environ(place) | bus | key | {"PORT": "0"}
        assert "belong to another ilios" in await refusal(tmp_path / "host", "fetcher", same)


@pytest.mark.slow
async def test_a_worker_hands_back_what_it_has_when_it_is_told_to_stop(
    on_directory: dict[str, str], tmp_path: Path
) -> None:
    async with (
        core_and_workers(tmp_path, on_directory, 1) as (core, (worker,)),
        ServiceClient(core, pages=3) as client,
    ):
        await submit(client, 6)
        os.kill(worker.pid, signal.SIGTERM)
        await wait_until(lambda: worker.has_ended)
        assert worker.exit_code == 0
        await wait_until_completed(client, core.data_dir)


@pytest.mark.slow
async def test_a_worker_publishes_nothing_for_a_core_with_other_blobs(
    on_directory: dict[str, str], tmp_path: Path
) -> None:
    """The log refuses it before the worker looks at the facts of the core again."""
    other = on_directory | {"ILIOS_SHARED_BLOBS": str(tmp_path / "other"), "WORKER_COUNT": "1"}
    async with core_and_workers(tmp_path, on_directory, 1) as (core, (worker,)):
        await core.stop()
        async with running_service(tmp_path / "another", **other) as another:
            async with ServiceClient(another, pages=3) as client:
                await submit(client, DOCUMENTS)
                await wait_until(lambda: worker.has_ended)
                assert worker.exit_code == 2
                await wait_until_completed(client, another.data_dir)
            assert set(document_states(another.data_dir / "ilios.db").values()) == {"completed"}
