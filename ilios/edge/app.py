"""The web application and the server around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from ilios.edge import (
    access,
    auth,
    connections,
    convert,
    documents,
    errors,
    health,
    pages,
    uploads,
)
from ilios.edge.keys import CLOSING, EDGE, Edge

KEEP_ALIVE = 75.0
"""Seconds an idle connection stays; also how long a client may take to send a header."""
LINGER = 2.0
"""Seconds a refused client may go on sending before its connection is closed."""
BACKLOG = 1024
"""Connections the system holds for us while the loop is busy."""
CLOSE_WITHIN = 8.0
"""Seconds for the requests under way when the edge closes."""

log = structlog.get_logger("edge")


def make_app(edge: Edge) -> web.Application:
    """Return the application that serves the whole HTTP interface."""
    app = web.Application(
        middlewares=[
            access.log_requests,
            access.answer_preflight,
            errors.answer_problems,
            auth.authenticate(edge.api_keys),
        ]
    )
    app[EDGE] = edge
    app[CLOSING] = asyncio.Event()
    app.on_shutdown.append(_say_closing)
    app.on_response_prepare.append(access.finish_headers)
    router = app.router
    router.add_get("/", pages.index)
    router.add_get("/health", health.health)
    router.add_get("/livez", health.live)
    router.add_get("/readyz", health.ready)
    for path, handler in (
        ("/v1/convert", convert.convert),
        ("/api/documents/submit", documents.submit),
    ):
        router.add_post(path, handler, expect_handler=uploads.expect_later)
    router.add_get("/api/documents/status/{id}", documents.status)
    router.add_get("/api/documents/{id}", documents.markdown)
    router.add_get("/api/documents/{id}/original", documents.original)
    return app


@asynccontextmanager
async def serve_edge(
    edge: Edge,
    host: str,
    port: int,
    *,
    keep_alive: float = KEEP_ALIVE,
    close_within: float = CLOSE_WITHIN,
) -> AsyncIterator[int]:
    """Serve while the context is open; yields the port, which matters when 0 was asked for.

    Leaving closes the door first, lets waiting clients go with a 202, and gives the requests that
    are under way ``close_within`` seconds.
    """
    runner = connections.Runner(
        make_app(edge),
        keep_alive=keep_alive,
        linger=LINGER,
        close_within=close_within,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        bound = int(runner.addresses[0][1])
        log.info("edge listening", host=host, port=bound)
        yield bound
    finally:
        await runner.cleanup()
        log.info("edge closed")


async def _say_closing(app: web.Application) -> None:
    app[CLOSING].set()
