"""The HTTP server below the application; it answers what never gets as far as a handler."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError

from ilios.edge import access, errors
from ilios.edge.keys import REQUEST_ID

TAKEN_AT_ONCE = 32 * 1024
BUFFERED = 64 * 1024
"""Bytes taken off a socket, and held for whoever reads a body, before others have their turn. In
chunks of one byte each, every one of them costs a microsecond or two."""

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
            "read_bufsize": BUFFERED,
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
            _in_our_words(made.request_handler),
            request_factory=made.request_factory,
            # A client that hangs up frees what waits for it.
            handler_cancellation=True,
        )
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)


class _Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_answered", "_latest")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; asyncio would take four times ``TAKEN_AT_ONCE``."""
        self._latest: StreamReader | None = None
        self._answered: StreamReader | None = None
        if hasattr(transport, "max_size"):
            transport.max_size = TAKEN_AT_ONCE
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Parse ``data``, and tell whoever reads a body when it will never be whole.

        aiohttp queues the error behind the request that waits for the rest of its body.
        """
        before = len(self._messages)
        super().data_received(data)
        if len(self._messages) == before:
            return
        for message, payload in islice(self._messages, before, None):
            if isinstance(message, RawRequestMessage):
                self._latest = payload
            elif self._latest is not None and not self._latest.is_eof():
                if self._latest is not self._answered:
                    self._latest.set_exception(BadHttpMessage("the rest of it is malformed"))
                self._latest.feed_eof()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; from now on nobody is left to be told about the request's body."""
        self._answered = request.content
        return await super().finish_response(request, resp, start_time)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002
        """Read on, if reading was paused: aiohttp asks for it with every chunk that is taken."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

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
        response = _refuse(request, exc or TimeoutError())
        response.force_close()
        return response


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _in_our_words(handler: Handler) -> Handler:
    """Return ``handler`` with problems instead of what aiohttp refuses before any middleware."""

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPError as error:  # an unknown Expect
            return _refuse(request, error)

    return answered


def _refuse(request: web.BaseRequest, error: BaseException) -> web.Response:
    if REQUEST_ID not in request:
        access.name_request(request)
    response = errors.problem(request, errors.explain(request, error))
    access.add_headers(request, response)
    return response
