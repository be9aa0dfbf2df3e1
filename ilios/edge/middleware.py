"""What every answer carries, and the one line that is logged for it."""

import random
import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from ilios.edge.context import REQUEST_ID

_EXPOSED_HEADERS = (
    "X-Document-Id, X-Processing-Time-Ms, X-Extracted-Pages, X-Request-Id, Location, ETag, "
    "Content-Range, Content-Disposition, Retry-After, Accept-Ranges, Idempotent-Replayed"
)
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, X-Api-Key, Idempotency-Key, Prefer, "
        "Range, If-Range, If-Match, If-None-Match"
    ),
    "Access-Control-Max-Age": "86400",
}

log = structlog.get_logger("access")


async def on_response_prepare(request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer carries; also to those that are streamed (``on_response_prepare``)."""
    add_common_headers(request, response)


def add_common_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add what every answer carries; to be called for answers outside the application."""
    headers = response.headers
    headers["Server"] = "ilios"  # aiohttp would tell its version
    headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    headers["Access-Control-Allow-Origin"] = "*"
    headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS


def assign_request_id(request: web.BaseRequest) -> None:
    """Give the request the id that stands in its answer and in every line logged for it."""
    # Not from the kernel, which takes its time: it names a request and guards nothing.
    request[REQUEST_ID] = request_id = f"{random.getrandbits(64):016x}"
    structlog.contextvars.bind_contextvars(request_id=request_id)


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log each request by its route; neither path nor query, which may hold ids and keys."""
    began = time.perf_counter()
    assign_request_id(request)
    status = 499  # what nginx calls a client that hung up
    try:
        response = await handler(request)
        status = response.status
    finally:
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        write = log.debug if status < 400 else log.info if status < 500 else log.warning
        write(
            "request",
            method=request.method,
            route=_route_pattern(request),
            status=status,
            milliseconds=milliseconds,
        )
    return response


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer ``OPTIONS`` for every address before anybody asks for a key (WHATWG Fetch, CORS)."""
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=_PREFLIGHT_HEADERS)
    return await handler(request)


def _route_pattern(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
