"""A service of the micro protocol, with a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import nats.errors
import pytest

from bus.connection import Connection, connect
from bus.micro import Endpoint, Handler, Lane, Request, Service, ServiceReply
from ilios.nats.server import NatsServer
from tests.waiting import wait_until


async def echo(request: Request) -> ServiceReply:
    if request.body == b"bad":
        return ServiceReply(b"{}", {"Ilios-Status": "400"}, "this is\r\nbad", 400)
    return ServiceReply(request.body + request.subject.encode())


def service(connection: Connection, handle: Handler = echo) -> Service:
    endpoints = (Endpoint("echo", "tests.echo.*", {"request_schema": "{}"}),)
    return Service(
        connection,
        handle,
        endpoints,
        name="tests",
        version="1.2.3",
        description="A test.",
        metadata={"role": "test"},
    )


def lanes(connection: Connection) -> tuple[Lane, ...]:
    return (Lane(connection, ("*",)),)


def no_stop() -> None:
    """Nothing waits that has to be told."""


async def ask(connection: Connection, subject: str, body: bytes = b"") -> Any:
    return json.loads((await connection.request(subject, body)).body)


async def test_ping_info_and_stats_answer_as_the_protocol_has_it(connection: Connection) -> None:
    async with service(connection).running(lanes(connection), no_stop, 1):
        for subject in ("$SRV.PING", "$SRV.PING.tests"):
            ping = await ask(connection, subject)
            assert ping["type"] == "io.nats.micro.v1.ping_response"
            assert (ping["name"], ping["version"]) == ("tests", "1.2.3")
            assert ping["metadata"] == {"role": "test"}
            assert await ask(connection, f"$SRV.PING.tests.{ping['id']}") == ping
        info = await ask(connection, "$SRV.INFO.tests")
        assert info["type"] == "io.nats.micro.v1.info_response"
        assert info["description"] == "A test."
        assert info["endpoints"] == [
            {
                "name": "echo",
                "subject": "tests.echo.*",
                "queue_group": "q",
                "metadata": {"request_schema": "{}"},
            }
        ]
        good = await connection.request("tests.echo.a", b"good")
        assert good.body == b"goodtests.echo.a"
        bad = await connection.request("tests.echo.a", b"bad")
        assert bad.headers["Nats-Service-Error-Code"] == "400"
        assert bad.headers["Nats-Service-Error"] == "this is??bad"
        stats = await ask(connection, "$SRV.STATS.tests")
        assert stats["type"] == "io.nats.micro.v1.stats_response"
        assert stats["started"].endswith("Z")
        (counted,) = stats["endpoints"]
        assert (counted["num_requests"], counted["num_errors"]) == (2, 1)
        assert counted["last_error"] == "400: this is??bad"
        assert counted["average_processing_time"] * 2 <= counted["processing_time"] + 1


async def test_requests_are_handled_at_the_same_time(connection: Connection) -> None:
    together = asyncio.Barrier(3)

    async def meet(_: Request) -> ServiceReply:
        await together.wait()
        return ServiceReply(b"met")

    async with service(connection, meet).running(lanes(connection), no_stop, 1):
        asked = (connection.request(f"tests.echo.{number}", b"") for number in range(3))
        assert [reply.body for reply in await asyncio.gather(*asked)] == [b"met"] * 3


async def test_a_request_without_a_reply_subject_is_not_carried_out(
    connection: Connection,
) -> None:
    handled = []

    async def handle(request: Request) -> ServiceReply:
        handled.append(request.body)
        return ServiceReply(b"")

    async with service(connection, handle).running(lanes(connection), no_stop, 1):
        await connection.client.publish("tests.echo.a", b"unanswerable")
        await connection.request("tests.echo.a", b"answerable")
        (counted,) = (await ask(connection, "$SRV.STATS.tests"))["endpoints"]
    assert handled == [b"answerable"]
    assert counted["last_error"] == "a request without a reply subject"


@pytest.fixture
async def other(nats_server: NatsServer) -> AsyncIterator[Connection]:
    async with connect(nats_server.url("operator"), name="other") as made:
        yield made


async def test_a_service_that_stops_answers_what_it_has_and_leaves_the_rest_to_others(
    connection: Connection, other: Connection
) -> None:
    released, arrived = asyncio.Event(), asyncio.Event()

    async def wait(_: Request) -> ServiceReply:
        arrived.set()
        await released.wait()
        return ServiceReply(b"the first one")

    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        await first.enter_async_context(
            service(connection, wait).running(lanes(connection), released.set, 5)
        )
        waiting = asyncio.create_task(other.client.request("tests.echo.a", b"", timeout=5))
        await arrived.wait()
        await stack.enter_async_context(service(other).running(lanes(other), no_stop, 1))
        await first.aclose()
        assert (await waiting).data == b"the first one"
        for number in range(10):
            reply = await other.request(f"tests.echo.{number}", b"")
            assert reply.body == f"tests.echo.{number}".encode()
    with pytest.raises(nats.errors.NoRespondersError):
        await other.client.request("tests.echo.a", b"", timeout=5)


async def test_a_request_that_takes_too_long_is_broken_off_with_an_answer(
    connection: Connection, other: Connection
) -> None:
    async def forever(_: Request) -> ServiceReply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return ServiceReply(b"broken off")
        raise AssertionError

    async with service(connection, forever).running(lanes(connection), no_stop, 0.05):
        waiting = asyncio.create_task(other.client.request("tests.echo.a", b"", timeout=5))
        await wait_until(lambda: _has_requests(connection))
    assert (await waiting).data == b"broken off"


async def _has_requests(connection: Connection) -> bool:
    (counted,) = (await ask(connection, "$SRV.STATS.tests"))["endpoints"]
    return bool(counted["num_requests"])


async def test_requests_are_answered_after_a_reconnect(
    connection: Connection, other: Connection
) -> None:
    async with service(connection).running(lanes(connection), no_stop, 1):
        await connection.client._process_op_err(ConnectionResetError())  # as if it were cut

        async def is_answered() -> bool:
            try:
                reply = await other.client.request("tests.echo.a", b"", timeout=1)
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                return False
            return bool(reply.data == b"tests.echo.a")

        await wait_until(is_answered)
