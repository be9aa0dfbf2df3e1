"""Slows down those who guess keys, and nobody who has one.

Each address may send a number of wrong keys; then any key that comes from there is refused until
some time has passed, also a right one, or a guesser would learn of it. Keys that were right from
that address before go on as ever: many clients share the address of a router or a proxy.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

import structlog

from ilios.edge.errors import HttpProblem

BURST = 20
"""Wrong keys an address may send one after the other."""
REFILL_PER_SECOND = BURST / 60
"""How fast that comes back."""
MAX_ENTRIES = 10_000
"""Addresses with wrong keys, and pairs of address and tenant with right ones; the oldest go."""
IPV6_PREFIX_BITS = 64
"""Bits of an IPv6 address that count: whoever has one has all with the same."""

log = structlog.get_logger("edge")


class FailedAuthLimiter:
    """Counts them by address. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._succeeded: OrderedDict[tuple[str, str], None] = OrderedDict()

    def would_accept(self, remote: str, tenant: str) -> bool:
        """Whether ``check`` would take the key of ``tenant`` from there; nothing is counted."""
        address = network_of(remote)
        return (address, tenant) in self._succeeded or self._tokens_of(address) >= 1

    def record(self, remote: str | None, tenant: str | None) -> bool:
        """Return whether the key was right; ``tenant`` is whose it is, None that of nobody.

        :raises Refused: too many were wrong (429).
        """
        address = network_of(remote or "")
        if tenant is not None and (address, tenant) in self._succeeded:
            self._succeeded.move_to_end((address, tenant))
            return True
        left = self._tokens_of(address)
        if left < 1:
            raise _too_many(math.ceil((1 - left) / REFILL_PER_SECOND))
        if tenant is None:
            self._tokens[address] = left - 1, self._clock()
            self._tokens.move_to_end(address)
            _trim(self._tokens)
            if left < 2:
                log.warning("too many wrong keys", address=address)
            return False
        self._succeeded[address, tenant] = None
        _trim(self._succeeded)
        return True

    def _tokens_of(self, address: str) -> float:
        left, since = self._tokens.get(address, (BURST, 0.0))
        return min(BURST, left + (self._clock() - since) * REFILL_PER_SECOND)


@lru_cache(maxsize=1024)
def network_of(remote: str) -> str:
    """Return what stands for a client's address: an IPv4 address, or an IPv6 network."""
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return remote  # of a kind that is not known here
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX_BITS), strict=False))


def _trim(
    entries: OrderedDict[str, tuple[float, float]] | OrderedDict[tuple[str, str], None],
) -> None:
    while len(entries) > MAX_ENTRIES:
        entries.popitem(last=False)


def _too_many(seconds: int) -> HttpProblem:
    return HttpProblem(
        429,
        "too_many_wrong_keys",
        "Too many wrong API keys came from your address; try again later",
        headers={"Retry-After": str(seconds)},
    )
