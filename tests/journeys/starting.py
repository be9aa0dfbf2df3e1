"""A service that waits for something when it starts, and what it answers meanwhile."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.journeys.running import RunningService
from tests.journeys.visitors import Visitor
from tests.waiting import until

WITHIN = 60.0  # seconds; a machine under load is slow, not wrong


def free_port() -> int:
    """Return a port nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


@asynccontextmanager
async def starting(data: Path, **environ: str) -> AsyncIterator[tuple[RunningService, Visitor]]:
    """Start the service without waiting until it is ready; nothing of it is left afterwards."""
    service = RunningService(data, PORT=str(free_port()), **environ)
    await service.spawn()
    try:
        async with Visitor(service) as visitor:
            await until(lambda: service.has_ended or is_alive(visitor), within=WITHIN)
            assert not service.has_ended
            yield service, visitor
    finally:
        await service.stop()


async def is_alive(visitor: Visitor) -> bool:
    try:
        return (await visitor.ask("GET", "/livez")).status == 200
    except aiohttp.ClientConnectionError:
        return False


async def waits_for(visitor: Visitor, reason: str) -> None:
    """Wait until health names the reason, and see that everything else is refused."""

    async def is_named() -> bool:
        return reason in await visitor.problem()

    await until(is_named, within=WITHIN)
    await is_refused(visitor)


async def is_refused(visitor: Visitor) -> None:
    """See that the service lives, is unready, and answers nothing else."""
    assert (await visitor.ask("GET", "/livez")).status == 200
    for path in ("/readyz", "/health"):
        assert (await visitor.ask("GET", path)).status == 503
    for answer in (
        await visitor.submit(),
        await visitor.ask("GET", "/api/documents/status/abcdefghij0123456789abcd"),
        await visitor.ask("GET", "/api/usage/summary"),
    ):
        assert (answer.status, answer.code) == (503, "not_ready")
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0


async def is_ready(visitor: Visitor) -> bool:
    return (await visitor.ask("GET", "/readyz")).status == 200
