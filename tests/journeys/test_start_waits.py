"""At the start, what may come back is waited for; a wrong setting ends the service."""

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ilios.cli import ExitCode
from ilios.database.recovery import snapshots
from ilios.database.sqlite import DamageMonitor
from ilios.nats.server import embedded
from tests.free_ports import free_port
from tests.journeys.commands import run_ilios
from tests.journeys.conftest import CopyOnce
from tests.journeys.running import ROOT, running_service
from tests.journeys.service_client import ServiceClient, document_states, wait_until_completed
from tests.journeys.starting import WITHIN, check_waits_for, is_ready, starting_service
from tests.s3.proxy import FaultProxy, Interceptor, failing_with
from tests.s3.servers import S3Server
from tests.volumes import fill, free, small_volume
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

PASS_THROUGH: Interceptor = lambda _: None  # noqa: E731
MEGABYTES = 64
WRONG = {
    "no such bucket": ({"S3_BUCKET": "not-there"}, "set S3_BUCKET"),
    "no such key": ({"AWS_ACCESS_KEY_ID": "nobody"}, "AWS_ACCESS_KEY_ID"),
    "a key of another": ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_SECRET_ACCESS_KEY"),
    "not a number": ({"PORT": "many"}, "PORT"),
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["refuses connections", "ServiceUnavailable", "SlowDown"])
async def test_a_store_that_is_away_is_waited_for(
    swift: S3Server, tmp_path: Path, trouble: str
) -> None:
    async with FaultProxy.in_front_of(swift.endpoint) as proxy:
        environ = swift.environ(swift.config(proxy.endpoint))
        if trouble == "refuses connections":
            await proxy.stop_listening()
        else:
            proxy.intercept = failing_with(503, trouble)
        async with starting_service(tmp_path, **environ) as (service, client):
            await check_waits_for(client, "S3")
            if trouble == "refuses connections":
                await proxy.start_listening()
            proxy.intercept = PASS_THROUGH
            await service.wait_until_ready()
            await wait_until(lambda: is_ready(client), within=WITHIN)
            assert await client.is_accepted()
            await wait_until_completed(client, tmp_path)


@pytest.mark.slow
async def test_a_name_that_is_not_resolved_is_waited_for_and_a_signal_ends_that(
    swift: S3Server, tmp_path: Path
) -> None:
    environ = swift.environ(swift.config("http://nowhere.invalid:9"))
    async with starting_service(tmp_path, **environ) as (service, client):
        await check_waits_for(client, "S3 does not answer at http://nowhere.invalid:9")
        assert await service.stop() == 0


async def test_a_bus_that_is_away_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    async with embedded(tmp_path / "bus", port) as bus:
        url = bus.url("operator")
    async with starting_service(tmp_path / "data", NATS_URL=url) as (service, client):
        await check_waits_for(client, "cannot connect to the bus")
        async with embedded(tmp_path / "bus", port):
            await service.wait_until_ready()
            await wait_until(lambda: is_ready(client), within=WITHIN)
            assert await client.is_accepted()
            assert await service.stop() == 0


@pytest.mark.parametrize(
    "place",
    [
        ".",
        pytest.param("database", marks=pytest.mark.slow),
        pytest.param("nats", marks=pytest.mark.slow),
    ],
)
async def test_space_on_a_full_volume_is_waited_for(tmp_path: Path, place: str) -> None:
    data = tmp_path / "data"
    with small_volume(data / place, MEGABYTES) as volume:
        fill(volume)
        database = volume / "ilios.db" if place == "database" else data / "ilios.db"
        environ = {"LOCAL_DB_PATH": str(database), "ILIOS_RESERVE_MB": "16"}
        async with starting_service(data, **environ) as (service, client):
            await check_waits_for(client, "no room for the")
            free(volume)
            await service.wait_until_ready()
            await wait_until(lambda: is_ready(client), within=WITHIN)
            assert await client.is_accepted()


@pytest.mark.slow
async def test_a_signal_ends_waiting_for_space(tmp_path: Path) -> None:
    with small_volume(tmp_path / "data", MEGABYTES) as volume:
        fill(volume)
        async with starting_service(volume) as (service, client):
            await check_waits_for(client, "no room for the")
            assert await service.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_setting_ends_the_service_and_systemd_does_not_start_it_again(
    swift: S3Server, tmp_path: Path, what: str
) -> None:
    changed, named = WRONG[what]
    environ: dict[str, Any] = {"PORT": "0"} | swift.environ(swift.config()) | changed
    ended = await run_ilios(tmp_path, "serve", **environ)
    assert ended.code in not_started_again()
    assert named in ended.errors.splitlines()[-1]


async def test_a_user_the_bus_refuses_is_a_wrong_setting(tmp_path: Path) -> None:
    async with embedded(tmp_path / "bus", 0) as bus:
        url = re.sub(r"//\w+:\w+@", "//nobody:wrong@", bus.url("operator"))
        ended = await run_ilios(tmp_path / "data", "serve", PORT="0", NATS_URL=url)
    assert ended.code in not_started_again()
    assert "cannot connect to the bus" in ended.errors


def not_started_again() -> set[int]:
    """Return the exit codes after which systemd leaves the service alone."""
    unit = (ROOT / "deploy" / "ilios.service").read_text()
    (codes,) = re.findall(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    return {int(code) for code in codes.split()}


def test_only_wrong_settings_keep_systemd_from_starting_the_service_again() -> None:
    assert not_started_again() == {ExitCode.USAGE}


@pytest.fixture
def documents(copy_once: CopyOnce, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The data of a service that was stopped, and the text of its documents by their ids."""
    data = tmp_path / "data"
    copy_once("two-completed", complete_two, data)
    texts = data / "texts.json"
    made = json.loads(texts.read_text())
    texts.unlink()
    return data, made


async def complete_two(data: Path) -> None:
    async with (
        running_service(data, ILIOS_SNAPSHOT_HOURS="0") as service,
        ServiceClient(service) as client,
    ):
        for _ in range(2):
            assert await client.is_accepted()
        await wait_until(
            lambda: list(document_states(data / "ilios.db").values()) == ["completed"] * 2, WITHIN
        )
    (data / "texts.json").write_text(json.dumps(client.accepted_texts))


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


@pytest.mark.slow
async def test_a_database_that_a_snapshot_has_is_waited_for_until_it_is_back(
    documents: tuple[Path, dict[str, str]],
) -> None:
    data, made = documents
    saved = await snapshot(data)
    aside = take_away(data)
    async with starting_service(data, ILIOS_SNAPSHOT_HOURS="1") as (service, client):
        await check_waits_for(client, f"the database {data}/ilios.db is missing, and the snapshot")
        assert "ilios rebuild" in await client.health_error()
        assert not list(data.glob("ilios.db*")), "nothing begins in its place"
        for path in aside.iterdir():
            path.rename(data / path.name)
        await service.wait_until_ready()
        await wait_until(lambda: is_ready(client), within=WITHIN)
        for document, words in made.items():
            assert await client.first_line(document) == words
        assert saved.exists()


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


@pytest.mark.slow
async def test_a_missing_database_is_rebuilt_while_the_service_waits(
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


@pytest.mark.slow
async def test_moving_the_snapshots_aside_starts_with_a_new_database(
    documents: tuple[Path, dict[str, str]],
) -> None:
    data, _ = documents
    await snapshot(data)
    take_away(data)
    async with starting_service(data) as (service, client):
        await check_waits_for(client, f"move {data}/snapshots aside")
        (data / "snapshots").rename(data / "snapshots.aside")
        await service.wait_until_ready()
        await wait_until(lambda: is_ready(client), within=WITHIN)


@pytest.mark.slow
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


@pytest.mark.slow
async def test_a_missing_database_is_read_again_from_a_complete_log(
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
