"""Download of documents by URL, from public addresses only.

The address of each socket is checked before it connects, not the name: whatever a name resolves to,
and however an address is spelled, there is no connection to a private network. Redirects are
followed here, so that every hop passes the same check.
"""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar
from urllib.parse import unquote

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
from actors.text_sniffing import Claim
from ilios.sources.addresses import ThreadedResolver, is_public
from ilios.sources.connection import AddrInfo, LoopShare, SourceConnector
from ilios.visible import clean_name

MAX_BYTES = 1024**3
CONNECT_WITHIN = 10.0
"""Seconds for name, connection and TLS of one hop."""
READ_WITHIN = 30.0
"""Seconds without a byte from the source."""
GRACE = 60.0
"""Seconds of waiting for a source, over all hops, before the minimal rate applies."""
MIN_BYTES_PER_SECOND = 8 * 1024
"""The minimal rate, as for uploads."""
TOTAL_WITHIN = 1800.0
"""Seconds for everything, over all hops: 1 GiB at 600 kB/s."""
MAX_REDIRECTS = 5
PORTS = frozenset({80, 443, 8080, 8443})
MAX_LOOKUPS = 128
"""Concurrent look-ups, four for each download: without an answer of a name server, a cancelled
look-up runs for half a minute."""

_MAX_HEADER = 2000  # characters
_FILE_NAME = re.compile(
    r"""filename\*\s*=\s*[\w-]+'[\w-]*'(?P<encoded>[^;\s]+)|filename\s*=\s*"?(?P<plain>[^";]+)""",
    re.IGNORECASE,
)
_CHUNK_BYTES = 256 * 1024
_MIN_CHUNK_BYTES = 64 * 1024  # bytes of a chunk, except the last
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE_STATUSES = frozenset({408, 425, 429})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNREACHABLE = "The source could not be reached at a public address, or broke off its answer."
_TIMEOUT = "The source did not answer in time, or sent too slowly."

_T = TypeVar("_T")

log = structlog.get_logger("downloads")


class HttpDownloads:
    """Downloads of http and https URLs, as ``actors.ports.Downloads``.

    Other schemes, other ports than ``ports`` and addresses that are not public are refused.
    ``allow`` lists exceptions as ``host:port``, spelled as in the URL (``127.0.0.1:9000``,
    ``files.internal:80``), which may have any address. Proxies of the environment are not used.

    Codes: ``source_refused`` for a bad URL, ``source_unreachable``, ``source_status``,
    ``source_too_large``, ``source_timeout``. A private address and one that does not answer give
    the same error, or clients could scan the network; the log distinguishes them.
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

    async def fetch(
        self, url: str, on_answer: Callable[[Claim], None] | None = None
    ) -> AsyncIterator[bytes]:
        """Stream the body of ``url`` in chunks of at most 512 KiB; see ``Downloader``.

        :raises DownloadFailed: refused address, bad response, too large, too slow.
        """
        deadline = _Deadline(*self._limits)
        try:
            async with AsyncExitStack() as stack:
                guarded = await stack.enter_async_context(self._session(guarded=True))
                unguarded = await stack.enter_async_context(self._session(guarded=False))
                opening = self._follow_redirects(url, guarded, unguarded)
                response = await deadline.run(stack.enter_async_context(opening))
                self._check_response(response)
                if on_answer is not None:
                    on_answer(_claim_of(response))
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
                log.warning("source at a private address refused; see ILIOS_DOWNLOAD_ALLOW")
            raise DownloadFailed("source_unreachable", _UNREACHABLE, retryable=True) from error

    async def _read_body(
        self, response: ClientResponse, deadline: "_Deadline"
    ) -> AsyncIterator[bytes]:
        """Collect bytes until a chunk is worth a write."""
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
        """Follow redirects from ``url``, and open the final response."""
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
        """Whether ``hop`` is in ``allow``; raises for a bad scheme, port or user."""
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
            # The source ignores the requested identity. Decompression would need a second limit,
            # and the compressed bytes are not the document.
            reason = "The source sent a compressed answer although none was asked for."
            raise DownloadFailed("source_status", reason, retryable=False)
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> DownloadFailed:
        reason = f"The source is larger than {self._max_bytes // 1024**2} MB."
        return DownloadFailed("source_too_large", reason, retryable=False)

    def _session(self, *, guarded: bool) -> ClientSession:
        # A session for each fetch: no cookie, connection or name is shared.
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


def _claim_of(response: ClientResponse) -> Claim:
    """Return the name and the type in the header of an answer."""
    disposition = response.headers.get("Content-Disposition", "")[:_MAX_HEADER]
    found = _FILE_NAME.search(disposition)
    name = unquote(found["encoded"] or found["plain"] or "") if found else ""
    declared = response.headers.get("Content-Type", "")[:_MAX_HEADER]
    return Claim.of(clean_name(name) if name else "", declared)


class _Deadline:
    """The timeouts of one download, over all hops.

    Only time spent waiting for the source counts, not that of the blob store, except for
    ``total_within``.
    """

    def __init__(self, read_within: float, grace: float, total_within: float) -> None:
        self._read_within = read_within
        self._grace = grace
        self._ends_at = time.monotonic() + total_within
        self._waited = 0.0
        self.received = 0

    async def run(self, step: Awaitable[_T]) -> _T:
        """Wait for one step.

        :raises TimeoutError: it, or all steps together, took too long.
        """
        began = time.monotonic()
        remaining = max(self._grace, self.received / MIN_BYTES_PER_SECOND) - self._waited
        # The first step covers all hops.
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


# Several refused addresses of a host are raised as one OSError with their texts.
_REFUSED = "address is not public"


def _was_refused(error: BaseException) -> bool:
    return _REFUSED in str(getattr(error, "os_error", error))


def _refused(reason: str) -> DownloadFailed:
    return DownloadFailed("source_refused", reason, retryable=False)
