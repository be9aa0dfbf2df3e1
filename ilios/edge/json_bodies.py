"""Reads small JSON bodies, and takes nothing for JSON that two readers might read differently."""

import json
from typing import Any, NoReturn

from aiohttp import web

from ilios.edge import uploads
from ilios.edge.errors import Refused
from ilios.edge.forms import media_type
from ilios.edge.keys import EDGE
from ilios.edge.pace import Pace

MAX_BYTES = 64 * 1024


async def read_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object a request carries.

    :raises Refused: another media type (415), too large (413), too slow (408), no object (400).
    """
    uploads.refuse_compressed(request)
    if media_type(request.headers.get("Content-Type")) != "application/json":
        raise Refused(
            415, "json_expected", "Send a JSON object, with Content-Type: application/json"
        )
    if (request.content_length or 0) > MAX_BYTES:
        raise _too_large()
    await uploads.invite(request)
    limits = request.app[EDGE].limits
    body, pace = bytearray(), Pace(limits, grace=limits.small_grace)
    while chunk := await pace.read(request.content.read(MAX_BYTES)):
        body += chunk
        if len(body) > MAX_BYTES:
            raise _too_large()
    try:
        found = json.loads(
            body.decode(), object_pairs_hook=_without_doubles, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):  # the former also for numbers of thousands of digits
        raise _malformed("The request body is not well-formed JSON") from None
    if not isinstance(found, dict):
        raise _malformed("The request body must be a JSON object")
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Python takes the last of them, others the first.
        raise _malformed("The request body has a member twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which JSON does not have


def _malformed(error: str) -> Refused:
    return Refused(400, "malformed_json", error)


def _too_large() -> Refused:
    return Refused(413, "request_too_large", f"The request body exceeds {MAX_BYTES // 1024} KiB")
