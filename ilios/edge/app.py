"""The web application and the server around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from ilios.edge import (
    auth,
    batch_downloads,
    batches,
    convert,
    deletion,
    documents,
    errors,
    health,
    idempotency,
    images,
    middleware,
    pages,
    server,
    signed_urls,
    upload_urls,
    uploads,
    usage,
)
from ilios.edge.context import EDGE, SHUTTING_DOWN, Edge
from ilios.edge.server import ListeningSockets
from ilios.edge.upload_limiter import UPLOAD_LIMITER, UploadLimiter

KEEP_ALIVE = 75.0
"""Seconds a connection stays over which nothing is asked any more."""
LINGER = 2.0
"""Seconds a refused client may go on sending before its connection is closed."""
SHUTDOWN_TIMEOUT = 8.0
"""Seconds for the requests under way when the edge closes."""

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
    app[upload_urls.UPLOAD_LOCKS] = upload_urls.KeyedLock()
    limits = edge.limits
    app[UPLOAD_LIMITER] = UploadLimiter(
        limits.max_uploads, limits.upload_slot_timeout, multi_tenant=len(edge.api_keys) > 1
    )
    app.on_shutdown.append(_signal_shutdown)
    app.on_response_prepare.append(middleware.on_response_prepare)
    app.on_response_prepare.append(idempotency.mark_replayed)
    router = app.router
    router.add_get("/", pages.index)
    router.add_get("/docs", pages.docs)
    router.add_get(pages.FILES_PATH, pages.file)
    router.add_get("/openapi.json", pages.description)
    router.add_get("/health", health.health)
    router.add_get("/livez", health.live)
    router.add_get("/readyz", health.ready)
    for path, handler in (
        ("/v1/convert", convert.convert),
        ("/v1/batch/submit", batches.submit),
        ("/api/documents/submit", documents.submit),
        ("/api/documents/upload-url", upload_urls.reserve),
    ):
        resource = router.add_resource(path)
        resource.add_route("POST", handler, expect_handler=uploads.defer_continue)
        # Or other methods would go on to the address below that takes any word for an id.
        resource.add_route("*", errors.only_post)
    router.add_get("/api/usage/summary", usage.summary)
    router.add_get("/api/usage/breakdown", usage.breakdown)
    router.add_get("/v1/batch/status/{id}", batches.status)
    router.add_get("/v1/batch/download/{id}", batch_downloads.download)
    router.add_get("/api/documents/status/{id}", documents.status)
    router.add_get("/api/documents/{id}", documents.markdown)
    router.add_get("/api/documents/{id}/original", documents.original)
    router.add_get("/api/documents/{id}/images/{name}", images.image)
    router.add_delete("/api/documents/{id}", deletion.delete)
    router.add_put(
        signed_urls.PREFIX + "{id}", upload_urls.put, expect_handler=uploads.defer_continue
    )
    router.add_post("/api/documents/upload-complete/{id}", upload_urls.complete)
    return app


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


async def _signal_shutdown(app: web.Application) -> None:
    app[SHUTTING_DOWN].set()
