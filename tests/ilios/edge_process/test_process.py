"""Edge processes that end: one that never serves, and one that served before."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bus.diagnostics import PublishStats
from bus.target import Target
from ilios.database.sqlite import DamageMonitor
from ilios.edge.server import ListeningSockets
from ilios.edge_process import child, messages, process
from ilios.edge_process.channel import Channel
from ilios.edge_process.child import EdgeChild
from ilios.edge_process.messages import Ready, Start, State
from ilios.edge_process.process import CoreParts, EdgeCannotStart, EdgeProcess
from ilios.integrity.faults import Faults
from ilios.runtime import supervisor
from ilios.runtime.supervisor import Supervisor
from schemas.service_replies import HealthReport
from tests.waiting import wait_until


async def healthy() -> HealthReport:
    return HealthReport(services={}, healthy=True, problems=[])


def start(state: State) -> Start:
    return Start(b"", Target(servers=("nats://localhost",)), None, [], [], state)


@asynccontextmanager
async def running(sockets: ListeningSockets, early: EdgeChild) -> AsyncIterator[EdgeProcess]:
    damage = DamageMonitor(Path("ilios.db"))
    parts = CoreParts(healthy, Faults(), damage, PublishStats(), lambda _tenant, _id: None)
    edge = EdgeProcess(sockets, parts, start, early)
    async with Supervisor().running("edge process", edge.run), edge.draining_at_exit():
        yield edge


@pytest.fixture(autouse=True)
def _no_edge_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MODULE", "ilios.no_such_module")
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)


async def test_an_edge_that_never_serves_is_an_error_of_the_start() -> None:
    async with ListeningSockets.open("127.0.0.1", 0) as sockets:
        early = await EdgeChild.spawn(sockets)
        async with running(sockets, early) as edge, asyncio.timeout(30):
            with pytest.raises(EdgeCannotStart, match=r"5 times .* code 1; .*ILIOS_EDGE_PROCESSES"):
                await edge.wait_until_ready()


async def test_clients_of_an_edge_that_does_not_come_back_have_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "ANSWER_AFTER", 0.05)
    ours, theirs = socket.socketpair()
    early = EdgeChild(await asyncio.create_subprocess_exec("sleep", "60"), ours)
    async with (
        ListeningSockets.open("127.0.0.1", 0) as sockets,
        running(sockets, early) as edge,
        aiohttp.ClientSession() as session,
    ):
        async with Channel.open(theirs, messages.from_core) as served:
            served.send(Ready())
            await edge.wait_until_ready()
        await wait_until(lambda: early.exit_code is not None)

        async with asyncio.timeout(30), session.get(f"{sockets.url}/readyz") as answer:
            assert answer.status == 503
            assert "the edge is down: it ended with code" in (await answer.json())["error"]
