"""The web application and the server around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from ilios.edge import (
    access,
    auth,
    batch_downloads,
    batches,
    connections,
    convert,
    deletion,
    documents,
    errors,
    health,
    idempotency,
    images,
    pages,
    signed_urls,
    standing_faults,
    upload_urls,
    uploads,
    usage,
)
from ilios.edge.door import Door
from ilios.edge.keys import CLOSING, EDGE, Edge
from ilios.edge.upload_places import PLACES, UploadPlaces

KEEP_ALIVE = 75.0
"""Seconds a connection stays over which nothing is asked any more."""
LINGER = 2.0
"""Seconds a refused client may go on sending before its connection is closed."""
CLOSE_WITHIN = 8.0
"""Seconds for the requests under way when the edge closes."""

log = structlog.get_logger("edge")


def make_app(edge: Edge) -> web.Application:
    """Return the application that serves the whole HTTP interface."""
    keys = auth.KnownKeys(edge.api_keys)
    app = web.Application(
        middlewares=[
            access.log_requests,
            access.answer_preflight,
            errors.answer_problems,
            standing_faults.refuse_while_they_stand,
            auth.authenticate(keys),
        ]
    )
    app[EDGE] = edge
    app[auth.KNOWN_KEYS] = keys
    app[CLOSING] = asyncio.Event()
    app[upload_urls.TURNS] = upload_urls.Turns()
    limits = edge.limits
    app[PLACES] = UploadPlaces(
        limits.max_uploads, limits.place_within, shared=len(edge.api_keys) > 1
    )
    app.on_shutdown.append(_say_closing)
    app.on_response_prepare.append(access.finish_headers)
    app.on_response_prepare.append(idempotency.mark_replayed)
    router = app.router
    router.add_get("/", pages.index)
    router.add_get("/docs", pages.docs)
    router.add_get(pages.FILES, pages.file)
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
        posting = router.add_resource(path)
        posting.add_route("POST", handler, expect_handler=uploads.expect_later)
        # Or other methods would go on to the address below that takes any word for an id.
        posting.add_route("*", errors.only_post)
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
        signed_urls.PREFIX + "{id}", upload_urls.put, expect_handler=uploads.expect_later
    )
    router.add_post("/api/documents/upload-complete/{id}", upload_urls.complete)
    return app


@asynccontextmanager
async def serve_edge(
    edge: Edge,
    door: Door,
    *,
    keep_alive: float = KEEP_ALIVE,
    close_within: float = CLOSE_WITHIN,
) -> AsyncIterator[None]:
    """Serve at ``door`` while the context is open.

    Leaving closes the door first, lets waiting clients go with a 202, and gives the requests that
    are under way ``close_within`` seconds.
    """
    runner = connections.Runner(
        make_app(edge),
        edge.limits,
        keep_alive=keep_alive,
        linger=LINGER,
        close_within=close_within,
    )
    await runner.setup()
    try:
        await door.give(runner)
        log.info("edge listening", host=door.host, port=door.port)
        yield
    finally:
        await runner.cleanup()
        log.info("edge closed")


async def _say_closing(app: web.Application) -> None:
    app[CLOSING].set()
