"""The configuration of servers of the operator: accepted, private, and enough for the service."""

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import pytest

from actors.ocr import Ocr
from bus import cluster, pauses
from bus.connection import connect
from bus.diagnostics import PermissionViolations
from ilios.__main__ import main
from ilios.cli import ExitCode
from ilios.cluster_status import read_hosts
from ilios.host_service import WORKER, Host
from ilios.nats import configuration
from ilios.nats.configuration import Node
from ilios.nats.server import binary
from ilios.runtime.parent_death import die_with_parent
from ilios.settings.environ import add_env_file, from_environ
from ilios.settings.settings import Settings
from tests.documents import pdf
from tests.free_ports import free_port
from tests.journeys.running import running_service
from tests.journeys.service_client import ServiceClient, wait_until_completed
from tests.waiting import wait_until


@pytest.mark.parametrize(
    "hosts", [["127.0.0.1"], ["a.example", "b.example", "c.example"]], ids=["one", "three"]
)
def test_the_server_accepts_every_file(
    hosts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "first,second")
    output = tmp_path / "made"
    arguments = [f"--host={host}" for host in hosts]
    command = ["bus", "config", f"--nodes={len(hosts)}", *arguments, f"--output={output}"]
    assert main(command) == ExitCode.OK
    files = sorted(output.glob("ilios-*.conf"))
    assert len(files) == len(hosts)
    for file in files:
        done = subprocess.run(
            [binary(), "-t", "-c", str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert {path.stat().st_mode & 0o777 for path in output.iterdir()} == {0o600}
    passwords = (output / configuration.PASSWORDS).read_text()
    assert main(command) == ExitCode.OK
    assert (output / configuration.PASSWORDS).read_text() == passwords


@pytest.mark.parametrize("hosts", [["--host=a"], ["--host=a", "--host=b", "--host=no host"]])
def test_servers_that_make_no_cluster_are_wrong_usage(tmp_path: Path, hosts: list[str]) -> None:
    command = ["bus", "config", "--nodes=3", *hosts, f"--output={tmp_path / 'made'}"]
    assert main(command) == ExitCode.USAGE
    assert not (tmp_path / "made").exists()


@asynccontextmanager
async def running_nodes(directory: Path, nodes: Sequence[Node]) -> AsyncIterator[None]:
    """Run the servers of a directory while the context is open."""
    started = [
        await asyncio.create_subprocess_exec(
            binary(),
            "-c",
            str(directory / f"{node.name}.conf"),
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        for node in nodes
    ]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
async def test_the_service_has_all_it_needs_on_such_servers(tmp_path: Path, count: int) -> None:
    directory = tmp_path / "made"
    nodes = [
        Node(f"ilios-{number}", "127.0.0.1", free_port(), free_port(), str(tmp_path / str(number)))
        for number in range(1, count + 1)
    ]
    configuration.write_configuration(directory, ("default",), nodes)
    variables: dict[str, str] = {}
    add_env_file(variables, directory / configuration.SERVICE_FILE)
    data = tmp_path / "data"
    async with (
        running_nodes(directory, nodes),
        running_service(data, WORKER_COUNT="1", **variables) as service,
        ServiceClient(service) as client,
    ):
        for _ in range(5):
            assert await client.is_accepted()
        await wait_until_completed(client, data)
        publisher = await nats.connect(
            (directory / "publisher-default.url").read_text().strip().split(",")
        )
        source = {"kind": "inline", "data": base64.b64encode(pdf("By the bus")).decode()}
        body = json.dumps({"source": source}).encode()
        request = await publisher.request("ilios.api.convert", body, timeout=30)
        await publisher.close()
        assert await client.health_error() == ""
        await a_worker_is_seen(directory, variables)

    assert "By the bus" in request.data.decode(), request.headers
    assert "permission" not in service.log_tail()


async def a_worker_is_seen(directory: Path, variables: dict[str, str]) -> None:
    """Another host with the user of the service follows orders and answers the operator."""
    target = from_environ(variables).external_bus
    assert target is not None
    violations = PermissionViolations()
    operator_url = (directory / "operator.url").read_text().strip()
    async with (
        connect(target, name="ilios", permission_violations=violations) as ours,
        connect(operator_url, name="operator") as operator,
    ):
        # Commands with the settings of the service can do the same as the operator.
        await cluster.set_drained(ours, "other", drained=True)
        await pauses.pause(ours, Ocr.consumer, datetime.now(UTC) + timedelta(hours=1))
        await pauses.resume(ours, Ocr.consumer)
        host = Host(Settings(host_name="other"), WORKER, ours, ("ocr",))
        await host.orders.look_once()
        parts = host.parts(engine=lambda: None, problems=list)
        answering = asyncio.ensure_future(parts["host service"]())

        async def is_seen() -> bool:
            both = [await read_hosts(connection) for connection in (operator, ours)]
            shown = [("core", False), ("worker", True)]
            return [[(one.kind, one.drained) for one in found] for found in both] == [shown] * 2

        await wait_until(is_seen)
        answering.cancel()
    assert violations.problems == []
