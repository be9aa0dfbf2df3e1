"""Fetches documents by URL without ever reaching into a private network.

The guard looks at the address a socket is about to be opened for, not at names: whatever a name
resolves to, and however an address is spelled, nothing is dialled that is not public. Redirects are
followed by hand, so every hop passes the same door.
"""

import ipaddress
import socket
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from actors.ports import Unfetchable

MAX_BYTES = 1024**3
CONNECT_WITHIN = 10.0
"""Seconds for name, connection and TLS."""
READ_WITHIN = 30.0
"""Seconds a source may stay silent."""
TOTAL_WITHIN = 1800.0
"""Seconds for everything: 1 GiB at 600 kB/s."""
MAX_REDIRECTS = 5
PORTS = frozenset({80, 443, 8080, 8443})

_CHUNK_BYTES = 256 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN = frozenset({408, 425, 429})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# What ``ipaddress`` takes for global, in some versions of Python at least, and a network may route
# inside: IPv4-compatible (RFC 4291), SIIT (RFC 7915), local NAT64 (RFC 8215) and site-local
# addresses (RFC 3879).
_NOT_PUBLIC = tuple(
    map(ipaddress.ip_network, ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10"))
)

# The type aiohttp hands to a socket factory: family, type, protocol, canonical name, address.
_AddrInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


class HttpDownloads:
    """Streams the bodies of http and https addresses; fits ``actors.ports.Downloads``.

    Refused: other schemes, other ports than ``ports``, addresses that are not public. ``allow``
    names exceptions as ``host:port`` just as a URL spells them (``127.0.0.1:9000``,
    ``files.internal:80``); such a host may be anywhere. Proxies in the environment are not used.

    Codes: ``source_refused``, ``source_unreachable``, ``source_status``, ``source_too_large``,
    ``source_timeout``. Reasons never name the address a host stands for.
    """

    def __init__(
        self,
        *,
        allow: AbstractSet[str] = frozenset(),
        ports: AbstractSet[int] = PORTS,
        max_bytes: int = MAX_BYTES,
        connect_within: float = CONNECT_WITHIN,
        read_within: float = READ_WITHIN,
        total_within: float = TOTAL_WITHIN,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow = frozenset(name.lower() for name in allow)
        self._ports = ports
        self._max_bytes = max_bytes
        self._resolver = resolver
        self._timeout = ClientTimeout(
            total=total_within,
            connect=connect_within,
            sock_connect=connect_within,
            sock_read=read_within,
        )

    async def fetch(self, url: str) -> AsyncIterator[bytes]:
        """Stream the body of ``url`` in chunks of at most 256 KiB.

        :raises Unfetchable: refused address, bad answer, too large, too slow.
        """
        try:
            async with (
                self._session(guarded=True) as guarded,
                self._session(guarded=False) as free,
                self._final(url, guarded, free) as response,
            ):
                self._check(response)
                size = 0
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    size += len(chunk)
                    if size > self._max_bytes:
                        raise self._too_large()
                    yield chunk
        except TimeoutError as error:
            reason = "The source did not answer in time."
            raise Unfetchable("source_timeout", reason, retryable=True) from error
        except (InvalidURL, ValueError) as error:
            raise _refused("The address is not a valid URL.") from error
        except (ClientError, OSError) as error:
            if _was_refused(error):
                raise _refused("The source is not at a public address.") from error
            reason = "The source could not be reached or broke off its answer."
            raise Unfetchable("source_unreachable", reason, retryable=True) from error

    @asynccontextmanager
    async def _final(
        self, url: str, guarded: ClientSession, free: ClientSession
    ) -> AsyncIterator[ClientResponse]:
        """Follow redirects from ``url`` and lend the answer at their end."""
        hop = URL(url)
        for _ in range(MAX_REDIRECTS + 1):
            session = free if self._admit(hop) else guarded
            async with session.get(hop, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    yield response
                    return
                hop = hop.join(URL(location))
        raise _refused(f"The source redirects more than {MAX_REDIRECTS} times.")

    def _admit(self, hop: URL) -> bool:
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

    def _check(self, response: ClientResponse) -> None:
        status = response.status
        if status != 200:
            again = status >= 500 or status in _TRY_AGAIN
            raise Unfetchable(
                "source_status", f"The source answered with status {status}.", retryable=again
            )
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            # Asked for identity, so this is a source that ignores it; unpacking would need a
            # second cap, and the bytes as they are would not be the document.
            reason = "The source sent a compressed answer although none was asked for."
            raise Unfetchable("source_status", reason, retryable=False)
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> Unfetchable:
        reason = f"The source is larger than {self._max_bytes // 1024**2} MB."
        return Unfetchable("source_too_large", reason, retryable=False)

    def _session(self, *, guarded: bool) -> ClientSession:
        # A session for each fetch: no cookie, connection or cached name outlives it.
        return ClientSession(
            connector=TCPConnector(
                socket_factory=_open_public if guarded else None,
                resolver=self._resolver,
                use_dns_cache=False,
                force_close=True,
            ),
            timeout=self._timeout,
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "ilios"},
        )


class AddressRefused(OSError):
    """The address is not public."""


def is_public(address: str) -> bool:
    """Whether an IP address leads to the public network, whatever other address it wraps.

    ``is_global`` alone is not enough: it calls NAT64, 6to4 and multicast addresses global.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in network for network in _NOT_PUBLIC):
            return False
        teredo = ip.teredo[1] if ip.teredo else None
        wrapped = ip.ipv4_mapped or ip.sixtofour or teredo
        if wrapped is None and ip in _NAT64:
            wrapped = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = wrapped or ip
    return ip.is_global and not ip.is_multicast


def _open_public(info: _AddrInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise AddressRefused(_REFUSED)
    return socket.socket(family, kind, protocol)


# Several refused addresses of one host come back as one plain OSError with their texts in it.
_REFUSED = "address is not public"


def _was_refused(error: BaseException) -> bool:
    return _REFUSED in str(getattr(error, "os_error", error))


def _refused(reason: str) -> Unfetchable:
    return Unfetchable("source_refused", reason, retryable=False)
