"""The HTTP server below the application; it answers what never gets as far as a handler."""

import asyncio
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ilios.edge import access, errors
from ilios.edge.keys import REQUEST_ID

log = structlog.get_logger("edge")


class Runner(web.AppRunner):
    """Serves an application over connections that say no in our words. Times are seconds."""

    def __init__(
        self, app: web.Application, *, keep_alive: float, linger: float, close_within: float
    ) -> None:
        super().__init__(app, shutdown_timeout=close_within)
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": keep_alive,
            "lingering_time": linger,
            # A compressed body is refused, not unpacked: it may be a bomb.
            "auto_decompress": False,
        }

    async def _make_server(self) -> web.Server:
        # A private name, and aiohttp has no public one for it: without this method the answers to
        # malformed requests would be aiohttp's own, which tests/ilios/edge/test_malformed.py sees.
        made = await super()._make_server()
        return _Server(made, self._options)


class _Server(web.Server):
    """Makes the connections."""

    def __init__(self, made: web.Server, options: dict[str, Any]) -> None:
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            # A client that hangs up frees what waits for it.
            handler_cancellation=True,
        )
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)


class _Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002  # the exception tells it
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # repeats what the client sent
    ) -> web.StreamResponse:
        """Answer what the parser rejected, or what was raised around the application."""
        gone = request.transport is None or request.transport.is_closing()
        if gone or request.writer.output_size > 0:
            # Nobody is left to answer, or a part of the answer is out: the connection ends here.
            raise ConnectionResetError("the answer was broken off") from exc
        if REQUEST_ID not in request:
            access.name_request(request)
        if isinstance(exc, HttpProcessingError):
            # In a line: anybody who can connect could fill a disk with tracebacks.
            log.info("malformed request", error=type(exc).__name__)
        response = errors.problem(request, errors.explain(request, exc or TimeoutError()))
        access.add_headers(request, response)
        response.force_close()
        return response
