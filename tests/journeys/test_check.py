"""`ilios check` beside running services, a bus and a bucket."""

from pathlib import Path

import pytest

from ilios.nats.server import NatsServer
from tests.journeys.commands import run_ilios
from tests.journeys.running import running_service
from tests.s3.servers import S3Server

pytestmark = pytest.mark.usefixtures("edge_in_core")


async def test_a_port_in_use_by_ilios_is_distinguished_from_others(tmp_path: Path) -> None:
    async with running_service(tmp_path / "one", ILIOS_NATS_PORT="0") as service:
        port = service.url.rpartition(":")[2]
        address = (tmp_path / "one" / "nats" / "operator.url").read_text().strip()
        nats = address.rpartition(":")[2]

        other = await run_ilios(tmp_path / "two", "check", PORT=port, ILIOS_NATS_PORT=nats)
        same = await run_ilios(tmp_path / "one", "check", PORT=port, ILIOS_NATS_PORT=nats)

    assert other.code == 3
    assert f"PORT: {port} of 127.0.0.1 is in use by a running ilios" in other.errors
    assert f"ILIOS_NATS_PORT: {nats} is in use by the bus of a running ilios" in other.errors
    assert other.out.splitlines()[-1] == "Not ready to start: 1 problem."
    assert same.code == 0
    assert same.out.splitlines()[-1].startswith("A running ilios uses this data directory")
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
async def test_a_check_beside_a_starting_service_does_not_keep_it_from_starting(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path) as service:
        await service.stop()
        assert (await run_ilios(tmp_path, "check", PORT="0")).code == 0
        await service.start()


@pytest.mark.slow
async def test_an_external_bus_is_tried(nats_server: NatsServer, tmp_path: Path) -> None:
    url = nats_server.url("operator")
    found = await run_ilios(tmp_path, "check", NATS_URL=url, PORT="0")
    assert (found.code, "answers, with JetStream" in found.out) == (0, True)
    for wrong in ("nats://127.0.0.1:1", url.replace("operator:", "operator:not")):
        found = await run_ilios(tmp_path, "check", NATS_URL=wrong, PORT="0")
        assert found.code == 3
        assert "ilios: NATS_URL: " in found.errors
        assert found.out.splitlines()[-1] == "Not ready to start: 1 problem."


@pytest.mark.slow
async def test_a_bucket_is_tried_and_nothing_is_written_there(
    rclone: S3Server, tmp_path: Path
) -> None:
    environ = rclone.environ(rclone.config()) | {"PORT": "0"}
    before = rclone.objects()
    found = await run_ilios(tmp_path, "check", armed=None, **environ)
    assert (found.code, "documents at http" in found.out) == (0, True)
    assert rclone.objects() == before
    for wrong in ({"S3_BUCKET": "no-such-bucket"}, {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}):
        found = await run_ilios(tmp_path, "check", armed=None, **(environ | wrong))
        assert found.code == 3
        assert "ilios: S3_BUCKET: " in found.errors
    assert list(tmp_path.iterdir()) == []
