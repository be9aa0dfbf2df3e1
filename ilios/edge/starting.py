"""What is answered while the service starts, and waits for what it needs for that."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from ilios.edge import access, connections, errors, health, uploads
from ilios.edge.answers import answer
from ilios.edge.auth import KNOWN_KEYS, KnownKeys
from ilios.edge.door import Door
from ilios.edge.keys import Limits
from schemas.replies import Health, instant

KEEP_ALIVE = 5.0  # seconds
LINGER = 1.0  # seconds a client may go on sending what is not read
CLOSE_WITHIN = 1.0  # seconds for answers that are being sent when the service is ready


@asynccontextmanager
async def serve_starting(door: Door, waiting_for: Callable[[], str]) -> AsyncIterator[None]:
    """Answer at ``door`` while the context is open: the process lives and is not ready.

    ``waiting_for`` gives the reason, a sentence.
    """
    runner = connections.Runner(
        make_app(waiting_for),
        Limits(),
        keep_alive=KEEP_ALIVE,
        linger=LINGER,
        close_within=CLOSE_WITHIN,
    )
    await runner.setup()
    try:
        await door.lend(runner)
        yield
    finally:
        await runner.cleanup()


def make_app(waiting_for: Callable[[], str]) -> web.Application:
    """Return the application: health checks, and a refusal of everything else."""

    async def ready(_request: web.Request) -> web.StreamResponse:
        body = Health(
            status="unhealthy",
            timestamp=instant(datetime.now(UTC)),
            services={},
            error=f"starting: {waiting_for()}",
        )
        return answer(body, 503, {"Cache-Control": "no-store"})

    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise errors.not_ready()

    app = web.Application(
        middlewares=[
            _close_afterwards,
            access.log_requests,
            access.answer_preflight,
            errors.answer_problems,
        ]
    )
    app[KNOWN_KEYS] = KnownKeys(())
    app.on_response_prepare.append(access.finish_headers)
    app.router.add_get("/livez", health.live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/health", ready)
    app.router.add_route("*", "/{path:.*}", refuse, expect_handler=uploads.expect_later)
    return app


@web.middleware
async def _close_afterwards(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    # Or a client would go on asking an application that is about to end.
    response.force_close()
    return response
