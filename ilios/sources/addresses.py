"""Public IP addresses, and name resolution in threads.

``ipaddress.is_global`` is not enough: it differs between versions of Python, and covers neither
tunnels to private addresses nor anycast addresses that a network answers itself.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC_V4 = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.31.196.0/24",  # AS112, anycast (RFC 7535)
            "192.52.193.0/24",  # AMT relays, anycast (RFC 7450)
            "192.88.99.0/24",  # 6to4 relays, anycast (RFC 7526)
            "192.175.48.0/24",  # AS112, anycast (RFC 7534)
        ),
    )
)
# All but 2000::/3 is refused anyway: 5f00::/16 (RFC 9602), 100:0:0:1::/64 (RFC 9780), ...
_NOT_PUBLIC_V6 = tuple(
    map(
        ipaddress.ip_network,
        (
            "2001::/23",  # protocol assignments, Teredo, ORCHID, AMT, AS112, DRIP (RFC 2928)
            "2001:db8::/32",  # documentation (RFC 3849)
            "2002::/16",  # 6to4, which wraps an IPv4 address (RFC 7526)
            "2620:4f:8000::/48",  # AS112, anycast (RFC 7534)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
_ISATAP = 0x0000_5EFE
_ISATAP_BITS = 0xFCFF_FFFF  # all but those for "unique" and "group" (RFC 5214)


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet, and so is any address it embeds."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return _is_public_v4(ip)
    if ip.ipv4_mapped is not None:
        return _is_public_v4(ip.ipv4_mapped)
    if ip in _NAT64:
        return _is_public_v4(_last_32_bits(ip))
    if (int(ip) >> 32) & _ISATAP_BITS == _ISATAP and not _is_public_v4(_last_32_bits(ip)):
        return False
    return ip in _UNICAST and ip.is_global and not any(ip in network for network in _NOT_PUBLIC_V6)


def _is_public_v4(ip: ipaddress.IPv4Address) -> bool:
    is_global = ip.is_global and not ip.is_multicast
    return is_global and not any(ip in network for network in _NOT_PUBLIC_V4)


def _last_32_bits(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)


class ThreadedResolver(AbstractResolver):
    """A resolver with a separate thread pool.

    A name server that does not answer blocks a thread for half a minute. A few of those would
    exhaust the default pool of the event loop.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``; errors are those of ``socket.getaddrinfo``."""

        def look_up() -> list[ResolveResult]:
            found = socket.getaddrinfo(
                host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
            return [
                # Includes the zone, if any; an address with a zone is never public.
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=int(address[1]),
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
                for kind, _, protocol, _, address in found
            ]

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)

    async def close(self) -> None:
        """Do nothing: each fetch closes its sessions, but all fetches share the threads."""
