"""The sockets answer from the start on, and no connection is refused in between."""

import asyncio

import pytest
from aiohttp import ClientSession, ClientTimeout, FormData

from ilios.edge.app import serve_edge, serve_startup_app
from ilios.edge.server import ListeningSockets
from tests.ilios.edge.world import World
from tests.waiting import wait_until

WHY = "S3 does not answer"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_while_the_service_starts_health_has_the_reason_and_the_rest_is_refused(
    host: str,
) -> None:
    async with (
        ListeningSockets.open(host, 0) as sockets,
        serve_startup_app(sockets, lambda: WHY),
        ClientSession(f"http://{host}:{sockets.port}") as client,
    ):
        async with client.get("/livez") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "alive"})
        for path in ("/readyz", "/health"):
            async with client.get(path) as answer:
                assert answer.status == 503
                assert (await answer.json())["error"] == f"starting: {WHY}"
        async with client.options("/v1/convert") as answer:
            assert answer.status == 204
        for size in (0, 1000, 1_000_000):
            form = FormData()
            form.add_field("file", b"x" * size, filename="a.pdf")
            async with client.post("/v1/convert", data=form) as answer:
                assert answer.status == 503
                assert (await answer.json())["code"] == "not_ready"
                assert int(answer.headers["Retry-After"]) > 0
                assert answer.headers["X-Request-Id"]


async def test_no_connection_is_refused_while_the_edge_takes_over(world: World) -> None:
    seen: list[int] = []

    async def keep_asking(client: ClientSession) -> None:
        while True:
            async with client.get("/readyz") as answer:
                seen.append(answer.status)

    async with (
        ListeningSockets.open("127.0.0.1", 0) as sockets,
        ClientSession(sockets.url, timeout=ClientTimeout(total=60)) as client,
        asyncio.TaskGroup() as group,
    ):
        async with serve_startup_app(sockets, lambda: WHY):
            askers = [group.create_task(keep_asking(client)) for _ in range(8)]
            await wait_until(lambda: len(seen) > 50)
        async with serve_edge(world.edge(), sockets):
            await wait_until(lambda: 200 in seen)
            for asker in askers:
                asker.cancel()
    assert set(seen) == {200, 503}


async def test_when_the_edge_has_closed_no_client_is_left_waiting(world: World) -> None:
    async with ListeningSockets.open("127.0.0.1", 0) as sockets:
        async with serve_edge(world.edge(), sockets):
            pass
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", sockets.port)
