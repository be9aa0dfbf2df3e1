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

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

PORCH = 128
"""Connections beyond the cap that are heard as far as their first header."""
SPARED = 1.0
"""Seconds within which the header of a new connection is not late yet, however full it is."""
STRANGERS_SHARE = 4
"""One in so many places is for the strangers of one network, where keys are needed."""
NETWORK_SHARE = 2
"""One in so many places is safe for one network, where they are not."""
COMPLAIN_EVERY = 60.0
"""Seconds between two lines in the log that say the cap is reached."""

log = structlog.get_logger("edge")


class Guest(Protocol):
    """A connection."""

    @property
    def network(self) -> str:
        """Where it comes from: an IPv4 address, or an IPv6 network."""
        ...

    @property
    def is_answered(self) -> bool:
        """Whether a part of the answer is out already."""
        ...

    def give_up(self) -> None:
        """Close, now or as soon as the client was told why."""
        ...

    def break_off(self) -> None:
        """Close now, whatever is under way."""
        ...


class ConnectionCap:
    """Knows what every connection is at. ``clock`` gives seconds.

    ``keyed`` tells whether keys are needed; else nobody is a stranger.
    """

    def __init__(
        self, most: int, clock: Callable[[], float] = time.monotonic, *, keyed: bool = False
    ) -> None:
        self._most = most
        self._clock = clock
        self._keyed = keyed
        self._strangers_of_network = max(1, most // STRANGERS_SHARE)
        self._inside: dict[Guest, None] = {}
        # Of those inside, by how long it has been so: who goes first stands first.
        self._asking: dict[Guest, float] = {}
        self._half_closed: dict[Guest, None] = {}
        self._resting: dict[Guest, None] = {}
        self._strangers: dict[Guest, None] = {}
        self._from: Counter[str] = Counter()  # strangers, by network
        # On the porch: who may be sent away, and who is being answered.
        self._waiting: dict[Guest, None] = {}
        self._served: dict[Guest, None] = {}
        self._complained = float("-inf")

    def enter(self, guest: Guest) -> bool:
        """Let in a new connection, inside or on the porch; False: there is room on neither."""
        if self._make_room(guest):
            self._inside[guest] = None
            self._asking[guest] = self._clock()
            return True
        self._complain()
        if len(self._waiting) + len(self._served) >= PORCH:
            goes = _of_largest_network(self._waiting)
            if goes is None:
                # Told already that there is no room, and only slow to take it.
                goes = _of_largest_network(one for one in self._served if one.is_answered)
            if goes is None:
                return False
            self._send_away(goes)
        self._waiting[guest] = None
        return True

    def asks(self, guest: Guest) -> None:
        """Note that a header has begun to come over a connection that was resting."""
        if guest in self._inside:
            self._resting.pop(guest, None)
            self._asking.setdefault(guest, self._clock())

    def has_asked(self, guest: Guest, has_key: Callable[[], bool] = lambda: False) -> bool:
        """Note that a header is complete; False: there is no room for what it asks.

        ``has_key`` tells whether it came with a valid key; it is called only where that matters.
        """
        self._asking.pop(guest, None)
        self._resting.pop(guest, None)
        if guest in self._waiting:
            del self._waiting[guest]
            if not self._make_room(guest, has_key):
                self._served[guest] = None
                return False
            self._inside[guest] = None
        if guest not in self._inside:
            return False
        if self._keyed and guest not in self._strangers:
            if self._from[guest.network] >= self._strangers_of_network and not (
                self._rested_stranger_goes(guest.network) or has_key()
            ):
                self._leave_inside(guest)
                self._served[guest] = None
                return False
            self._strangers[guest] = None
            self._from[guest.network] += 1
        return True

    def has_key(self, guest: Guest) -> None:
        """Note that what a connection asks for it has a right to."""
        if guest in self._strangers:
            del self._strangers[guest]
            self._from[guest.network] -= 1
            if not self._from[guest.network]:
                del self._from[guest.network]

    def half_closes(self, guest: Guest) -> None:
        """Note that nothing more will come over a connection that is still to be answered."""
        if guest in self._inside:
            self._half_closed[guest] = None

    def rests(self, guest: Guest) -> None:
        """Note that everything a connection has asked for is answered."""
        if guest in self._inside:
            self._asking.pop(guest, None)
            self._resting[guest] = None
        elif guest in self._served:
            del self._served[guest]
            self._waiting[guest] = None

    def leave(self, guest: Guest) -> None:
        """Forget a connection; nothing happens where it is forgotten already."""
        self._leave_inside(guest)
        self._served.pop(guest, None)
        self._waiting.pop(guest, None)

    def _leave_inside(self, guest: Guest) -> None:
        self.has_key(guest)
        self._inside.pop(guest, None)
        self._asking.pop(guest, None)
        self._half_closed.pop(guest, None)
        self._resting.pop(guest, None)

    def _make_room(self, guest: Guest, has_key: Callable[[], bool] = lambda: False) -> bool:
        if len(self._inside) < self._most:
            return True
        goes = self._late() or self._idle(self._strangers if self._keyed else self._inside)
        if goes is not None:
            self._send_away(goes)
            return True
        if self._keyed and has_key():
            goes = _of_largest_network(self._strangers) or _of_largest_network(self._asking)
        elif not self._keyed:
            goes = self._of_too_large_network(guest)
        if goes is not None:
            self.leave(goes)
            goes.break_off()
            return True
        # Not while strangers are being answered: they are closed before key holders.
        goes = None if self._strangers else self._idle(self._inside)
        if goes is not None:
            self._send_away(goes)
        return goes is not None

    def _late(self) -> Guest | None:
        guest, since = next(iter(self._asking.items()), (None, 0.0))
        return guest if self._clock() - since > SPARED else None

    def _idle(self, among: dict[Guest, None]) -> Guest | None:
        """Return who has most likely hung up, or has rested longest."""
        for guest in tuple(self._half_closed):
            if guest in among and not guest.is_answered:
                return guest
        return next((guest for guest in self._resting if guest in among), None)

    def _rested_stranger_goes(self, network: str) -> bool:
        found = (one for one in self._resting if one in self._strangers and one.network == network)
        goes = next(found, None)
        if goes is not None:
            self._send_away(goes)
        return goes is not None

    def _of_too_large_network(self, newcomer: Guest) -> Guest | None:
        counted = Counter(guest.network for guest in self._inside)
        network, count = counted.most_common(1)[0]
        if count <= self._most // NETWORK_SHARE or network == newcomer.network:
            return None
        among = [guest for guest in self._inside if guest.network == network]
        return next((guest for guest in among if guest.is_answered), among[0])

    def _send_away(self, guest: Guest) -> None:
        self.leave(guest)
        guest.give_up()

    def _complain(self) -> None:
        if self._clock() - self._complained >= COMPLAIN_EVERY:
            self._complained = self._clock()
            log.warning("as many connections as may be; see ILIOS_MAX_CONNECTIONS", most=self._most)


def _of_largest_network(guests: Iterable[Guest]) -> Guest | None:
    """Return the first of those who come from where most of them come from."""
    among = tuple(guests)
    counted = Counter(guest.network for guest in among)
    largest = max(counted, key=lambda network: counted[network], default=None)
    return next((guest for guest in among if guest.network == largest), None)
