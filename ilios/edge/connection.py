"""A client's connection: deadlines for its headers and its answers, and errors as problems.

aiohttp has no deadline for the header of a request and no limit of connections, and it closes on a
client that has closed its side. One private name of aiohttp is needed for that, ``_messages``;
tests/test_private_names.py names it.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from itertools import islice
from typing import Any

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError

from ilios.edge import errors, middleware
from ilios.edge.connection_limiter import ConnectionLimiter, network_of
from ilios.edge.context import REQUEST_ID, Limits
from ilios.edge.errors import RESPONSE_STARTED, HttpProblem

BODY_SHARE = 0.75
"""Of the time to shut down, the part in which a body may go on arriving; then it is answered."""
READ_CHUNK_BYTES = 32 * 1024
"""Bytes read from a socket before other clients have their turn."""

OVERLOADED = HttpProblem(
    503,
    "overloaded",
    "The service has as many clients as it can serve; try again in a moment",
    headers={"Retry-After": errors.RETRY_AFTER},
)
TOO_SLOW = HttpProblem(408, "request_too_slow", "The request was sent too slowly")

KeyCheck = Callable[[RawRequestMessage, str], bool]
"""Whether a request from an address came with a valid key."""

log = structlog.get_logger("edge")


class Connection(web.RequestHandler):
    """One client's connection. ``options`` are those of aiohttp."""

    __slots__ = (
        "_answered_body",
        "_busy",
        "_closed_here",
        "_deadline",
        "_ends_with_client",
        "_half_closed",
        "_has_key",
        "_is_reading_paused",
        "_last_body",
        "_limiter",
        "_limits",
        "_reading_header",
        "_remote",
        "_request",
        "client_left",
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
        self._request: web.BaseRequest | None = None
        self._last_body: StreamReader | None = None
        self._answered_body: StreamReader | None = None
        self._busy = False
        self._reading_header = False
        self._is_reading_paused = False
        self._half_closed = False
        self._ends_with_client = False
        self._closed_here = False
        self._deadline: asyncio.TimerHandle | None = None
        self._remote = ""
        self.is_admitted = True
        """Whether every request is answered; otherwise health checks only."""
        self.network = ""
        """The client's IPv4 address, or its IPv6 network."""
        self.client_left = False
        """Whether the connection is closed, and not by the service."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start reading, if there is room; asyncio would read 256 KiB at a time."""
        if hasattr(transport, "max_size"):
            transport.max_size = READ_CHUNK_BYTES
        _set_send_timeout(transport, self._limits.send_timeout)
        super().connection_made(transport)
        # A peer that has gone already has no name any more.
        self._remote = str((transport.get_extra_info("peername") or ("",))[0])
        self.network = network_of(self._remote)
        if self._limiter.admit(self):
            self._start_deadline(self._limits.header_timeout, self.expire)
        else:
            self._refuse(OVERLOADED)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free the connection's slot."""
        self.client_left = not self._closed_here
        self._cancel_deadline()
        self._limiter.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse ``data``, and fail the read of a body whose rest is malformed.

        aiohttp queues that error behind the request that waits for the rest of its body.
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
        """Keep a half-closed connection open while a response is due.

        It looks the same as one whose client has gone, so it waits ``half_closed_timeout`` only.
        """
        response_due = self._busy and (self._last_body is None or self._last_body.is_eof())
        if response_due and self._ends_with_client:
            return False
        if response_due:
            self._half_closed = True
            self._limiter.mark_half_closed(self)
            self._start_deadline(self._limits.half_closed_timeout, self._close_if_unanswered)
        return response_due

    def close(self) -> None:
        """Close when the response is sent; aiohttp would discard the rest of a body from now on."""
        if self._arriving_body() is None:
            super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  # aiohttp's
        """Let the body and the response of the present request end, within ``timeout``."""
        self._closed_here = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        if timeout is not None and (body := self._arriving_body()) is not None:
            with suppress(Exception):  # it was broken off, or takes too long
                async with asyncio.timeout(BODY_SHARE * timeout):
                    await body.wait_eof()
            timeout -= loop.time() - began
        await super().shutdown(timeout)

    def _arriving_body(self) -> StreamReader | None:
        """Return the body that a handler waits for."""
        body = self._last_body
        if body is None or body is self._answered_body or body.is_eof() or body.exception():
            return None
        return body

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response; nobody reads the request's body from now on."""
        self._answered_body = request.content
        finished = await super().finish_response(request, resp, start_time)
        self._request = None
        self._ends_with_client = False
        if not self._messages:
            self._busy = False
            self._limiter.mark_idle(self)
            if self._half_closed:
                self.close()  # nothing more can come
        return finished

    def pause_reading(self) -> None:
        """Stop reading; remembered for ``resume_reading``."""
        self._is_reading_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002
        """Read on if reading was paused: aiohttp calls this for every chunk that is consumed."""
        if self._is_reading_paused:
            self._is_reading_paused = False
            super().resume_reading(resume_parser)

    def begin(self, request: web.BaseRequest) -> None:
        """Note the request whose handler runs."""
        self._request = request

    @property
    def response_started(self) -> bool:
        """Whether a part of the response was sent, or no handler works on it any more."""
        return self._request is None or RESPONSE_STARTED in self._request

    def expire(self) -> None:
        """Close; a client that has sent a part of a header gets a 408."""
        if self._reading_header:
            log.info("header timeout")
            self._refuse(TOO_SLOW)
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once: waiting until a client has read what it was sent may take minutes."""
        self._cancel_deadline()
        self._closed_here = True
        transport = self.transport
        self.force_close()
        if transport is not None and transport.get_write_buffer_size() > 0:
            transport.abort()

    def end_with_client(self) -> None:
        """Close as soon as the client closes its side, even before it is answered.

        Otherwise a client that has gone is noticed when ``half_closed_timeout`` is over.
        """
        self._ends_with_client = True
        if self._half_closed:
            asyncio.get_running_loop().call_soon(self._close_if_unanswered)

    def mark_authenticated(self) -> None:
        """Note that the current request came with a valid key or signature."""
        self._limiter.mark_authenticated(self)

    def mark_listening(self) -> None:
        """Note that the rest of the connection is a stream of events.

        Its client has gone when it closes its side; otherwise that would show with the next event.
        """
        self._ends_with_client = True
        self._limiter.release(self)
        if self._half_closed:
            self.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002  # repeats the exception
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # repeats what the client sent
    ) -> web.StreamResponse:
        """Return the response to what the parser rejected or what failed outside the middlewares.

        :raises ConnectionResetError: nobody is left to answer, or a part of the answer was sent.
        """
        gone = request.transport is None or request.transport.is_closing()
        if gone or RESPONSE_STARTED in request:
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

    def _header_started(self) -> None:
        if self._reading_header:
            return
        self._reading_header = True
        self._limiter.mark_reading_header(self)
        if self._deadline is None:
            # Stops aiohttp's own timer, which is for clients that send nothing.
            self.keep_alive(True)  # noqa: FBT003  # aiohttp's signature
            self._start_deadline(self._limits.header_timeout, self.expire)

    def _header_ended(self, message: object) -> None:
        """Note that a header is complete, or cannot become one."""

        def has_key() -> bool:
            return isinstance(message, RawRequestMessage) and self._has_key(message, self._remote)

        self._cancel_deadline()
        self._reading_header, self._busy = False, True
        self.is_admitted = self._limiter.admit_request(self, has_key)

    def _start_deadline(self, seconds: float, expire: Callable[[], None]) -> None:
        self._cancel_deadline()
        self._deadline = asyncio.get_running_loop().call_later(seconds, expire)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_if_unanswered(self) -> None:
        """Close, unless the response has begun: then ``send_timeout`` shows whether it is read."""
        if not self.response_started:
            self.force_close()

    def _refuse(self, problem: HttpProblem) -> None:
        """Send a problem to a client that has sent no whole header, and close."""
        self._cancel_deadline()
        if self.transport is not None:
            self.transport.write(_raw_response(problem))
        self.force_close()


def early_problem_response(request: web.BaseRequest, problem: HttpProblem) -> web.Response:
    """Return the response to a request that no middleware has seen."""
    if REQUEST_ID not in request:
        middleware.assign_request_id(request)
    response = errors.problem_response(request, problem)
    middleware.start_response(request, response)
    return response


def mark_authenticated(request: web.BaseRequest) -> None:
    """Note that a request may do what it asks for: its connection outlasts anonymous ones."""
    if isinstance(request.protocol, Connection):
        request.protocol.mark_authenticated()


def end_with_client(request: web.BaseRequest) -> None:
    """Cancel the handler of a request as soon as its client closes its side of the connection."""
    if isinstance(request.protocol, Connection):
        request.protocol.end_with_client()


def has_hung_up(request: web.BaseRequest) -> bool:
    """Whether the connection of a request is closed, and not by the service."""
    return isinstance(request.protocol, Connection) and request.protocol.client_left


def mark_listening(request: web.BaseRequest) -> None:
    """Note that the answer is a stream of events, which takes no place of a connection."""
    if isinstance(request.protocol, Connection):
        request.protocol.mark_listening()


def _raw_response(problem: HttpProblem) -> bytes:
    request_id = middleware.new_request_id()
    body = errors.problem_body(problem, "/", request_id)
    headers = {
        **middleware.common_headers(request_id),
        **problem.headers,
        "Content-Type": errors.PROBLEM_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    first = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def _set_send_timeout(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Let the kernel end the connection of a client that reads nothing of what it is sent.

    Only the kernel can: what was written may lie in its buffers for minutes while the client reads,
    and asyncio sees none of that. The time counts from the last byte the client had room for, so a
    download may last as long as it likes (RFC 5482, tcp(7)).
    """
    if sys.platform == "linux":
        taken = transport.get_extra_info("socket")
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
