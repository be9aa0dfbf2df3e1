"""How long submissions and work pause when nodes of a NATS cluster move, or are killed."""

import asyncio
import math
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.client import Client
from bus.errors import BusUnavailable
from ilios.chaos.hosts.network import Network
from ilios.chaos.hosts.nodes import NodeProcess
from ilios.chaos.hosts.system import ServiceOnHosts
from ilios.chaos.processes import EDGE

SUBMIT = "/api/documents/submit"
CLIENTS = 4
PAUSE = 0.02  # seconds between two submissions of a client
BEFORE, AFTER = 1.5, 6.0  # seconds of load before and after a move
LONGEST_GAP = 0.5  # seconds between two 202s, for planned moves
RESUMED, RECONNECTED = 2.0, 1.0  # seconds after a new leader, and after the death of our node
ELECTED_WITHIN = 30.0  # seconds
ANSWERED_WITHIN = 0.1  # seconds for one question who leads


async def measure(rounds: int = 2) -> None:
    """Step leaders down, put nodes into lame duck mode, kill them; print the pauses."""
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        service = ServiceOnHosts(Path(name), Network(apart=False), nodes=3, workers=0)
        try:
            await service.start()
            await service.nodes.wait_until_whole()
            for _ in range(rounds):
                await _planned(service, "leader steps down", service.nodes.step_down)
                await _planned(
                    service, "our node in lame duck mode", lambda: _lame_duck(service, ours=True)
                )
                await _planned(
                    service, "leader in lame duck mode", lambda: _lame_duck(service, ours=False)
                )
                await _leader_killed(service)
                await _our_node_killed(service)
        finally:
            await service.stop()
            await service.kill_leftovers()


class _Entry(Struct):
    timestamp: datetime
    event: str


class _Load:
    """Submissions of several clients, and when each was accepted."""

    def __init__(self, service: ServiceOnHosts) -> None:
        self.accepted_at: list[float] = []
        self._service = service
        self._made = 0

    async def run(self) -> None:
        """Submit for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._submit())

    async def _submit(self) -> None:
        client = Client(self._service.url)
        try:
            while True:
                self._made += 1
                text = f"Letter number {self._made}\n".encode()
                if (await client.post_file(SUBMIT, "letter.txt", text)).status == 202:
                    self.accepted_at.append(time.monotonic())
                await asyncio.sleep(PAUSE)
        finally:
            client.close()

    def longest_gap(self, since: float) -> float:
        """Return the longest time between two 202s, of which one is after ``since``."""
        return max(after - before for before, after in pairwise(self.accepted_at) if after > since)


async def _planned(
    service: ServiceOnHosts, what: str, move: Callable[[], Awaitable[NodeProcess | None]]
) -> None:
    """Play a planned move under load, and print the longest gap."""
    await service.nodes.wait_until_whole()
    load, moved_at, left = await _under_load(service, move)
    gap = load.longest_gap(moved_at)
    verdict = "ok" if gap < LONGEST_GAP else f"NOT MET: {LONGEST_GAP} s"
    print(f"{what:<32}longest gap between two 202s {gap:6.2f} s  {verdict}", flush=True)
    if left is not None:
        await left.end(signal.SIGKILL)
        await service.nodes.start(left)


async def _under_load(
    service: ServiceOnHosts, move: Callable[[], Awaitable[NodeProcess | None]]
) -> tuple[_Load, float, NodeProcess | None]:
    load = _Load(service)
    working = asyncio.create_task(load.run())
    try:
        await asyncio.sleep(BEFORE)
        moved_at = time.monotonic()
        node = await move()
        until = load.accepted_at[-1] + AFTER
        while load.accepted_at[-1] < until:
            if working.done():
                working.result()
            await asyncio.sleep(PAUSE)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    return load, moved_at, node


async def _lame_duck(service: ServiceOnHosts, *, ours: bool) -> NodeProcess:
    node = _our_node(service) if ours else await service.nodes.leader()
    node.send(signal.SIGUSR2)
    return node


def _our_node(service: ServiceOnHosts) -> NodeProcess:
    """Return the node to which the edge publishes."""
    return service.nodes.node_of((service.children(EDGE) or [service.pid])[0])


async def _leader_killed(service: ServiceOnHosts) -> None:
    """Kill the leader of the log; print how long after the new one work goes on."""
    await service.nodes.wait_until_whole()
    elected_at = 0.0

    async def kill() -> NodeProcess:
        nonlocal elected_at
        leader = await service.nodes.leader()
        await leader.end(signal.SIGKILL)
        deadline = time.monotonic() + ELECTED_WITHIN
        while time.monotonic() < deadline:
            with suppress(BusUnavailable):
                if await service.nodes.leader(ANSWERED_WITHIN) is not leader:
                    elected_at = time.monotonic()
                    break
        return leader

    load, killed_at, killed = await _under_load(service, kill)
    resumed = next((at for at in load.accepted_at if at > elected_at), math.inf) - elected_at
    verdict = "ok" if resumed < RESUMED else f"NOT MET: {RESUMED} s"
    print(
        f"{'leader killed':<32}elected after {elected_at - killed_at:.2f} s, longest gap "
        f"{load.longest_gap(killed_at):.2f} s, next 202 {resumed:.2f} s after it  {verdict}",
        flush=True,
    )
    assert killed is not None
    await service.nodes.start(killed)


async def _our_node_killed(service: ServiceOnHosts) -> None:
    """Kill the node of our connections; print how long they were away."""
    await service.nodes.wait_until_whole()

    async def kill() -> NodeProcess:
        node = _our_node(service)
        await node.end(signal.SIGKILL)
        return node

    began = datetime.now(UTC)
    load, killed_at, killed = await _under_load(service, kill)
    away = _away(service, began)
    verdict = "ok" if away < RECONNECTED else f"NOT MET: {RECONNECTED} s"
    print(
        f"{'our node killed':<32}away {away:.3f} s, longest gap "
        f"{load.longest_gap(killed_at):.2f} s  {verdict}",
        flush=True,
    )
    assert killed is not None
    await service.nodes.start(killed)


def _away(service: ServiceOnHosts, since: datetime) -> float:
    """Return the longest time from a disconnect to the reconnect, by the log of the service."""
    assert service.log is not None
    gone_at, longest = since, 0.0
    for line in service.log.read_bytes().splitlines():
        try:
            entry = msgspec.json.decode(line, type=_Entry)
        except msgspec.MsgspecError:
            continue
        if entry.timestamp < since:
            continue
        if entry.event == "bus disconnected":
            gone_at = entry.timestamp
        elif entry.event == "bus reconnected":
            longest = max(longest, (entry.timestamp - gone_at).total_seconds())
    return longest
