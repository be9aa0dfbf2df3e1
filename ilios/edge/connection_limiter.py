"""Limit of concurrent connections, and which of them are closed when it is reached.

Closed first: a connection whose header is late, then one that is half-closed (its client has most
likely gone), then the one that has been idle longest. If all others are being answered, a new
connection gets one of a few slots for health checks, so that monitoring is not locked out; anything
else it asks for is refused.

If keys are needed, a connection is anonymous until it has sent a valid key. Anonymous connections
are closed before authenticated ones, and for a request with a valid key even while they are being
answered. Those of one network have at most a quarter of the slots. If no keys are needed, a network
that has more than half of the slots makes room for the others.
"""

import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Protocol

import structlog

HEALTH_ONLY_SLOTS = 128
"""Connections beyond the limit whose first header is read."""
MIN_HEADER_AGE = 1.0
"""Seconds before the header of a connection counts as late."""
ANONYMOUS_SHARE = 4
"""One in so many slots is for the anonymous connections of one network, if keys are needed."""
NETWORK_SHARE = 2
"""One in so many slots is safe for one network, if no keys are needed."""
IPV6_PREFIX_BITS = 64
"""Bits of an IPv6 address that count: a client has all addresses with the same."""
WARN_INTERVAL = 60.0
"""Seconds between two log lines about the limit."""

log = structlog.get_logger("edge")


class LimitedConnection(Protocol):
    """What the limiter needs of a connection."""

    @property
    def network(self) -> str:
        """The client's IPv4 address, or its IPv6 network."""
        ...

    @property
    def response_started(self) -> bool:
        """Whether a part of the response was sent."""
        ...

    def expire(self) -> None:
        """Close, with a response if a part of a header has come."""
        ...

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        ...


class ConnectionLimiter:
    """Tracks the state of every connection. ``clock`` gives seconds.

    Without ``keys_required`` no connection counts as anonymous.
    """

    def __init__(
        self,
        limit: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        keys_required: bool = False,
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._keys_required = keys_required
        self._max_anonymous_per_network = max(1, limit // ANONYMOUS_SHARE)
        self._admitted: dict[LimitedConnection, None] = {}
        # Subsets of those admitted, in the order in which they are closed.
        self._reading_headers: dict[LimitedConnection, float] = {}
        self._half_closed: dict[LimitedConnection, None] = {}
        self._idle_connections: dict[LimitedConnection, None] = {}
        self._anonymous: dict[LimitedConnection, None] = {}
        self._anonymous_per_network: Counter[str] = Counter()
        # In health-only slots: those that may be closed, and those that are being answered.
        self._health_only: dict[LimitedConnection, None] = {}
        self._being_refused: dict[LimitedConnection, None] = {}
        self._warned_at = float("-inf")

    def admit(self, connection: LimitedConnection) -> bool:
        """Admit a new connection, to a health-only slot at least; False if there is none."""
        if self._make_room(connection):
            self._admitted[connection] = None
            self._reading_headers[connection] = self._clock()
            return True
        self._warn_full()
        if len(self._health_only) + len(self._being_refused) >= HEALTH_ONLY_SLOTS:
            evicted = _from_largest_network(self._health_only)
            if evicted is None:
                # It was refused already, and only reads its response slowly.
                evicted = _from_largest_network(
                    one for one in self._being_refused if one.response_started
                )
            if evicted is None:
                return False
            self._evict(evicted)
        self._health_only[connection] = None
        return True

    def mark_reading_header(self, connection: LimitedConnection) -> None:
        """Note that a header has begun on a connection that was idle."""
        if connection in self._admitted:
            self._idle_connections.pop(connection, None)
            self._reading_headers.setdefault(connection, self._clock())

    def admit_request(
        self, connection: LimitedConnection, has_key: Callable[[], bool] = lambda: False
    ) -> bool:
        """Note that a header is complete; False if only a health check is to be answered.

        ``has_key`` is whether it came with a valid key; it is called only where that matters.
        """
        self._reading_headers.pop(connection, None)
        self._idle_connections.pop(connection, None)
        if connection in self._health_only:
            del self._health_only[connection]
            if not self._make_room(connection, has_key):
                self._being_refused[connection] = None
                return False
            self._admitted[connection] = None
        if connection not in self._admitted:
            return False
        if self._keys_required and connection not in self._anonymous:
            if self._anonymous_per_network[
                connection.network
            ] >= self._max_anonymous_per_network and not (
                self._evict_idle_anonymous(connection.network) or has_key()
            ):
                self._remove_admitted(connection)
                self._being_refused[connection] = None
                return False
            self._anonymous[connection] = None
            self._anonymous_per_network[connection.network] += 1
        return True

    def mark_authenticated(self, connection: LimitedConnection) -> None:
        """Note that the request of a connection came with a valid key or signature."""
        if connection in self._anonymous:
            del self._anonymous[connection]
            self._anonymous_per_network[connection.network] -= 1
            if not self._anonymous_per_network[connection.network]:
                del self._anonymous_per_network[connection.network]

    def mark_half_closed(self, connection: LimitedConnection) -> None:
        """Note that the client has closed its side while a response is due."""
        if connection in self._admitted:
            self._half_closed[connection] = None

    def mark_idle(self, connection: LimitedConnection) -> None:
        """Note that all requests of a connection are answered."""
        if connection in self._admitted:
            self._reading_headers.pop(connection, None)
            self._idle_connections[connection] = None
        elif connection in self._being_refused:
            del self._being_refused[connection]
            self._health_only[connection] = None

    def release(self, connection: LimitedConnection) -> None:
        """Free the slot of a connection that has a limit of its own; it carries no other request.

        It is not evicted for others either.
        """
        self._remove_admitted(connection)

    def remove(self, connection: LimitedConnection) -> None:
        """Remove a connection, if it is there."""
        self._remove_admitted(connection)
        self._being_refused.pop(connection, None)
        self._health_only.pop(connection, None)

    def _remove_admitted(self, connection: LimitedConnection) -> None:
        self.mark_authenticated(connection)
        self._admitted.pop(connection, None)
        self._reading_headers.pop(connection, None)
        self._half_closed.pop(connection, None)
        self._idle_connections.pop(connection, None)

    def _make_room(
        self, connection: LimitedConnection, has_key: Callable[[], bool] = lambda: False
    ) -> bool:
        if len(self._admitted) < self._limit:
            return True
        evicted = self._overdue_header() or self._longest_idle(
            self._anonymous if self._keys_required else self._admitted
        )
        if evicted is not None:
            self._evict(evicted)
            return True
        if self._keys_required and has_key():
            evicted = _from_largest_network(self._anonymous) or _from_largest_network(
                self._reading_headers
            )
        elif not self._keys_required:
            evicted = self._from_oversized_network(connection)
        if evicted is not None:
            self.remove(evicted)
            evicted.abort()
            return True
        # Not while anonymous ones are being answered: they are closed before authenticated ones.
        evicted = None if self._anonymous else self._longest_idle(self._admitted)
        if evicted is not None:
            self._evict(evicted)
        return evicted is not None

    def _overdue_header(self) -> LimitedConnection | None:
        one, since = next(iter(self._reading_headers.items()), (None, 0.0))
        return one if self._clock() - since > MIN_HEADER_AGE else None

    def _longest_idle(self, among: dict[LimitedConnection, None]) -> LimitedConnection | None:
        """Return one whose client has most likely gone, or the one that has been idle longest."""
        for one in tuple(self._half_closed):
            if one in among and not one.response_started:
                return one
        return next((one for one in self._idle_connections if one in among), None)

    def _evict_idle_anonymous(self, network: str) -> bool:
        found = (
            one
            for one in self._idle_connections
            if one in self._anonymous and one.network == network
        )
        evicted = next(found, None)
        if evicted is not None:
            self._evict(evicted)
        return evicted is not None

    def _from_oversized_network(self, connection: LimitedConnection) -> LimitedConnection | None:
        counted = Counter(one.network for one in self._admitted)
        network, count = counted.most_common(1)[0]
        if count <= self._limit // NETWORK_SHARE or network == connection.network:
            return None
        among = [one for one in self._admitted if one.network == network]
        return next((one for one in among if one.response_started), among[0])

    def _evict(self, connection: LimitedConnection) -> None:
        self.remove(connection)
        connection.expire()

    def _warn_full(self) -> None:
        if self._clock() - self._warned_at >= WARN_INTERVAL:
            self._warned_at = self._clock()
            log.warning("connection limit reached; see ILIOS_MAX_CONNECTIONS", limit=self._limit)


@lru_cache(maxsize=1024)
def network_of(remote: str) -> str:
    """Return a client's IPv4 address, or the network of its IPv6 address."""
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return remote  # no IP address
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_PREFIX_BITS), strict=False))


def _from_largest_network(connections: Iterable[LimitedConnection]) -> LimitedConnection | None:
    """Return the first connection of the network that most of them come from."""
    among = tuple(connections)
    counted = Counter(one.network for one in among)
    largest = max(counted, key=lambda network: counted[network], default=None)
    return next((one for one in among if one.network == largest), None)
