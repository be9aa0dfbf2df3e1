"""The service on a log of three nodes: edges at different nodes, and a log without a leader."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from bus.connection import connect
from bus.diagnostics import PublishStats
from bus.target import Target
from ilios.database.sqlite import DamageMonitor
from ilios.edge.server import ListeningSockets
from ilios.edge_process.child import EdgeChild
from ilios.edge_process.messages import Start, State
from ilios.edge_process.process import CoreParts, EdgeProcess
from ilios.integrity.faults import Faults
from ilios.runtime.supervisor import Supervisor
from ilios.settings import environ, transfer
from schemas.service_replies import HealthReport
from tests.bus.cluster import Cluster, running_cluster
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient, billed_documents, document_states
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
PAIRS, AT_ONCE = 200, 8
WITHIN = 60.0  # seconds; a machine under load is slow, not wrong
UNHEALTHY_WITHIN = 15.0  # seconds
SUBMIT = "/api/documents/submit"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path / "cluster", "always") as cluster:
        yield cluster


async def healthy() -> HealthReport:
    return HealthReport(services={}, healthy=True, problems=[])


@asynccontextmanager
async def edge_beside(data_dir: Path, bus_url: str) -> AsyncIterator[str]:
    """Run an edge process on the data of a service, connected to another node; yields its URL."""
    settings = environ.from_environ(
        {"ILIOS_DATA_DIR": str(data_dir), "NATS_URL": bus_url, "ILIOS_LOG_LEVEL": "debug"}
    )
    parts = CoreParts(
        healthy, Faults(), DamageMonitor(settings.database_path), PublishStats(), lambda *_: None
    )
    async with ListeningSockets.open("127.0.0.1", 0) as sockets:

        def start(state: State) -> Start:
            encoded = transfer.encode(settings)
            return Start(encoded, Target.of(bus_url), None, sockets.descriptors, [], state)

        edge = EdgeProcess(sockets, parts, start, await EdgeChild.spawn(sockets))
        async with Supervisor().running("edge process", edge.run), edge.draining_at_exit():
            await edge.wait_until_ready()
            yield sockets.url


async def submit(
    session: aiohttp.ClientSession, url: str, number: int
) -> tuple[int, dict[str, object]]:
    form = aiohttp.FormData()
    form.add_field("file", f"Letter number {number}\n".encode(), filename="letter.txt")
    headers = {"Idempotency-Key": f"letter-{number}"}
    async with session.post(url + SUBMIT, data=form, headers=headers) as answer:
        return answer.status, msgspec.json.decode(await answer.read())


async def test_one_key_at_two_edges_of_different_nodes_is_one_document(
    tmp_path: Path, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    data, (first, second, _) = tmp_path / "data", cluster.nodes
    settings = {
        "NATS_URL": first.url,
        "ILIOS_EDGE_PROCESSES": "1",
        "ILIOS_LOG_LEVEL": "debug",
    }
    places = asyncio.Semaphore(AT_ONCE)
    async with (
        running_service(data, **settings) as service,
        edge_beside(data, second.url) as other,
        aiohttp.ClientSession() as session,
    ):

        async def submit_pair(number: int) -> str:
            async with places:
                one, two = await asyncio.gather(
                    submit(session, service.url, number), submit(session, other, number)
                )
            assert one == two
            assert one[0] == 202, one
            return str(one[1]["id"])

        names = await asyncio.gather(*map(submit_pair, range(PAIRS)))
        assert len(set(names)) == PAIRS
        await wait_until(lambda: completed(data) == set(names), within=WITHIN)
        assert billed_documents(data / "ilios.db") == sorted(names)
        assert set(document_states(data / "ilios.db")) == set(names)
    undecided = capfd.readouterr().err.count("publish undecided")
    assert undecided, "no two publishes met, so this has shown nothing"


def completed(data: Path) -> set[str]:
    states = document_states(data / "ilios.db")
    return {name for name, state in states.items() if state == "completed"}


async def test_a_log_without_a_leader_is_unhealthy_and_loses_nothing(
    tmp_path: Path, cluster: Cluster
) -> None:
    data = tmp_path / "data"
    async with connect(cluster.nodes[0].url, name="test") as connection:
        ours, other = await cluster.followers(connection)
        leader = await cluster.leader(connection)
    async with (
        running_service(data, NATS_URL=ours.url) as service,
        ServiceClient(service) as client,
    ):
        assert await client.is_accepted()
        assert await is_healthy(service)
        other.kill()
        leader.kill()

        async def names_the_bus() -> bool:
            return "bus: " in await client.health_error()

        await wait_until(names_the_bus, within=UNHEALTHY_WITHIN)
        assert await is_unhealthy(service)
        refused = await client.submit()
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
        other.start()
        leader.start()
        await wait_until(lambda: is_healthy(service), within=WITHIN)
        assert await client.is_accepted()
        await wait_until(lambda: client.accepted_texts.keys() <= completed(data), within=WITHIN)


async def readiness(service: RunningService) -> tuple[int, int]:
    """Return the status codes of health and readiness."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{service.url}/health") as health,
        session.get(f"{service.url}/readyz") as ready,
    ):
        return health.status, ready.status


async def is_healthy(service: RunningService) -> bool:
    return await readiness(service) == (200, 200)


async def is_unhealthy(service: RunningService) -> bool:
    return await readiness(service) == (503, 503)
