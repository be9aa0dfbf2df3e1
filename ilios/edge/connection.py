"""One client's connection: what it may take its time with, and what is said where it takes longer.

It stands on names of aiohttp's that begin with an underscore, as aiohttp has no others for them;
what becomes of them shows in tests/ilios/edge/test_malformed.py and test_connection.py.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from ilios.edge import errors, middleware
from ilios.edge.auth_limiter import network_of
from ilios.edge.connection_limiter import ConnectionLimiter
from ilios.edge.context import REQUEST_ID, Limits
from ilios.edge.errors import HeaderTimeout, HttpProblem

READ_CHUNK_BYTES = 32 * 1024
"""Bytes taken off a socket before others have their turn."""

OVERLOADED = HttpProblem(
    503,
    "overloaded",
    "The service has as many clients as it can serve; try again in a moment",
    headers={"Retry-After": errors.RETRY_AFTER},
)
_OVERLOADED_BYTES = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: ilios\r\nConnection: close\r\n"
    b"Retry-After: %b\r\nContent-Length: 0\r\n\r\n" % errors.RETRY_AFTER.encode()
)

KeyCheck = Callable[[RawRequestMessage, str], bool]
"""Whether a request from an address came with a valid key."""

log = structlog.get_logger("edge")


class Connection(web.RequestHandler):
    """One client's connection. ``options`` are those of aiohttp."""

    __slots__ = (
        "_answered_body",
        "_busy",
        "_deadline",
        "_half_closed",
        "_has_key",
        "_last_body",
        "_limiter",
        "_limits",
        "_reading_header",
        "_remote",
        "is_admitted",
        "network",
    )

    def __init__(
        self,
        server: web.Server,
        limits: Limits,
        limiter: ConnectionLimiter,
        has_key: KeyCheck,
        options: dict[str, Any],
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._limits = limits
        self._limiter = limiter
        self._has_key = has_key
        self._last_body: StreamReader | None = None
        self._answered_body: StreamReader | None = None
        self._busy = False
        self._reading_header = False
        self._half_closed = False
        self._deadline: asyncio.TimerHandle | None = None
        self._remote = ""
        self.is_admitted = True
        """Whether what it asks for is to be answered; else only whether the service is well."""
        self.network = ""
        """Where the client is: an IPv4 address, or an IPv6 network."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room; asyncio would take eight times ``TAKEN_AT_ONCE``."""
        if hasattr(transport, "max_size"):
            transport.max_size = READ_CHUNK_BYTES
        _set_send_timeout(transport, self._limits.send_timeout)
        super().connection_made(transport)
        # A peer that has gone already has no name any more.
        self._remote = str((transport.get_extra_info("peername") or ("",))[0])
        self.network = network_of(self._remote)
        if self._limiter.admit(self):
            self._start_header_deadline()
        else:
            assert self.transport is not None
            self.transport.write(_OVERLOADED_BYTES)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End; the place is another's."""
        self._cancel_deadline()
        self._limiter.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse ``data``, and tell whoever reads a body when it will never be whole.

        aiohttp queues the error behind the request that waits for the rest of its body.
        """
        before = len(self._messages)
        super().data_received(data)
        if len(self._messages) == before:
            if data and not self._busy and (self._last_body is None or self._last_body.is_eof()):
                self._header_started()
            return
        self._header_ended(self._messages[before][0])
        for message, payload in islice(self._messages, before, None):
            if isinstance(message, RawRequestMessage):
                self._last_body = payload
            elif self._last_body is not None and not self._last_body.is_eof():
                if self._last_body is not self._answered_body:
                    self._last_body.set_exception(BadHttpMessage("the rest of it is malformed"))
                self._last_body.feed_eof()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp never keeps it open
        """Let a client that has sent all it will hear the answer, if there is one to come.

        It looks the same as one that has hung up. So it is waited with only for a while.
        """
        response_due = self._busy and (self._last_body is None or self._last_body.is_eof())
        if response_due:
            self._half_closed = True
            self._limiter.mark_half_closed(self)
            self._cancel_deadline()
            self._deadline = self._loop.call_later(
                self._limits.half_closed_timeout, self._close_if_unanswered
            )
        return response_due

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer; from now on nobody is left to be told about the request's body."""
        self._answered_body = request.content
        finished = await super().finish_response(request, resp, start_time)
        if not self._messages:
            self._busy = False
            self._limiter.mark_idle(self)
            # Of a half-closed connection nothing more comes, so aiohttp must not wait for it.
            self._close = self._close or self._half_closed
        return finished

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002
        """Read on, if reading was paused: aiohttp asks for it with every chunk that is taken."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    @property
    def response_started(self) -> bool:
        """Whether a part of the answer is out already, or all of it on its way."""
        request = self._current_request
        return request is None or request.writer.output_size > 0

    def expire(self) -> None:
        """Close; a client of whose header a part has come is told that it was too slow."""
        self._cancel_deadline()
        if not self._reading_header:
            self.abort()
            return
        self._reading_header, self._busy = False, True
        self._messages.append((_ErrInfo(408, HeaderTimeout(), ""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._close = True  # from now on nothing is read

    def abort(self) -> None:
        """Close at once: to wait until a client has taken what it was sent may take minutes."""
        self._cancel_deadline()
        transport = self.transport
        self.force_close()
        if transport is not None and transport.get_write_buffer_size() > 0:
            transport.abort()

    def mark_authenticated(self) -> None:
        """Note that the request in work has a right to what it asks for."""
        self._limiter.mark_authenticated(self)

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
            middleware.assign_request_id(request)
        if isinstance(exc, HttpProcessingError):
            # In a line: anybody who can connect could fill a disk with tracebacks.
            log.info("malformed request", error=type(exc).__name__)
        response = early_problem_response(
            request, errors.to_problem(request, exc or TimeoutError())
        )
        response.force_close()
        return response

    def _start_header_deadline(self) -> None:
        self._deadline = self._loop.call_later(self._limits.header_timeout, self.expire)

    def _header_started(self) -> None:
        """Note that a part of a header has come."""
        if self._reading_header:
            return
        self._reading_header = True
        self._limiter.mark_reading_header(self)
        if self._deadline is None:
            # Its own deadline takes the place of aiohttp's, which is for those that send nothing.
            if self._keepalive_handle is not None:
                self._keepalive_handle.cancel()
                self._keepalive_handle = None
            self._start_header_deadline()

    def _header_ended(self, message: object) -> None:
        """Note that the whole of it has come, or what cannot become one."""

        def has_key() -> bool:
            return isinstance(message, RawRequestMessage) and self._has_key(message, self._remote)

        self._cancel_deadline()
        self._reading_header, self._busy = False, True
        self.is_admitted = self._limiter.admit_request(self, has_key)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_if_unanswered(self) -> None:
        """Close, unless the answer has begun: then the connection shows whether it is read."""
        if not self.response_started:
            self.force_close()


def early_problem_response(request: web.BaseRequest, problem: HttpProblem) -> web.Response:
    """Return the answer to a request that never got as far as the application."""
    if REQUEST_ID not in request:
        middleware.assign_request_id(request)
    response = errors.problem_response(request, problem)
    middleware.add_common_headers(request, response)
    return response


def mark_authenticated(request: web.BaseRequest) -> None:
    """Note that a request has a right to what it asks for: its connection outlasts strangers'."""
    if isinstance(request.protocol, Connection):
        request.protocol.mark_authenticated()


def _set_send_timeout(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Have the kernel end the connection of a client that takes nothing of what it is sent.

    It alone knows: what the service has written may lie in the kernel for minutes while the client
    reads, and asyncio sees none of that. The time counts from the last byte the client's system had
    room for, so a download may last as long as it likes (RFC 5482, tcp(7)).
    """
    if sys.platform == "linux":
        taken = transport.get_extra_info("socket")
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
