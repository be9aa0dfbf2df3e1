"""What is answered while the service starts, and waits for what it needs for that."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from ilios import __version__
from ilios.edge import errors, health, middleware, server, uploads
from ilios.edge.auth import API_KEYS, ApiKeys
from ilios.edge.context import Limits
from ilios.edge.listening_sockets import ListeningSockets
from ilios.edge.responses import json_response
from schemas.replies import Health, format_instant

KEEP_ALIVE = 5.0  # seconds
LINGER = 1.0  # seconds a client may go on sending what is not read
SHUTDOWN_TIMEOUT = 1.0  # seconds for answers that are being sent when the service is ready


@asynccontextmanager
async def serve_startup_app(
    sockets: ListeningSockets, startup_reason: Callable[[], str]
) -> AsyncIterator[None]:
    """Answer at ``door`` while the context is open: the process lives and is not ready.

    ``waiting_for`` gives the reason, a sentence.
    """
    runner = server.Runner(
        make_app(startup_reason),
        Limits(),
        keep_alive=KEEP_ALIVE,
        linger=LINGER,
        shutdown_timeout=SHUTDOWN_TIMEOUT,
    )
    await runner.setup()
    try:
        await sockets.attach_duplicate(runner)
        yield
    finally:
        await runner.cleanup()


def make_app(startup_reason: Callable[[], str]) -> web.Application:
    """Return the application: health checks, and a refusal of everything else."""

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
    app.router.add_get("/livez", health.live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/health", ready)
    app.router.add_route("*", "/{path:.*}", refuse, expect_handler=uploads.defer_continue)
    return app


@web.middleware
async def _close_connection(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    # Or a client would go on asking an application that is about to end.
    response.force_close()
    return response
