"""Reads small JSON bodies, and takes nothing for JSON that two readers might read differently."""

import json
from typing import Any, NoReturn

from aiohttp import web

from ilios.edge import uploads
from ilios.edge.body_reader import ReadDeadline
from ilios.edge.context import EDGE
from ilios.edge.errors import HttpProblem
from ilios.edge.multipart import media_type

MAX_BYTES = 64 * 1024


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object a request carries.

    :raises Refused: another media type (415), too large (413), too slow (408), no object (400).
    """
    uploads.reject_compressed(request)
    if media_type(request.headers.get("Content-Type")) != "application/json":
        raise HttpProblem(
            415, "json_expected", "Send a JSON object, with Content-Type: application/json"
        )
    if (request.content_length or 0) > MAX_BYTES:
        raise _too_large()
    await uploads.send_continue(request)
    limits = request.app[EDGE].limits
    body, deadline = bytearray(), ReadDeadline(limits, grace=limits.small_body_grace)
    while chunk := await deadline.read(request.content.read(MAX_BYTES)):
        body += chunk
        if len(body) > MAX_BYTES:
            raise _too_large()
    try:
        found = json.loads(
            body.decode(), object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError):  # the former also for numbers of thousands of digits
        raise _malformed("The request body is not well-formed JSON") from None
    if not isinstance(found, dict):
        raise _malformed("The request body must be a JSON object")
    return found


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Python takes the last of them, others the first.
        raise _malformed("The request body has a member twice")
    return found


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which JSON does not have


def _malformed(error: str) -> HttpProblem:
    return HttpProblem(400, "malformed_json", error)


def _too_large() -> HttpProblem:
    return HttpProblem(
        413, "request_too_large", f"The request body exceeds {MAX_BYTES // 1024} KiB"
    )
