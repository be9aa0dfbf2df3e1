"""The state of a service over all its hosts, as the bus shows it."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from bus import cluster
from bus.backlog import read_backlog
from bus.connection import Connection
from bus.consumers import LANES, Lane
from bus.errors import BusUnavailable
from bus.micro import ask_all
from ilios.host_service import CORE, WORKER, service_name
from ilios.worker_composition import CONSUMERS, Role
from schemas.hosts import HostState, LaneState, ServiceState
from schemas.replies import format_instant

ANSWERS_WITHIN = 0.5  # seconds that processes have to answer


class _Endpoint(Struct):
    data: HostState | None = None


class _Stats(Struct):
    """The members of a reply with statistics that count here."""

    endpoints: list[_Endpoint] = []


async def read_hosts(connection: Connection) -> list[HostState]:
    """Return the states of all processes that answer, core first.

    :raises BusUnavailable: the bus is not connected.
    """
    answers = await asyncio.gather(
        *(
            ask_all(connection, f"$SRV.STATS.{service_name(kind)}", ANSWERS_WITHIN)
            for kind in (CORE, WORKER)
        )
    )
    found: list[HostState] = []
    for body in (one for of_kind in answers for one in of_kind):
        with suppress(msgspec.MsgspecError):  # of another version
            stats = msgspec.json.decode(body, type=_Stats)
            found += [one.data for one in stats.endpoints if one.data is not None]
    return sorted(found, key=lambda one: (one.kind != CORE, one.host, one.pid))


async def read_status(connection: Connection) -> ServiceState:
    """Return the hosts of a service and what waits for them.

    :raises BusUnavailable: the bus does not answer.
    """
    hosts, lanes, drained = await asyncio.gather(
        read_hosts(connection), read_lanes(connection), _read_drained(connection)
    )
    at = format_instant(datetime.now(UTC))
    return ServiceState(at=at, hosts=hosts, lanes=lanes, drained=drained)


async def read_lanes(connection: Connection) -> list[LaneState]:
    """Return what waits in every lane of every role.

    :raises BusUnavailable: the bus does not answer.
    """
    return await asyncio.gather(
        *(_read_lane(connection, role, lane) for role in CONSUMERS for lane in LANES)
    )


async def _read_lane(connection: Connection, role: Role, lane: Lane) -> LaneState:
    found = await read_backlog(connection, CONSUMERS[role], lane)
    age = None
    if found.oldest is not None:
        age = max(0.0, round((datetime.now(UTC) - found.oldest).total_seconds(), 1))
    return LaneState(
        role=role,
        lane=lane.name,
        waiting=found.waiting,
        unfinished=found.unfinished,
        oldest_seconds=age,
        paused_until=format_instant(found.paused_until) if found.paused_until else None,
    )


async def _read_drained(connection: Connection) -> list[str]:
    try:
        return await cluster.drained_hosts(connection)
    except BusUnavailable:
        return []  # no host was ever drained, and there is no stream for it
