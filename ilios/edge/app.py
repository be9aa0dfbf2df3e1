"""The web applications and the server around them: the whole interface, and that of the startup.

While the service starts, a small application answers health checks, and 503 to all else.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from ilios.edge import (
    accept,
    archives,
    auth,
    batch_cancellation,
    batch_downloads,
    batches,
    content,
    convert,
    document_pages,
    documents,
    errors,
    hang_ups,
    health,
    history,
    lists,
    metrics,
    middleware,
    pages,
    preferences,
    resource,
    server,
    upload_urls,
    uploads,
    usage,
)
from ilios.edge.client_slots import ClientSlots
from ilios.edge.context import EDGE, SHUTTING_DOWN, Edge, Limits
from ilios.edge.events import streams, tickets
from ilios.edge.events.feed import FEED, Feed
from ilios.edge.events.sealing import SEALER, Sealer
from ilios.edge.operation import OPERATIONS, Operation, operations_of
from ilios.edge.server import ListeningSockets
from ilios.metrics.exposition import Exposition
from ilios.runtime.fair_semaphore import FairSemaphore
from schemas.service_replies import HealthReport

KEEP_ALIVE = 75.0
"""Seconds an idle connection stays open."""
LINGER = 2.0
"""Seconds a refused client may go on sending before its connection is closed."""
SHUTDOWN_TIMEOUT = 8.0
"""Seconds for the requests under way when the edge closes."""

DECLARED = operations_of(
    convert,
    documents,
    content,
    document_pages,
    batches,
    batch_downloads,
    batch_cancellation,
    lists,
    upload_urls,
    resource,
    history,
    streams,
    tickets,
    usage,
    pages,
    health,
)
"""Every operation, in the order of the description. A module that declares some is named here."""

log = structlog.get_logger("edge")


def make_app(edge: Edge) -> web.Application:
    """Return the application that serves the whole HTTP interface."""
    keys = auth.ApiKeys(edge.api_keys)
    app = web.Application(
        middlewares=[
            middleware.log_requests,
            middleware.answer_preflight,
            errors.problem_middleware,
            middleware.reject_while_faulty,
            auth.auth_middleware(keys),
        ]
    )
    app[EDGE] = edge
    app[auth.API_KEYS] = keys
    app[SHUTTING_DOWN] = asyncio.Event()
    limits, multi_tenant = edge.limits, len(edge.api_keys) > 1
    app[uploads.UPLOAD_LIMITER] = uploads.UploadLimiter(
        limits.max_uploads, limits.upload_slot_timeout, multi_tenant=multi_tenant
    )
    app[archives.ARCHIVE_SLOTS] = FairSemaphore(archives.MAX_OPEN)
    app[hang_ups.HANG_UPS] = hang_ups.HangUps(edge)
    app[SEALER] = Sealer(edge.signer.derive_key("events"))
    app[FEED] = Feed(edge.events, ClientSlots(limits.max_listeners, multi_tenant=multi_tenant))
    app[document_pages.FOLLOWERS] = ClientSlots(limits.max_followers, multi_tenant=multi_tenant)
    app.on_shutdown.append(_signal_shutdown)
    app.on_cleanup.append(_close_hang_ups)
    app.on_response_prepare.append(middleware.on_response_prepare)
    app.on_response_prepare.append(accept.mark_replayed)
    app.on_response_prepare.append(preferences.add_applied)
    app[OPERATIONS] = DECLARED
    app.router.add_get(pages.FILES_PATH, pages.file)
    if edge.metrics is not None and edge.metrics_key is not None:
        metrics.add_metrics(app, edge.metrics, edge.metrics_key)
    paths = Counter(one.path for one in DECLARED)
    for one in DECLARED:
        _add_route(app.router, one, alone=paths[one.path] == 1)
    return app


def _add_route(router: web.UrlDispatcher, operation: Operation, *, alone: bool) -> None:
    defer = uploads.defer_continue if operation.body is not None else None
    if operation.method == "GET":
        router.add_get(operation.path, operation.handle)
        return
    resource = router.add_resource(operation.path)
    resource.add_route(operation.method, operation.handle, expect_handler=defer)
    if operation.method == "POST" and alone and "{" not in operation.path:
        # Or other methods would go on to the resources that take any name as an id.
        resource.add_route("*", errors.only_post)


@asynccontextmanager
async def serve_edge(
    edge: Edge,
    sockets: ListeningSockets,
    *,
    keep_alive: float = KEEP_ALIVE,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
) -> AsyncIterator[None]:
    """Serve while the context is open.

    Leaving closes the sockets first, answers waiting clients with a 202, and gives the requests
    that are under way ``shutdown_timeout`` seconds.
    """
    async with server.serve(
        make_app(edge),
        sockets.attach,
        edge.limits,
        keep_alive=keep_alive,
        linger=LINGER,
        shutdown_timeout=shutdown_timeout,
    ):
        log.info("edge listening", host=sockets.host, port=sockets.port)
        yield
    log.info("edge closed")


async def _close_hang_ups(app: web.Application) -> None:
    await app[hang_ups.HANG_UPS].close()


async def _signal_shutdown(app: web.Application) -> None:
    app[SHUTTING_DOWN].set()
    app[FEED].close()


STARTUP_KEEP_ALIVE = 5.0  # seconds
STARTUP_LINGER = 1.0  # seconds a client may go on sending what is not read
STARTUP_SHUTDOWN_TIMEOUT = 1.0  # seconds for answers that are being sent when the service is ready


@asynccontextmanager
async def serve_startup_app(
    sockets: ListeningSockets, startup_reason: Callable[[], str]
) -> AsyncIterator[None]:
    """Answer while the context is open: the process lives and is not ready.

    ``startup_reason`` returns what the start waits for, a sentence.
    """
    async with server.serve(
        make_startup_app(startup_reason),
        sockets.attach_duplicate,
        Limits(),
        keep_alive=STARTUP_KEEP_ALIVE,
        linger=STARTUP_LINGER,
        shutdown_timeout=STARTUP_SHUTDOWN_TIMEOUT,
    ):
        yield


def make_startup_app(startup_reason: Callable[[], str]) -> web.Application:
    """Return the application of a service that starts."""

    async def ready(_request: web.Request) -> web.StreamResponse:
        problem = f"starting: {startup_reason()}"
        return health.health_response(HealthReport(services={}, healthy=False, problems=[problem]))

    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise errors.not_ready()

    app = web.Application(
        middlewares=[
            _close_connection,
            middleware.log_requests,
            middleware.answer_preflight,
            errors.problem_middleware,
        ]
    )
    app[auth.API_KEYS] = auth.ApiKeys(())
    app.on_response_prepare.append(middleware.on_response_prepare)
    app.router.add_get("/livez", health.live.handler)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/health", ready)
    app.router.add_route("*", "/{path:.*}", refuse, expect_handler=uploads.defer_continue)
    return app


@asynccontextmanager
async def serve_health_app(
    sockets: ListeningSockets,
    report: Callable[[], Awaitable[HealthReport]],
    exposition: Exposition | None = None,
    metrics_key: str | None = None,
) -> AsyncIterator[None]:
    """Answer for a worker while the context is open: whether it lives, and whether it is ready.

    With an ``exposition`` also scrapes of its metrics, which need the key if there is one.
    """

    async def ready(_request: web.Request) -> web.StreamResponse:
        return health.health_response(await report())

    app = _small_app()
    app.router.add_get("/livez", health.live.handler)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/health", ready)
    if exposition is not None:
        metrics.add_metrics(app, exposition, metrics_key)
    async with _serving_small(app, sockets):
        yield


@asynccontextmanager
async def serve_metrics_app(
    sockets: ListeningSockets, exposition: Exposition, key: str | None
) -> AsyncIterator[None]:
    """Answer scrapes on a port of their own while the context is open."""
    app = _small_app()
    metrics.add_metrics(app, exposition, key)
    async with _serving_small(app, sockets):
        log.info("metrics listening", host=sockets.host, port=sockets.port)
        yield


def _small_app() -> web.Application:
    app = web.Application(middlewares=[middleware.log_requests, errors.problem_middleware])
    app[auth.API_KEYS] = auth.ApiKeys(())
    app.on_response_prepare.append(middleware.on_response_prepare)
    return app


@asynccontextmanager
async def _serving_small(app: web.Application, sockets: ListeningSockets) -> AsyncIterator[None]:
    async with server.serve(
        app,
        sockets.attach,
        Limits(),
        keep_alive=STARTUP_KEEP_ALIVE,
        linger=STARTUP_LINGER,
        shutdown_timeout=STARTUP_SHUTDOWN_TIMEOUT,
    ):
        yield


@web.middleware
async def _close_connection(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    # Or a client would keep its connection to an application that is about to end.
    response.force_close()
    return response
