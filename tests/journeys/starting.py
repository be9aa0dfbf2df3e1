"""A service that waits for something at its start, and its responses meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.free_ports import free_port
from tests.journeys.running import RunningService
from tests.journeys.service_client import ServiceClient
from tests.waiting import wait_until

WITHIN = 60.0  # seconds; a machine under load is slow, not wrong


@asynccontextmanager
async def starting_service(
    data: Path, **environ: str
) -> AsyncIterator[tuple[RunningService, ServiceClient]]:
    """Start the service without waiting until it is ready; none of its processes is left."""
    service = RunningService(data, PORT=str(free_port()), **environ)
    await service.spawn()
    try:
        async with ServiceClient(service) as client:
            await wait_until(lambda: service.has_ended or is_alive(client), within=WITHIN)
            assert not service.has_ended
            yield service, client
    finally:
        await service.stop()


async def is_alive(client: ServiceClient) -> bool:
    try:
        return (await client.send("GET", "/livez")).status == 200
    except aiohttp.ClientConnectionError:
        return False


async def check_waits_for(client: ServiceClient, reason: str) -> None:
    """Wait until health names the reason, and check that everything else is refused."""

    async def is_named() -> bool:
        return reason in await client.health_error()

    await wait_until(is_named, within=WITHIN)
    await check_not_ready(client)


async def check_not_ready(client: ServiceClient) -> None:
    """Check that the service is alive, not ready, and refuses everything else."""
    assert (await client.send("GET", "/livez")).status == 200
    for path in ("/readyz", "/health"):
        assert (await client.send("GET", path)).status == 503
    for answer in (
        await client.submit(),
        await client.send("GET", "/api/documents/status/abcdefghij0123456789abcd"),
        await client.send("GET", "/api/usage/summary"),
    ):
        assert (answer.status, answer.code) == (503, "not_ready")
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0


async def is_ready(client: ServiceClient) -> bool:
    return (await client.send("GET", "/readyz")).status == 200
