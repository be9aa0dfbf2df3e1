"""Fetches documents by URL without ever reaching into a private network.

The guard looks at the address a socket is about to be opened for, not at names: whatever a name
resolves to, and however an address is spelled, nothing is dialled that is not public. Redirects are
followed by hand, so every hop passes the same door.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog
from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    InvalidURL,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from actors.ports import DownloadFailed
from ilios.sources.addresses import ThreadedResolver, is_public
from ilios.sources.connection import AddrInfo, LoopShare, SourceConnector

MAX_BYTES = 1024**3
CONNECT_WITHIN = 10.0
"""Seconds for name, connection and TLS of one hop."""
READ_WITHIN = 30.0
"""Seconds a source may stay silent."""
GRACE = 60.0
"""Seconds of waiting for a source, over all hops, after which it must have kept the least rate."""
MIN_BYTES_PER_SECOND = 8 * 1024
"""The least rate, as for uploads."""
TOTAL_WITHIN = 1800.0
"""Seconds for everything, over all hops: 1 GiB at 600 kB/s."""
MAX_REDIRECTS = 5
PORTS = frozenset({80, 443, 8080, 8443})
MAX_LOOKUPS = 128
"""Names that are looked up at once, four for each download: a look-up that was given up goes on for
half a minute where no name server answers."""

_CHUNK_BYTES = 256 * 1024
_MIN_CHUNK_BYTES = 64 * 1024  # bytes handed on at once, but for the last
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE_STATUSES = frozenset({408, 425, 429})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNREACHABLE = "The source could not be reached at a public address, or broke off its answer."
_TIMEOUT = "The source did not answer in time, or sent too slowly."

_T = TypeVar("_T")

log = structlog.get_logger("downloads")


class HttpDownloads:
    """Streams the bodies of http and https addresses; fits ``actors.ports.Downloads``.

    Refused: other schemes, other ports than ``ports``, addresses that are not public. ``allow``
    names exceptions as ``host:port`` just as a URL spells them (``127.0.0.1:9000``,
    ``files.internal:80``); such a host may be anywhere. Proxies in the environment are not used.

    Codes: ``source_refused`` for what is wrong with the URL itself, ``source_unreachable``,
    ``source_status``, ``source_too_large``, ``source_timeout``. An address that is not public and
    one that does not answer are the same to the owner, who could search the network otherwise;
    the log tells them apart.
    """

    def __init__(
        self,
        *,
        allow: AbstractSet[str] = frozenset(),
        ports: AbstractSet[int] = PORTS,
        max_bytes: int = MAX_BYTES,
        connect_within: float = CONNECT_WITHIN,
        read_within: float = READ_WITHIN,
        grace: float = GRACE,
        total_within: float = TOTAL_WITHIN,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow = frozenset(name.lower() for name in allow)
        self._ports = ports
        self._max_bytes = max_bytes
        self._resolver = resolver or ThreadedResolver(MAX_LOOKUPS)
        self._share = LoopShare()
        self._limits = (read_within, grace, total_within)
        self._timeout = ClientTimeout(
            total=None, connect=connect_within, sock_connect=connect_within, sock_read=read_within
        )

    async def fetch(self, url: str) -> AsyncIterator[bytes]:
        """Stream the body of ``url`` in pieces of at most 512 KiB.

        :raises Unfetchable: refused address, bad answer, too large, too slow.
        """
        deadline = _Deadline(*self._limits)
        try:
            async with AsyncExitStack() as stack:
                guarded = await stack.enter_async_context(self._session(guarded=True))
                unguarded = await stack.enter_async_context(self._session(guarded=False))
                opening = self._follow_redirects(url, guarded, unguarded)
                response = await deadline.run(stack.enter_async_context(opening))
                self._check_response(response)
                async for chunk in self._read_body(response, deadline):
                    yield chunk
        except ConnectionTimeoutError as error:
            raise DownloadFailed("source_unreachable", _UNREACHABLE, retryable=True) from error
        except TimeoutError as error:
            raise DownloadFailed("source_timeout", _TIMEOUT, retryable=True) from error
        except (InvalidURL, ValueError) as error:
            raise _refused("The address is not a valid URL.") from error
        except (ClientError, OSError) as error:
            if _was_refused(error):
                log.warning("source is not at a public address; see ILIOS_DOWNLOAD_ALLOW")
            raise DownloadFailed("source_unreachable", _UNREACHABLE, retryable=True) from error

    async def _read_body(
        self, response: ClientResponse, deadline: "_Deadline"
    ) -> AsyncIterator[bytes]:
        """Collect what comes until it is worth a write."""
        size, buffer = 0, bytearray()
        while chunk := await deadline.run(response.content.read(_CHUNK_BYTES)):
            deadline.received += len(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            buffer += chunk
            if len(buffer) >= _MIN_CHUNK_BYTES:
                yield bytes(buffer)
                buffer.clear()
        if buffer:
            yield bytes(buffer)

    @asynccontextmanager
    async def _follow_redirects(
        self, url: str, guarded: ClientSession, unguarded: ClientSession
    ) -> AsyncIterator[ClientResponse]:
        """Follow redirects from ``url`` and lend the answer at their end."""
        hop = URL(url)
        for _ in range(MAX_REDIRECTS + 1):
            session = unguarded if self._is_exempt(hop) else guarded
            async with session.get(hop, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    yield response
                    return
                hop = hop.join(URL(location))
        raise _refused(f"The source redirects more than {MAX_REDIRECTS} times.")

    def _is_exempt(self, hop: URL) -> bool:
        """Whether ``hop`` is an exception of ``allow``; refuse what no guard is needed for."""
        if hop.scheme not in _DEFAULT_PORTS or not hop.host:
            raise _refused("Only http and https addresses can be fetched.")
        if hop.user is not None or hop.password is not None:
            raise _refused("An address with a user name or password in it is not fetched.")
        if f"{hop.host}:{hop.port}".lower() in self._allow:
            return True
        if hop.port not in self._ports:
            raise _refused(f"Port {hop.port} is not one documents are fetched from.")
        return False

    def _check_response(self, response: ClientResponse) -> None:
        status = response.status
        if status != 200:
            retryable = status >= 500 or status in _RETRYABLE_STATUSES
            raise DownloadFailed(
                "source_status", f"The source answered with status {status}.", retryable=retryable
            )
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            # Asked for identity, so this is a source that ignores it; unpacking would need a
            # second cap, and the bytes as they are would not be the document.
            reason = "The source sent a compressed answer although none was asked for."
            raise DownloadFailed("source_status", reason, retryable=False)
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> DownloadFailed:
        reason = f"The source is larger than {self._max_bytes // 1024**2} MB."
        return DownloadFailed("source_too_large", reason, retryable=False)

    def _session(self, *, guarded: bool) -> ClientSession:
        # A session for each fetch: no cookie, connection or cached name outlives it.
        return ClientSession(
            connector=SourceConnector(
                self._share, self._resolver, _open_public_socket if guarded else None
            ),
            timeout=self._timeout,
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "ilios"},
        )


class _Deadline:
    """Gives up on a source that is slow, over all hops.

    The time it is waited for counts, and not what the store takes; only the last of all deadlines
    is on the clock. All are exact: none waits for the next byte to be noticed.
    """

    def __init__(self, read_within: float, grace: float, total_within: float) -> None:
        self._read_within = read_within
        self._grace = grace
        self._ends_at = time.monotonic() + total_within
        self._waited = 0.0
        self.received = 0

    async def run(self, step: Awaitable[_T]) -> _T:
        """Wait for one step.

        :raises TimeoutError: it takes too long, or all of them together do.
        """
        began = time.monotonic()
        remaining = max(self._grace, self.received / MIN_BYTES_PER_SECOND) - self._waited
        # The first step is all hops, and each of them may take its time.
        read_timeout = self._read_within if self.received else self._grace
        async with asyncio.timeout(min(read_timeout, remaining, self._ends_at - began)):
            result = await step
        self._waited += time.monotonic() - began
        return result


class AddressRefused(OSError):
    """The address is not public."""


def _open_public_socket(info: AddrInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise AddressRefused(_REFUSED)
    return socket.socket(family, kind, protocol)


# Several refused addresses of one host come back as one plain OSError with their texts in it.
_REFUSED = "address is not public"


def _was_refused(error: BaseException) -> bool:
    return _REFUSED in str(getattr(error, "os_error", error))


def _refused(reason: str) -> DownloadFailed:
    return DownloadFailed("source_refused", reason, retryable=False)
