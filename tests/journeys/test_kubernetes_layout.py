"""The layout of deploy/kubernetes as processes: its commands, settings, probes and queues."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml  # type: ignore[import-untyped]

from bus.connection import connect
from bus.errors import BusUnavailable
from bus.target import Target
from ilios.nats import configuration
from ilios.nats.server import binary
from ilios.runtime.parent_death import die_with_parent
from ilios.settings.environ import add_env_file
from tests.certificates import make_certificates
from tests.free_ports import free_port
from tests.journeys.running import RunningService
from tests.journeys.service_client import ServiceClient, wait_until_completed
from tests.journeys.worker_hosts import WorkerHost
from tests.manifests import KUBERNETES, Manifest, container, environ, plain
from tests.s3.servers import S3Server
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

DOCUMENTS = 20


def workload(kind: str, name: str) -> Manifest:
    (found,) = (one for one in plain() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


class NatsPod:
    """A pod of the StatefulSet: its command, on ports of loopback and in directories of a test."""

    def __init__(self, number: int, directory: Path, *arguments: str) -> None:
        self.name = f"nats-{number}"
        self.monitor = f"http://127.0.0.1:{(port := free_port())}"
        self._run = directory / self.name
        self._run.mkdir()
        places = {"/etc/nats": str(directory), "/run/nats": str(self._run), " 8222": f" {port}"}
        self._command = [*container(workload("StatefulSet", "nats"))["command"], *arguments]
        for place, here in places.items():
            self._command = [word.replace(place, here) for word in self._command]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        path = f"{Path(binary()).parent}:{os.environ['PATH']}"
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env={"HOSTNAME": self.name, "PATH": path},
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def running_nats(directory: Path) -> AsyncIterator[list[NatsPod]]:
    """Run three nodes on what `ilios bus config` writes, with the command of the StatefulSet."""
    directory.mkdir()
    nodes = [
        configuration.Node(
            f"ilios-{number}", "127.0.0.1", free_port(), free_port(), str(directory / str(number))
        )
        for number in (1, 2, 3)
    ]
    configuration.write_configuration(directory, ("default",), nodes)
    pods = [NatsPod(number, directory) for number in range(3)]
    try:
        for one in pods:
            await one.start()
        yield pods
    finally:
        for one in pods:
            await one.kill()


def settings(found: Manifest, directory: Path, here: dict[str, str]) -> dict[str, str]:
    """Return the variables of a pod, with paths of its volumes below a directory of its own."""
    directory.mkdir()
    moved = {
        name: text.replace("/var/lib/ilios", str(directory))
        for name, text in environ(found).items()
    }
    return moved | here | {"PORT": "0", "ILIOS_HOST": "127.0.0.1", "WORKER_COUNT": "1"}


async def statuses(session: aiohttp.ClientSession, url: str, found: Manifest) -> set[int]:
    """Return the statuses of all probes of a workload."""
    answered = set()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        path = container(found)[probe]["httpGet"]["path"]
        async with session.get(f"{url}{path}") as answer:
            answered.add(answer.status)
    return answered


async def has_queues(session: aiohttp.ClientSession, pods: list[NatsPod]) -> bool:
    """Whether a leader reports each queue by which KEDA scales, under the name of its pod."""
    scaled = yaml.safe_load((KUBERNETES / "keda" / "scaled-object.yaml").read_text())
    wanted = {one["metadata"]["consumer"]: one["metadata"] for one in scaled["spec"]["triggers"]}
    led = set[str]()
    for one in pods:
        query = {"acc": "ILIOS", "consumers": "true", "config": "true"}
        async with session.get(f"{one.monitor}/jsz", params=query) as answer:
            found: Any = await answer.json(content_type=None)
        for account in found.get("account_details", ()):
            for stream in account.get("stream_detail", ()):
                led |= {
                    consumer["name"]
                    for consumer in stream.get("consumer_detail", ())
                    if consumer["cluster"]["leader"] == one.name
                    and wanted.get(consumer["name"], {}).get("stream") == stream["name"]
                    and wanted[consumer["name"]]["account"] == account["name"]
                }
    return led == set(wanted)


async def test_the_layout_survives_the_death_of_a_worker_and_of_a_node(
    rclone: S3Server, tmp_path: Path
) -> None:
    nats, core_manifest, worker_manifest = (
        workload("StatefulSet", "nats"),
        workload("StatefulSet", "ilios-core"),
        workload("Deployment", "ilios-workers"),
    )
    async with running_nats(tmp_path / "nats") as pods, aiohttp.ClientSession() as session:
        bus: dict[str, str] = {}
        add_env_file(bus, tmp_path / "nats" / configuration.SERVICE_FILE)
        here = bus | rclone.environ(rclone.config())
        core_environ = settings(core_manifest, tmp_path / "core", here)
        core = RunningService(Path(core_environ["ILIOS_DATA_DIR"]), **core_environ)
        workers = []
        for number in range(2):
            own = settings(worker_manifest, tmp_path / f"worker{number}", here)
            worker = WorkerHost(Path(own["ILIOS_DATA_DIR"]), **own | {"ILIOS_LOG_LEVEL": "debug"})
            _, *worker.roles = container(worker_manifest)["args"]
            worker.log = tmp_path / f"worker{number}.log"
            workers.append(worker)
        try:
            await asyncio.gather(core.start(), *(worker.start() for worker in workers))
            key = {"Authorization": f"Bearer {core_environ['API_KEY']}"}
            async with ServiceClient(core, headers=key) as client:
                assert await statuses(session, pods[0].monitor, nats) == {200}
                assert await statuses(session, core.url, core_manifest) == {200}
                assert await statuses(session, workers[0].url, worker_manifest) == {200}
                await wait_until(lambda: has_queues(session, pods))
                for _ in range(DOCUMENTS):
                    await wait_until(client.is_accepted)
                await wait_until(lambda: sum(worker.converted for worker in workers) > 0)
                await workers[0].kill("all")
                await pods[1].kill()
                for _ in range(DOCUMENTS):
                    await wait_until(client.is_accepted)
                await pods[1].start()
                await wait_until_completed(client, core.data_dir)
        finally:
            for host in (core, *workers):
                await host.stop()


async def test_with_the_arguments_of_the_tls_component_a_node_is_reached_by_tls_only(
    tmp_path: Path,
) -> None:
    files = make_certificates(tmp_path)
    component = yaml.safe_load((KUBERNETES / "tls" / "kustomization.yaml").read_text())
    (arguments,) = (
        change["value"]
        for patch in component["patches"]
        for change in yaml.safe_load(patch["patch"])
        if change["path"].endswith("/args")
    )
    places = {"/etc/nats-tls/tls.crt": files.certificate, "/etc/nats-tls/tls.key": files.key}
    for place, here in places.items():
        arguments = [word.replace(place, str(here)) for word in arguments]
    directory = tmp_path / "nats"
    directory.mkdir()
    node = configuration.Node("ilios-1", "127.0.0.1", free_port(), free_port(), f"{directory}/1")
    configuration.write_configuration(directory, ("default",), [node])
    bus: dict[str, str] = {}
    add_env_file(bus, directory / configuration.SERVICE_FILE)
    target = Target(
        servers=(bus["NATS_URL"],), user=bus["NATS_USER"], password=bus["NATS_PASSWORD"]
    )
    one = NatsPod(0, directory, *arguments)
    await one.start()
    try:
        with_authority = msgspec.structs.replace(target, ca_file=str(files.ca))
        await wait_until(lambda: is_reached(with_authority))
        assert not await is_reached(target)
    finally:
        await one.kill()


async def is_reached(target: Target) -> bool:
    try:
        async with connect(target, name="tests"):
            return True
    except BusUnavailable:
        return False
