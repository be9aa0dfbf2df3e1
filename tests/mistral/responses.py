"""Responses to the client: whole, or corrupted by a fault."""

import asyncio
import socket
import struct
from typing import Any

import msgspec
from aiohttp import web

from tests.mistral.errors import HTML, JSON, ApiError
from tests.mistral.faults import Fault

NO_LINGER = struct.pack("ii", 1, 0)
"""Closing a connection then sends RST instead of FIN."""


def json_response(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type=JSON, headers=headers
    )


def error_response(error: ApiError) -> web.Response:
    """Return the response of an error."""
    if isinstance(error.body, str):
        return web.Response(
            text=error.body, status=error.status, content_type=HTML, headers=error.headers
        )
    return json_response(error.body, error.status, error.headers)


async def corrupted_response(request: web.Request, body: bytes, fault: Fault) -> web.StreamResponse:
    """Send an answer corrupted by a fault."""
    match fault.kind:
        case "garbage":
            return web.Response(body=b"\x00\xff not JSON " + body[:100], content_type=JSON)
        case "html":
            return web.Response(text="<html><body>Welcome!</body></html>", content_type=HTML)
        case "other_shape":
            return json_response({"object": "list", "data": []})
        case "cut_json":
            return web.Response(body=body[: len(body) // 2], content_type=JSON)
        case "wrong_pages" | "wrong_order":
            return json_response(_rearranged(body, fault))
        case _:
            return await _interrupted_response(request, body, reset=fault.kind == "reset")


def _rearranged(body: bytes, fault: Fault) -> Any:
    answer = msgspec.json.decode(body)
    if isinstance(answer, dict) and isinstance(pages := answer.get("pages"), list):
        answer["pages"] = pages[:-1] if fault.kind == "wrong_pages" else pages[::-1]
    return answer


async def _interrupted_response(
    request: web.Request, body: bytes, *, reset: bool
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": JSON})
    response.content_length = len(body)
    response.force_close()
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    transport = request.transport
    assert transport is not None
    if reset:
        # What was written must have left before the connection goes; there is no event for it.
        while transport.get_write_buffer_size():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER
        )
        transport.abort()
    else:
        transport.close()
    return response
