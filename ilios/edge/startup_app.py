"""The application that answers while the service starts: health checks, and 503 for the rest."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from ilios import __version__
from ilios.edge import errors, health, middleware, server, uploads
from ilios.edge.auth import API_KEYS, ApiKeys
from ilios.edge.context import Limits
from ilios.edge.responses import json_response
from ilios.edge.server import ListeningSockets
from schemas.replies import Health, format_instant

KEEP_ALIVE = 5.0  # seconds
LINGER = 1.0  # seconds a client may go on sending what is not read
SHUTDOWN_TIMEOUT = 1.0  # seconds for answers that are being sent when the service is ready


@asynccontextmanager
async def serve_startup_app(
    sockets: ListeningSockets, startup_reason: Callable[[], str]
) -> AsyncIterator[None]:
    """Answer while the context is open: the process lives and is not ready.

    ``startup_reason`` returns what the start waits for, a sentence.
    """
    async with server.serve(
        make_app(startup_reason),
        sockets.attach_duplicate,
        Limits(),
        keep_alive=KEEP_ALIVE,
        linger=LINGER,
        shutdown_timeout=SHUTDOWN_TIMEOUT,
    ):
        yield


def make_app(startup_reason: Callable[[], str]) -> web.Application:
    """Return the application."""

    async def ready(_request: web.Request) -> web.StreamResponse:
        body = Health(
            status="unhealthy",
            version=__version__,
            timestamp=format_instant(datetime.now(UTC)),
            services={},
            error=f"starting: {startup_reason()}",
        )
        return json_response(body, 503, {"Cache-Control": "no-store"})

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
    app[API_KEYS] = ApiKeys(())
    app.on_response_prepare.append(middleware.on_response_prepare)
    app.router.add_get("/livez", health.live.handler)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/health", ready)
    app.router.add_route("*", "/{path:.*}", refuse, expect_handler=uploads.defer_continue)
    return app


@web.middleware
async def _close_connection(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    # Or a client would keep its connection to an application that is about to end.
    response.force_close()
    return response
