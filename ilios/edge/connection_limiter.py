"""How many clients may be connected at once, and who makes room when they are too many.

Over the cap, those go first whom nothing is owed: a client that has been sending one header for a
while, one that has closed its side and has most likely hung up, then whoever has rested longest
since its last answer. Where all others are being answered, a newcomer gets no further than the
porch: there it may ask whether the service is well, so that those who watch it are not locked out
by those who fill it, and anything else is refused.

Where keys are needed, a stranger is a client that has asked for something without one. Strangers
go before anybody who has shown a key. A request with a key that finds no room gets the place of a
stranger, whatever that one is at, in the middle of an answer too. And of one network, strangers
have at most a quarter of the places. Where no keys are needed, a network that has more than half
of the places makes room for the others.
"""

import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Protocol

import structlog

HEALTH_ONLY_SLOTS = 128
"""Connections beyond the cap that are heard as far as their first header."""
MIN_HEADER_AGE = 1.0
"""Seconds within which the header of a new connection is not late yet, however full it is."""
ANONYMOUS_SHARE = 4
"""One in so many places is for the strangers of one network, where keys are needed."""
NETWORK_SHARE = 2
"""One in so many places is safe for one network, where they are not."""
IPV6_PREFIX_BITS = 64
"""Bits of an IPv6 address that count: a client has all addresses with the same."""
WARN_INTERVAL = 60.0
"""Seconds between two lines in the log that say the cap is reached."""

log = structlog.get_logger("edge")


class LimitedConnection(Protocol):
    """A connection."""

    @property
    def network(self) -> str:
        """Where it comes from: an IPv4 address, or an IPv6 network."""
        ...

    @property
    def response_started(self) -> bool:
        """Whether a part of the answer is out already."""
        ...

    def expire(self) -> None:
        """Close, now or as soon as the client was told why."""
        ...

    def abort(self) -> None:
        """Close now, whatever is under way."""
        ...


class ConnectionLimiter:
    """Knows what every connection is at. ``clock`` gives seconds.

    ``keyed`` tells whether keys are needed; else nobody is a stranger.
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
        # Of those inside, by how long it has been so: who goes first stands first.
        self._reading_headers: dict[LimitedConnection, float] = {}
        self._half_closed: dict[LimitedConnection, None] = {}
        self._idle_connections: dict[LimitedConnection, None] = {}
        self._anonymous: dict[LimitedConnection, None] = {}
        self._anonymous_per_network: Counter[str] = Counter()  # strangers, by network
        # On the porch: who may be sent away, and who is being answered.
        self._health_only: dict[LimitedConnection, None] = {}
        self._being_refused: dict[LimitedConnection, None] = {}
        self._warned_at = float("-inf")

    def admit(self, connection: LimitedConnection) -> bool:
        """Let in a new connection, inside or on the porch; False: there is room on neither."""
        if self._make_room(connection):
            self._admitted[connection] = None
            self._reading_headers[connection] = self._clock()
            return True
        self._warn_full()
        if len(self._health_only) + len(self._being_refused) >= HEALTH_ONLY_SLOTS:
            evicted = _from_largest_network(self._health_only)
            if evicted is None:
                # Told already that there is no room, and only slow to take it.
                evicted = _from_largest_network(
                    one for one in self._being_refused if one.response_started
                )
            if evicted is None:
                return False
            self._evict(evicted)
        self._health_only[connection] = None
        return True

    def mark_reading_header(self, connection: LimitedConnection) -> None:
        """Note that a header has begun to come over a connection that was resting."""
        if connection in self._admitted:
            self._idle_connections.pop(connection, None)
            self._reading_headers.setdefault(connection, self._clock())

    def admit_request(
        self, connection: LimitedConnection, has_key: Callable[[], bool] = lambda: False
    ) -> bool:
        """Note that a header is complete; False: there is no room for what it asks.

        ``has_key`` tells whether it came with a valid key; it is called only where that matters.
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
        """Note that what a connection asks for it has a right to."""
        if connection in self._anonymous:
            del self._anonymous[connection]
            self._anonymous_per_network[connection.network] -= 1
            if not self._anonymous_per_network[connection.network]:
                del self._anonymous_per_network[connection.network]

    def mark_half_closed(self, connection: LimitedConnection) -> None:
        """Note that nothing more will come over a connection that is still to be answered."""
        if connection in self._admitted:
            self._half_closed[connection] = None

    def mark_idle(self, connection: LimitedConnection) -> None:
        """Note that everything a connection has asked for is answered."""
        if connection in self._admitted:
            self._reading_headers.pop(connection, None)
            self._idle_connections[connection] = None
        elif connection in self._being_refused:
            del self._being_refused[connection]
            self._health_only[connection] = None

    def remove(self, connection: LimitedConnection) -> None:
        """Forget a connection; nothing happens where it is forgotten already."""
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
        # Not while strangers are being answered: they are closed before key holders.
        evicted = None if self._anonymous else self._longest_idle(self._admitted)
        if evicted is not None:
            self._evict(evicted)
        return evicted is not None

    def _overdue_header(self) -> LimitedConnection | None:
        guest, since = next(iter(self._reading_headers.items()), (None, 0.0))
        return guest if self._clock() - since > MIN_HEADER_AGE else None

    def _longest_idle(self, among: dict[LimitedConnection, None]) -> LimitedConnection | None:
        """Return who has most likely hung up, or has rested longest."""
        for guest in tuple(self._half_closed):
            if guest in among and not guest.response_started:
                return guest
        return next((guest for guest in self._idle_connections if guest in among), None)

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

    def _from_oversized_network(self, newcomer: LimitedConnection) -> LimitedConnection | None:
        counted = Counter(guest.network for guest in self._admitted)
        network, count = counted.most_common(1)[0]
        if count <= self._limit // NETWORK_SHARE or network == newcomer.network:
            return None
        among = [guest for guest in self._admitted if guest.network == network]
        return next((guest for guest in among if guest.response_started), among[0])

    def _evict(self, connection: LimitedConnection) -> None:
        self.remove(connection)
        connection.expire()

    def _warn_full(self) -> None:
        if self._clock() - self._warned_at >= WARN_INTERVAL:
            self._warned_at = self._clock()
            log.warning(
                "as many connections as may be; see ILIOS_MAX_CONNECTIONS", most=self._limit
            )


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
    """Return the first of those who come from where most of them come from."""
    among = tuple(connections)
    counted = Counter(guest.network for guest in among)
    largest = max(counted, key=lambda network: counted[network], default=None)
    return next((guest for guest in among if guest.network == largest), None)
