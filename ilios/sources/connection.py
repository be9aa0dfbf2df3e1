"""An HTTP client connection that a hostile server cannot use to block the event loop.

Each read, each chunk of a chunked response and each informational response costs CPU time, and the
server chooses their number, so each is limited. After a small read there is a pause, in which the
kernel collects more. Bytes are parsed in small pieces. After a piece that was slow to parse there
is a longer pause, which all downloads share.

It overrides private methods of aiohttp, which has no public ones for this;
tests/ilios/sources/test_hostile_sources.py fails if they change.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

from aiohttp import ClientError, TCPConnector
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

READ_AT_ONCE = 64 * 1024
"""Bytes read from a socket in one turn of the loop."""
PARSED_AT_ONCE = 16 * 1024
"""Bytes of a body: in chunks of one byte they take a few milliseconds."""
HEADER_AT_ONCE = 4 * 1024
MAX_HEADER_BYTES = 64 * 1024
"""Everything before the body, including informational responses."""
MAX_INFORMATIONAL = 8
SMALL_READ = 8 * 1024
SMALL_PAUSE = 0.02
"""Seconds after a read of less than ``SMALL_READ`` bytes: at most 50 of them in a second."""
COSTLY = 0.0002
"""Seconds of CPU time for one piece; normal ones take a tenth of that, hostile ones five times."""
COSTLY_PAUSE = 50
"""Factor of the pause after a costly piece. Reading the parsed data takes about as long again, so
all costly pieces together get about 4 % of the loop."""

# The type aiohttp hands to a socket factory: family, type, protocol, canonical name, address.
AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


class HeaderTooLong(ClientError):
    """The header, or the number of informational responses, is over the limit."""


class LoopShare:
    """The share of the event loop for costly pieces, of all downloads together."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def pause_after(self, spent: float) -> float:
        """Return the pause, in seconds, after so many seconds of CPU time."""
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + spent * COSTLY_PAUSE
        return self._free_at - now


class SourceConnection(ResponseHandler):
    """A connection for one request."""

    def __init__(self, loop: asyncio.AbstractEventLoop, share: LoopShare) -> None:
        super().__init__(loop)
        self._share = share
        self._unparsed = bytearray()
        self._next_piece: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._informational = 0
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; asyncio would take four times ``READ_AT_ONCE``."""
        if hasattr(transport, "max_size"):
            transport.max_size = READ_AT_ONCE
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Parse the rest of the received bytes, and close."""
        self._cancel_next_piece()
        while self._unparsed and self._exception is None:
            self._parse_piece()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a piece of the received bytes, and the rest in later turns of the loop."""
        if not data:  # aiohttp resumes its parser
            super().data_received(data)
            return
        self._unparsed += data
        if self._next_piece is None:
            self._parse_next(SMALL_PAUSE if len(data) < SMALL_READ else 0.0)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a response from the parser, and count informational ones."""
        message, _ = data
        if message.code >= 200 or message.code == 101:
            self._in_body = True
        else:
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                self._fail("too many informational responses")
                return
        super().feed_data(data, size)

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002
        """Resume reading if it was paused: aiohttp calls this for every chunk that is read."""
        if self._reading_paused:
            super().resume_reading(resume_parser)
            if self._unparsed and self._next_piece is None:
                self._wait(0.0)

    def _resume_transport_reading(self) -> None:
        if self._next_piece is None and not self._unparsed:
            super()._resume_transport_reading()

    def _parse_next(self, pause: float = 0.0) -> None:
        self._next_piece = None
        if self._unparsed and not self._reading_paused and self._exception is None:
            began, cpu = time.monotonic(), time.thread_time()
            self._parse_piece()
            # CPU time decides whether a piece was costly, elapsed time how long the pause is: on a
            # busy machine the pause is longer.
            if time.thread_time() - cpu > COSTLY:
                pause = max(pause, self._share.pause_after(time.monotonic() - began))
        if self._exception is not None or self.transport is None:
            self._unparsed.clear()
        elif self._unparsed or pause:
            self._wait(pause)
        elif not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()

    def _wait(self, pause: float) -> None:
        self._pause_transport_reading()
        if not self._reading_paused:  # else ``resume_reading`` continues
            self._next_piece = self._loop.call_later(pause, self._parse_next)

    def _parse_piece(self) -> None:
        size = PARSED_AT_ONCE if self._in_body else HEADER_AT_ONCE
        piece = bytes(self._unparsed[:size])
        del self._unparsed[:size]
        if not self._in_body:
            self._header_bytes += len(piece)
        super().data_received(piece)
        if not self._in_body and self._header_bytes > MAX_HEADER_BYTES:
            self._fail("the header is too long")

    def _fail(self, why: str) -> None:
        self.set_exception(HeaderTooLong(why))
        if self.transport is not None:
            self.transport.abort()

    def _cancel_next_piece(self) -> None:
        if self._next_piece is not None:
            self._next_piece.cancel()
            self._next_piece = None


class SourceConnector(TCPConnector):
    """A connector for such connections, without keep-alive and DNS cache."""

    def __init__(
        self,
        share: LoopShare,
        resolver: AbstractResolver,
        socket_factory: Callable[[AddrInfo], socket.socket] | None,
    ) -> None:
        options: dict[str, Any] = {"use_dns_cache": False, "force_close": True}
        super().__init__(socket_factory=socket_factory, resolver=resolver, **options)
        loop = asyncio.get_running_loop()
        self._factory = lambda: SourceConnection(loop, share)  # type: ignore[assignment]
