"""How many clients may be connected at once, and who makes room when they are too many.

Over the cap, those go first whom nothing is owed: a client that has been sending one header for a
while, one that has closed its side and has most likely hung up, then whoever has rested longest
since its last answer. Where all others are being answered, a newcomer gets no further than the
porch: there it may ask whether the service is well, so that those who watch it are not locked out
by those who fill it, and anything else is refused.
"""

import time
from collections.abc import Callable
from typing import Protocol

import structlog

PORCH = 32
"""Connections beyond the cap that are heard as far as their first header."""
SPARED = 1.0
"""Seconds within which the header of a new connection is not late yet, however full it is."""
COMPLAIN_EVERY = 60.0
"""Seconds between two lines in the log that say the cap is reached."""

log = structlog.get_logger("edge")


class Guest(Protocol):
    """A connection."""

    @property
    def is_answered(self) -> bool:
        """Whether a part of the answer is out already."""
        ...

    def give_up(self) -> None:
        """Close, now or as soon as the client was told why."""
        ...


class ConnectionCap:
    """Knows what every connection is at. ``clock`` gives seconds."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._inside: set[Guest] = set()
        # Of those inside, by how long it has been so: who goes first stands first.
        self._asking: dict[Guest, float] = {}
        self._half_closed: dict[Guest, None] = {}
        self._resting: dict[Guest, None] = {}
        # On the porch: who may be sent away, and who is being answered.
        self._waiting: dict[Guest, None] = {}
        self._served: set[Guest] = set()
        self._complained = float("-inf")

    def enter(self, guest: Guest) -> bool:
        """Let in a new connection, inside or on the porch; False: there is room on neither."""
        if self._make_room():
            self._inside.add(guest)
            self._asking[guest] = self._clock()
            return True
        self._complain()
        if len(self._waiting) + len(self._served) >= PORCH:
            if not self._waiting:
                return False
            self._send_away(next(iter(self._waiting)))
        self._waiting[guest] = None
        return True

    def asks(self, guest: Guest) -> None:
        """Note that a header has begun to come over a connection that was resting."""
        if guest in self._inside:
            self._resting.pop(guest, None)
            self._asking.setdefault(guest, self._clock())

    def has_asked(self, guest: Guest) -> bool:
        """Note that a header is complete; False: it came from the porch, and there is no room."""
        if guest in self._waiting:
            del self._waiting[guest]
            if not self._make_room():
                self._served.add(guest)
                return False
            self._inside.add(guest)
        self._asking.pop(guest, None)
        self._resting.pop(guest, None)
        return guest in self._inside

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
            self._served.discard(guest)
            self._waiting[guest] = None

    def leave(self, guest: Guest) -> None:
        """Forget a connection; nothing happens where it is forgotten already."""
        self._inside.discard(guest)
        self._served.discard(guest)
        self._asking.pop(guest, None)
        self._half_closed.pop(guest, None)
        self._resting.pop(guest, None)
        self._waiting.pop(guest, None)

    def _make_room(self) -> bool:
        if len(self._inside) < self._most:
            return True
        goes = self._late() or self._hung_up() or next(iter(self._resting), None)
        if goes is not None:
            self._send_away(goes)
        return goes is not None

    def _late(self) -> Guest | None:
        guest, since = next(iter(self._asking.items()), (None, 0.0))
        return guest if self._clock() - since > SPARED else None

    def _hung_up(self) -> Guest | None:
        while self._half_closed:
            guest = next(iter(self._half_closed))
            del self._half_closed[guest]
            if not guest.is_answered:
                return guest
        return None

    def _send_away(self, guest: Guest) -> None:
        self.leave(guest)
        guest.give_up()

    def _complain(self) -> None:
        if self._clock() - self._complained >= COMPLAIN_EVERY:
            self._complained = self._clock()
            log.warning("as many connections as may be; see ILIOS_MAX_CONNECTIONS", most=self._most)
