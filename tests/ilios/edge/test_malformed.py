"""Requests that aiohttp's parser rejects are answered like those of the application."""

import pytest
import structlog
from aiohttp import ClientPayloadError
from structlog.testing import capture_logs

from tests.ilios.edge.world import ID, PDF, World, post_request, read_response

LINE = b"GET /livez HTTP/1.1\r\nHost: a\r\n"
SECRET = b"echo-me-not"

MALFORMED = {
    "a request line of garbage": SECRET + b" and nothing else\r\n\r\n",
    "TLS on this port": b"\x16\x03\x01\x02\x00\x01\x00" + SECRET + b"\r\n\r\n",
    "a header over 8 KiB": LINE + b"X: " + SECRET * 1000 + b"\r\n\r\n",
    "a URL over 8 KiB": b"GET /" + SECRET * 1000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a bare line feed in a header": LINE + b"X: a\n" + SECRET + b"\r\n\r\n",
    "a header without a colon": LINE + SECRET + b"\r\n\r\n",
    "a length that is no number": LINE + b"Content-Length: " + SECRET + b"\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\nX: " + SECRET + b"\r\n\r\n",
    "two lengths": LINE + b"X: " + SECRET + b"\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_cannot_be_parsed_is_a_problem_that_repeats_nothing(
    world: World, raw: bytes
) -> None:
    await world.serve("key-1")
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        answer = await world.send_raw(raw)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["server"] == "ilios"
    assert answer.headers["access-control-allow-origin"] == "*"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (400, "malformed_request")
    assert problem["error"] == problem["detail"]
    assert problem["requestId"] == answer.headers["x-request-id"] != ""
    assert SECRET not in answer.body
    (logged,) = logs
    assert (logged["event"], logged["log_level"]) == ("malformed request", "info")
    assert logged["request_id"] == problem["requestId"]
    assert SECRET.decode() not in str(logs)


async def test_a_malformed_request_ends_its_connection_and_no_other(world: World) -> None:
    client = await world.serve()
    reader, writer = await world.connect()
    writer.write(LINE + b"\r\n")
    assert (await read_response(reader)).status == 200
    writer.write(b"nonsense\r\n\r\n" + LINE + b"\r\n")
    assert (await read_response(reader)).json()["code"] == "malformed_request"
    assert await reader.read() == b""
    writer.close()
    async with client.get("/livez") as answer:
        assert answer.status == 200


async def test_an_answer_that_is_broken_off_leaves_no_traceback(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await world.serve()
    document = await world.add_completed(bytes(1_000_000))
    assert document.markdown is not None
    await world.blobs.put_bytes(document.markdown.key, bytes(999_999))
    with capture_logs() as logs, pytest.raises(ClientPayloadError):
        async with client.get(f"/api/documents/{ID}") as answer:
            await answer.read()
    assert [line["event"] for line in logs] == ["blob damaged", "request"]
    assert caplog.records == []


async def test_a_connection_of_ours_that_fails_is_not_taken_for_the_clients(world: World) -> None:
    await world.serve()
    world.reads.error = ConnectionRefusedError("10.0.0.1 refused")
    with capture_logs() as logs:
        answer = await world.send_raw(
            f"GET /api/documents/{ID} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        )
    assert (answer.status, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert b"10.0.0.1" not in answer.body
    assert "unexpected error" in [line["event"] for line in logs]


async def test_a_failure_outside_the_application_is_a_problem_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_request: object) -> str:
        raise RuntimeError("secret")

    monkeypatch.setattr("ilios.edge.middleware._route_pattern", fails)
    await world.serve()
    with capture_logs() as logs:
        answer = await world.send_raw(post_request(PDF, path="/nowhere"))
    assert (answer.status, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["server"] == "ilios"
    assert b"secret" not in answer.body
    assert [line["log_level"] for line in logs] == ["error"]
