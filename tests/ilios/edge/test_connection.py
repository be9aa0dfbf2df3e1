"""Deadlines of one connection, on real sockets."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from ilios.edge.connection import Connection
from tests.ilios.edge import hostile
from tests.ilios.edge.world import (
    ID,
    PDF,
    World,
    file_part,
    multipart_form,
    post_request,
    read_response,
    record,
)
from tests.waiting import wait_until

LIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
STATUS = f"GET /api/documents/status/{ID} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
BEGUN = b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Drip: "
LONG = 30_000_000  # bytes; more than kernels keep for a client
DOWNLOAD = f"GET /api/documents/{ID} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
CUT_OFF = {"event": "request", "status": 499}
SOON = 20  # seconds; for what takes a fraction of one on a machine that is not loaded


def test_no_attribute_of_a_connection_hides_one_of_aiohttp() -> None:
    theirs = {name for one in web.RequestHandler.__mro__ for name in getattr(one, "__slots__", ())}
    assert theirs & set(Connection.__slots__) == set()


@asynccontextmanager
async def connected(
    world: World,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw connection to the edge; everything in its context has ``SOON`` seconds."""
    reader, writer = await world.connect()
    try:
        async with asyncio.timeout(SOON):
            yield reader, writer
    finally:
        writer.close()


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a byte of a header now and then, until the connection is closed."""
    with suppress(ConnectionError):
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)  # as slow as the client is


async def test_a_slow_header_is_answered_with_a_problem(world: World) -> None:
    await world.serve(header_timeout=0.3)
    async with connected(world) as (reader, writer):
        writer.write(BEGUN)
        dripping = asyncio.create_task(drip(writer))
        answer = await read_response(reader)
        hostile.assert_refused(answer)
        assert (answer.status, answer.json()["code"]) == (408, "request_too_slow")
        with suppress(ConnectionResetError):  # the last drips have found nobody
            assert await reader.read() == b""
        dripping.cancel()


async def test_a_silent_client_is_disconnected_without_a_response(world: World) -> None:
    await world.serve(header_timeout=0.2)
    async with connected(world) as (reader, _):
        assert await reader.read() == b""


async def test_a_second_header_has_its_deadline_too(world: World) -> None:
    await world.serve(header_timeout=0.3)
    async with connected(world) as (reader, writer):
        writer.write(LIVE)
        assert (await read_response(reader)).status == 200
        writer.write(BEGUN)
        assert (await read_response(reader)).json()["code"] == "request_too_slow"
        assert await reader.read() == b""


async def test_the_deadline_of_a_header_ends_no_rest_between_requests(world: World) -> None:
    await world.serve(header_timeout=0.2)
    async with connected(world) as (reader, writer), connected(world) as (idle, _):
        writer.write(LIVE)
        assert (await read_response(reader)).status == 200
        assert await idle.read() == b""  # a deadline that began later is over
        writer.write(LIVE)
        assert (await read_response(reader)).status == 200


async def test_the_deadline_of_a_header_is_none_of_a_body(world: World) -> None:
    await world.serve(header_timeout=0.2)
    raw = post_request(multipart_form(file_part()))
    async with connected(world) as (reader, writer), connected(world) as (idle, _):
        writer.write(raw[:-10])
        assert await idle.read() == b""
        writer.write(raw[-10:])
        assert (await read_response(reader)).status == 202


async def test_a_body_that_is_arriving_when_the_edge_stops_is_accepted(world: World) -> None:
    await world.serve()
    raw = post_request(multipart_form(file_part(content=PDF + bytes(600_000))))
    async with connected(world) as (reader, writer), connected(world) as (idle, idle_writer):
        idle_writer.write(LIVE)
        await read_response(idle)
        writer.write(raw[:-10])
        await wait_until(lambda: world.uploads_in_progress() == 1)
        stopping = asyncio.create_task(world.stop_edge())
        assert await idle.read() == b""

        writer.write(raw[-10:])

        assert (await read_response(reader)).status == 202
        assert await reader.read() == b""
        await stopping


@pytest.mark.slow
async def test_a_body_that_does_not_go_on_delays_the_stop_of_the_edge_only_so_long(
    world: World,
) -> None:
    await world.serve()
    async with connected(world) as (reader, writer):
        writer.write(post_request(multipart_form(file_part(content=bytes(600_000))))[:-10])
        await wait_until(lambda: world.uploads_in_progress() == 1)

        await world.stop_edge()

        assert await reader.read() == b""
        assert world.stored_files() == set()


async def test_a_small_body_that_drips_is_given_up_soon(world: World) -> None:
    await world.serve(small_body_grace=0.1)
    raw = post_request(b"", path=hostile.UPLOAD_URL, content_type="application/json", length=60_000)
    async with connected(world) as (reader, writer):
        writer.write(raw)
        dripping = asyncio.create_task(drip(writer))
        answer = await read_response(reader)
        assert (answer.status, answer.json()["code"]) == (408, "upload_too_slow")
        dripping.cancel()


async def test_a_half_closed_client_still_receives_the_response(world: World) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    world.reads.add(record())
    answer_at_once = world.reads.document

    async def answer_late(tenant: str, document_id: str) -> Any:
        asked.set()
        await go_on.wait()
        return await answer_at_once(tenant, document_id)

    world.reads.document = answer_late  # type: ignore[method-assign]
    await world.serve()
    async with connected(world) as (reader, writer), connected(world) as (other, its):
        writer.write(STATUS)
        writer.write_eof()
        await asked.wait()
        its.write(LIVE)
        assert (await read_response(other)).status == 200  # the end was seen by now
        go_on.set()
        answer = await read_response(reader)
        assert (answer.status, answer.json()["id"]) == (200, ID)
        assert await reader.read() == b"", "nothing more can come, so it is closed"


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (LIVE + LIVE, [200, 200]),
        (post_request(multipart_form(file_part())), [202]),
        (b"nonsense\r\n\r\n", [400]),
        (LIVE * 40, [200] * 40),
    ],
)
async def test_all_that_was_asked_before_the_end_is_answered(
    world: World, raw: bytes, statuses: list[int]
) -> None:
    await world.serve()
    async with connected(world) as (reader, writer):
        writer.write(raw)
        writer.write_eof()
        assert [(await read_response(reader)).status for _ in statuses] == statuses
        assert await reader.read() == b""


@pytest.mark.parametrize("raw", [b"", BEGUN, post_request(multipart_form(file_part()))[:-1]])
async def test_an_end_in_the_middle_of_a_request_is_the_end(world: World, raw: bytes) -> None:
    await world.serve()
    async with connected(world) as (reader, writer):
        writer.write(raw)
        writer.write_eof()
        assert await reader.read() == b""
    await wait_until(lambda: world.stored_files() == set())


async def test_a_client_that_has_sent_its_last_is_not_waited_with_for_ever(world: World) -> None:
    await world.serve(half_closed_timeout=0.2)
    async with connected(world) as (reader, writer):
        writer.write(post_request(multipart_form(file_part()), path="/v1/convert"))
        writer.write_eof()
        assert await reader.read() == b""
        await world.outcomes.released.wait()


async def test_a_long_answer_to_a_client_that_has_sent_its_last_is_not_cut(world: World) -> None:
    await world.serve(half_closed_timeout=0.2)
    await world.add_completed(bytes(LONG))
    async with connected(world) as (reader, writer), connected(world) as (idle, its):
        writer.write(DOWNLOAD)
        writer.write_eof()
        await reader.readuntil(b"\r\n\r\n")
        its.write(post_request(multipart_form(file_part()), path="/v1/convert"))
        its.write_eof()
        assert await idle.read() == b""  # a deadline that began later is over
        assert len(await reader.readexactly(LONG)) == LONG


def narrow(world: World) -> socket.socket:
    """Connect with a small receive buffer; the default is for megabytes."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    made.connect(("127.0.0.1", world.port))
    made.settimeout(0)
    return made


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other kernels have no such option")


@LINUX
async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(world: World) -> None:
    await world.serve(send_timeout=0.5)
    await world.add_completed(bytes(LONG))
    with narrow(world) as client, capture_logs() as logs:
        await asyncio.get_running_loop().sock_sendall(client, DOWNLOAD)
        await wait_until(lambda: CUT_OFF.items() <= logs[-1].items() if logs else False, SOON)


@LINUX
async def test_a_client_that_takes_its_time_gets_all_of_its_answer(world: World) -> None:
    within = 1.0
    await world.serve(send_timeout=within)
    await world.add_completed(bytes(LONG))
    loop = asyncio.get_running_loop()
    began, taken, pause = loop.time(), 0, 0.05
    with narrow(world) as client:
        await loop.sock_sendall(client, DOWNLOAD)
        while some := await loop.sock_recv(client, 16 * 1024 if pause else 1024 * 1024):
            taken += len(some)
            if loop.time() - began > 2.5 * within:
                pause = 0  # it could go on like this for minutes
            await asyncio.sleep(pause)
            if taken > LONG:
                break
    assert taken > LONG  # with its header
