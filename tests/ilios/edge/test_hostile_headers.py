"""Requests with hostile request lines and headers."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from ilios.edge import connection
from tests.ilios.edge import hostile
from tests.ilios.edge.world import (
    ID,
    PDF,
    World,
    file_part,
    multipart_form,
    post_request,
    read_response,
)

LIVE = "GET /livez"
CHUNKED = post_request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
GOOD = multipart_form(file_part())


def get(*headers: str, line: str = LIVE) -> bytes:
    return hostile.request(line, b"", *headers)


REFUSED = {
    "an expectation of a GET": (get("Expect: miracles"), 417),
    "an expectation at no address": (get("Expect: miracles", line="GET /nowhere"), 417),
    "an expectation of a DELETE": (get("Expect: x", line=f"DELETE /api/documents/{ID}"), 417),
    "a proxy's CONNECT": (get(line="CONNECT evil.example:443"), 404),
    "TRACE": (get(line="TRACE /livez"), 405),
    "a method that is none": (get(line="BREW /livez"), 400),
    "a method in small letters": (get(line="get /livez"), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/9.9": (b"GET /livez HTTP/9.9\r\nHost: a\r\n\r\n", 400),
    "an asterisk": (get(line="GET *"), 400),
    "a port of 99999": (get(line="GET http://a:99999/livez"), 400),
    "an open bracket": (get(line="GET http://[::1/livez"), 400),
    "a path that is not UTF-8": (get(line="GET /\udcff"), 400),
    "a query that is not UTF-8": (get(line="GET /api/usage/summary?startDate=\udcff"), 400),
    "a path of escapes that are not UTF-8": (get(line="GET /%ff%00%0d%0a"), 404),
    "a path of a lone surrogate": (get(line="GET /%ed%a0%80"), 404),
    "a path up to the code": (get(line="GET /docs/../app.py"), 404),
    "an escaped path up to the code": (get(line="GET /docs/%2e%2e%2fapp.py"), 404),
    "an id up to the root": (get(line="GET /api/documents/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), 400),
    "an id of a NUL": (get(line="GET /api/documents/%00"), 400),
    "two hosts": (get("Host: another"), 400),
    "a NUL in a header": (get("X: a\0b"), 400),
    "an escape in a header": (get("X: a\x1b[31m"), 400),
    "a folded header": (get("X: a\r\n b"), 400),
    "a header without a name": (get(": x"), 400),
    "a blank before the colon": (get("X : x"), 400),
    "a length with a sign": (b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400),
    "a list of lengths": (b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", 400),
    "129 headers": (get(*["X: y"] * 129), 400),
    "a length of 2^64": (hostile.request(f"POST {hostile.SUBMIT}", length=str(2**64)), 400),
    "another coding before the chunks": (
        CHUNKED.replace(b"chunked", b"gzip, chunked") + b"5\r\nhello\r\n0\r\n\r\n",
        415,
    ),
    "chunks twice": (CHUNKED.replace(b"chunked", b"chunked, chunked") + b"0\r\n\r\n", 400),
    "a coding after the chunks": (CHUNKED.replace(b"chunked", b"chunked, identity"), 400),
    "a coding that is none": (CHUNKED.replace(b"chunked", b"xchunked"), 400),
    "a negative chunk": (CHUNKED + b"-5\r\nabc", 400),
    "a chunk of 2^72 bytes": (CHUNKED + b"ffffffffffffffffff\r\nabc", 400),
    "a chunk longer than declared": (CHUNKED + b"3\r\nabcdefg\r\n", 400),
    "chunks with bare line feeds": (CHUNKED + b"5\nabcde\n0\n\n", 400),
    "a trailer that is none": (CHUNKED + b"0\r\nbad trailer\r\n\r\n", 400),
    "two content types": (post_request(GOOD, "Content-Type: text/plain"), 400),
    "two idempotency keys": (post_request(GOOD, "Idempotency-Key: a", "Idempotency-Key: b"), 400),
    "an idempotency key of 8 kB": (post_request(GOOD, f'Idempotency-Key: "{"a" * 8000}'), 400),
    "an idempotency key that is not UTF-8": (post_request(GOOD, "Idempotency-Key: \udcff"), 400),
}


@pytest.mark.parametrize(("raw", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_hostile_head_is_a_problem_and_no_more(
    world: World, raw: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    await world.serve(read_timeout=5)
    answer = await world.send_raw(raw)
    hostile.assert_refused(answer)
    assert answer.status == status
    assert world.stored_files() == set()
    assert caplog.records == []


@pytest.mark.parametrize(
    "key",
    ["\udcff", "ключ", "a" * 8000, "key-1\udc80", "key-1\t2", "=?utf-8?q?key-1?="],
)
async def test_a_key_of_any_bytes_is_an_unknown_key(world: World, key: str) -> None:
    await world.serve("key-1")
    for name in ("Authorization: Bearer ", "X-Api-Key: "):
        answer = await world.send_raw(get(name + key, line=f"GET /api/documents/{ID}"))
        hostile.assert_refused(answer)
        assert answer.status == 401


@pytest.mark.parametrize(
    "garbage", [b"zz\r\n", b"5 \r\n", b"\r\n\r\n", b"-1\r\n", b"0\r\nno trailer\r\n\r\n"]
)
@pytest.mark.parametrize("kind", [hostile.FORM, "application/pdf"])
async def test_garbage_later_in_a_chunked_body_is_refused_at_once(
    world: World, garbage: bytes, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    await world.serve()
    reader, writer = await world.connect()
    body = GOOD[:-30] if kind == hostile.FORM else PDF
    head = CHUNKED.replace(hostile.FORM.encode(), kind.encode())
    writer.write(head.replace(b"Host:", b"Expect: 100-continue\r\nHost:"))
    assert (await read_response(reader)).status == 100  # somebody waits for the body
    writer.write(b"%x\r\n%b\r\n" % (len(body), body) + garbage)
    async with asyncio.timeout(20):
        answer = await read_response(reader)
        assert await reader.read() == b""
    writer.close()
    hostile.assert_refused(answer)
    assert (answer.status, answer.json()["code"]) == (400, "malformed_request")
    assert world.stored_files() == set()
    assert caplog.records == []


async def test_garbage_after_a_request_with_an_unread_body_is_refused_after_its_response(
    world: World,
) -> None:
    await world.serve()
    reader, writer = await world.connect()
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello")
    assert (await read_response(reader)).status == 200
    writer.write(b"zz\r\n")
    hostile.assert_refused(await read_response(reader))
    assert await reader.read() == b""
    writer.close()


async def test_what_offers_another_protocol_is_answered_in_this_one(world: World) -> None:
    await world.serve()
    for protocol in ("websocket", "h2c"):
        offer = ("Connection: upgrade", f"Upgrade: {protocol}")
        assert (await world.send_raw(get(*offer))).status == 200
        assert (await world.send_raw(post_request(GOOD, *offer))).status == 202


async def test_a_content_type_expensive_to_parse_is_not_parsed(world: World) -> None:
    await world.serve()
    for number, path in enumerate((hostile.SUBMIT, hostile.BATCH, hostile.UPLOAD_URL)):
        dear = f"a/b{number};" + '";' * 4000
        spent = time.process_time()
        answer = await world.send_raw(post_request(b"", path=path, content_type=dear))
        hostile.assert_refused(answer)
        assert time.process_time() - spent < 0.25  # seconds; parsed, it takes half of one


async def test_a_client_takes_the_loop_for_a_moment_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[int] = []
    resumed: list[bool] = []
    receive, resume = connection.Connection.data_received, web.RequestHandler.resume_reading

    def count_bytes(self: Any, data: bytes) -> None:
        received.append(len(data))
        receive(self, data)

    def count(self: Any, *again: bool) -> None:
        resumed.append(True)
        resume(self, *again)

    monkeypatch.setattr(connection.Connection, "data_received", count_bytes)
    monkeypatch.setattr(web.RequestHandler, "resume_reading", count)
    await world.serve()
    answer = await world.send_raw(CHUNKED + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")
    hostile.assert_refused(answer)
    assert max(received) <= connection.READ_CHUNK_BYTES
    assert len(resumed) < 1000  # not with every chunk
