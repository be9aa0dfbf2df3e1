"""The HTTP server below the application; it answers what never gets as far as a handler."""

import asyncio
import logging
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ilios.edge import access, errors
from ilios.edge.keys import REQUEST_ID

log = structlog.get_logger("edge")


class Runner(web.AppRunner):
    """Serves an application over connections that say no in our words.

    ``options`` are those of ``aiohttp.web.RequestHandler``.
    """

    def __init__(self, app: web.Application, *, shutdown_timeout: float, **options: Any) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._options = options | {"logger": _quiet_logger(), "access_log": None}

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
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            # Nobody is left to answer, or half of an answer is out: the connection ends here.
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


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("ilios.edge.http")
    logger.filters = [_shorten]
    return logger


def _shorten(record: logging.LogRecord) -> bool:
    """Whether the standard library shall log ``record``; malformed bodies are told in a line."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        log.info("malformed request", error=type(error).__name__)
        return False
    return True
