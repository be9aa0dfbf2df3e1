"""Middleware for every request: common headers, access log, CORS preflight, blocking faults."""

import random
import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from bus import tracing
from ilios.edge.context import EDGE, REQUEST_ID
from ilios.edge.errors import RESPONSE_STARTED, not_ready

METRICS_PATH = "/metrics"
HEALTH_PATHS = frozenset({"/health", "/livez", "/readyz", METRICS_PATH})
"""Answered even when there is no room for anything else."""
STATIC_PATHS = frozenset({"/", "/docs", "/openapi.json", "/asyncapi.json"})
"""Answered from the program itself, whatever fault there is."""
STATIC_PREFIX = "/docs/"
"""Path of the files of the pages."""
WRITE_METHODS = frozenset({"DELETE", "PATCH", "POST", "PUT"})

_EXPOSED_HEADERS = (
    "X-Document-Id, X-Processing-Time-Ms, X-Extracted-Pages, X-Partial, X-Warnings, X-Request-Id, "
    "Location, ETag, Content-Range, Content-Disposition, Retry-After, Accept-Ranges, "
    "Idempotent-Replayed, Preference-Applied"
)
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, X-Api-Key, Idempotency-Key, Prefer, "
        "Range, If-Range, If-Match, If-None-Match, Last-Event-ID"
    ),
    "Access-Control-Max-Age": "86400",
}

log = structlog.get_logger("access")


async def on_response_prepare(request: web.Request, response: web.StreamResponse) -> None:
    """Run ``start_response``, as the signal of that name; also before streamed responses."""
    start_response(request, response)


def start_response(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add the headers of every response, and note that it is about to be sent."""
    response.headers.update(common_headers(request.get(REQUEST_ID, "")))
    request[RESPONSE_STARTED] = True


def common_headers(request_id: str) -> dict[str, str]:
    """Return the headers of every response."""
    return {
        "Server": "ilios",  # aiohttp would send its version
        "X-Request-Id": request_id,
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
    }


def new_request_id() -> str:
    """Return a random id for a request."""
    # Not from the kernel, which is slower: the id names a request and protects nothing.
    return f"{random.getrandbits(64):016x}"


def assign_request_id(request: web.BaseRequest) -> None:
    """Give the request an id, for its response and for every line logged for it."""
    request[REQUEST_ID] = request_id = new_request_id()
    structlog.contextvars.bind_contextvars(request_id=request_id)


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log each request by its route, without path and query, which may hold ids and keys."""
    began = time.perf_counter()
    assign_request_id(request)
    tracing.bind(request.headers.getall(tracing.HEADER, ()))
    status = 499  # what nginx calls a client that hung up
    try:
        response = await handler(request)
        status = response.status
    finally:
        seconds = time.perf_counter() - began
        milliseconds = round(seconds * 1000, 1)
        route = _route_pattern(request)
        edge = request.app.get(EDGE)  # none during the start
        if edge is not None and edge.metrics is not None:
            edge.metrics.requests.observe(request.method, route, status, seconds)
        write = log.debug if status < 400 else log.info if status < 500 else log.warning
        write(
            "request",
            method=request.method,
            route=route,
            status=status,
            milliseconds=milliseconds,
        )
    return response


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer ``OPTIONS`` at every address without a key (WHATWG Fetch, CORS)."""
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=_PREFLIGHT_HEADERS)
    return await handler(request)


@web.middleware
async def reject_while_faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 503 while a fault blocks the service, except to health checks and static pages.

    Faults of the storage are checked once more after a request that changes something: if there is
    one now, the answer must not promise that the change is stored.
    """
    if (
        request.path in HEALTH_PATHS
        or request.path in STATIC_PATHS
        or request.path.startswith(STATIC_PREFIX)
    ):
        return await handler(request)
    edge = request.app[EDGE]
    if edge.faults.blocking is not None:
        raise not_ready()
    response = await handler(request)
    if request.method in WRITE_METHODS and not response.prepared:
        edge.check_faults()
        if edge.faults.storage is not None:
            raise not_ready()
    return response


def _route_pattern(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
