"""`ilios join`: a host works for a core with the settings that come from it."""

from pathlib import Path

import pytest

from ilios.nats.server import NatsServer
from tests.journeys.commands import run_ilios
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient, wait_until_completed
from tests.journeys.worker_hosts import WorkerHost
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

OTHER_KEY = "A" * 43 + "="


class JoiningHost(WorkerHost):
    """`ilios join` with the URL of the bus."""

    bus = ""

    def command(self) -> tuple[str, ...]:
        return ("-m", "ilios", "join", self.bus)


def sealing_key(core: RunningService) -> dict[str, str]:
    return {"ILIOS_SEALING_KEY": (core.data_dir / "passwords.key").read_text().strip()}


def joined_again(host: JoiningHost) -> int:
    assert host.log is not None
    return host.log.read_text().count("joining again")


async def refusal(data_dir: Path, url: str, environ: dict[str, str]) -> str:
    ended = await run_ilios(data_dir, "join", url, armed=None, PORT="0", **environ)
    assert ended.code == 2, ended.errors
    return ended.errors


@pytest.mark.slow
async def test_a_host_joins_with_a_url_and_a_key_and_takes_the_rest_from_the_core(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    url = nats_server.url("operator")
    core_dir = tmp_path / "core"
    set_there = {
        "NATS_URL": url,
        "ILIOS_SHARED_BLOBS": str(tmp_path / "blobs"),
        "ILIOS_MAX_FILE_MB": "33",
    }
    async with running_service(core_dir, **set_there) as core:
        key = sealing_key(core)
        for environ, named in (
            ({"ILIOS_SEALING_KEY": OTHER_KEY}, "ILIOS_SEALING_KEY is another key than the core"),
            (key | {"ILIOS_MAX_FILE_MB": "7"}, "ILIOS_MAX_FILE_MB is 7 here and 33 at the core"),
        ):
            assert named in await refusal(tmp_path / "refused", url, environ)
    host = JoiningHost(tmp_path / "host", **key, ILIOS_LOG_LEVEL="debug")
    host.bus, host.log = url, tmp_path / "host.log"
    await host.spawn()
    try:
        # At first, and after the core has come back with other settings.
        for times, mebibytes in ((0, "33"), (1, "34")):
            changed = set_there | {"ILIOS_MAX_FILE_MB": mebibytes}
            async with running_service(core_dir, **changed) as core, ServiceClient(core) as client:
                await wait_until(lambda times=times: joined_again(host) == times)  # type: ignore[misc]
                before = host.converted
                while host.converted == before:
                    assert await client.is_accepted()
                    await wait_until_completed(client, core_dir)
    finally:
        await host.stop()
    assert not (tmp_path / "host" / "blobs").exists()


@pytest.mark.slow
async def test_a_host_without_the_key_of_the_engine_only_fetches(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    url = nats_server.url("operator")
    async with (
        fake_mistral() as fake,
        running_service(
            tmp_path / "core",
            NATS_URL=url,
            ILIOS_SHARED_BLOBS=str(tmp_path / "blobs"),
            MISTRAL_API_KEY=fake.key,
            MISTRAL_SERVER_URL=fake.url,
        ) as core,
    ):
        host = JoiningHost(tmp_path / "host", **sealing_key(core), ILIOS_HOST_NAME="two")
        host.bus = url
        await host.start()
        try:
            await wait_until(lambda: _has_roles(url, tmp_path, "fetcher 0 "))
        finally:
            await host.stop()


async def _has_roles(url: str, directory: Path, shown: str) -> bool:
    ended = await run_ilios(directory / "x", "status", NATS_URL=url)
    rows = [line for line in ended.out.splitlines() if line.startswith("two ")]
    return len(rows) == 1 and shown in rows[0] and "ocr" not in rows[0]
