"""Who may use a child next: urgent documents first, tenants in turn, and nobody shut out."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from msgspec import Struct

EXTRA = 1
"""Children beyond the usual number, for urgent documents while all others are at work; and as many
again for tenants that have no document at work."""

OVERTAKES = 8
"""Urgent documents that go before an ordinary one at most."""

Kind = Literal["usual", "urgent", "other"]


class _Place(Struct, eq=False):
    """What one document holds; beyond the usual number for one of two reasons."""

    tenant: str
    urgent: bool
    kind: Kind


class _Waiting(Struct, eq=False):
    """A document that waits; ``number`` counts them in order of arrival."""

    number: int
    tenant: str
    urgent: bool
    given: asyncio.Future[_Place]


class Slots:
    """Places for a bounded number of documents at work.

    While ordinary documents that take minutes hold all places, an urgent one still finds one. Of
    those that wait the urgent ones go first, but never for ever. Of the tenants that wait, the one
    with the fewest documents at work goes first, and one that has none gets a place beyond the
    usual number.
    """

    def __init__(self, count: int, on_crowd: Callable[[], None] | None = None) -> None:
        """``on_crowd`` is called when it becomes crowded."""
        self._count = count
        self._on_crowd = on_crowd
        self._holding: set[_Place] = set()
        self._at_work: Counter[str] = Counter()  # by tenant
        self._waiting: dict[bool, dict[str, deque[_Waiting]]] = {True: {}, False: {}}
        self._arrived = 0
        self._overtaken = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._crowded_before = 0.0
        self._crowded_since: float | None = None

    @property
    def full(self) -> bool:
        """Whether an ordinary document would have to wait, unless its tenant has none at work."""
        return len(self._holding) >= self._count or bool(self._waiting[False])

    @property
    def crowded(self) -> bool:
        """Whether more documents are at work than there are usual places."""
        return len(self._holding) > self._count

    @property
    def crowded_seconds(self) -> float:
        """For how long it was crowded, ever."""
        since = self._crowded_since
        return self._crowded_before + (0.0 if since is None else time.monotonic() - since)

    @asynccontextmanager
    async def taken(self, *, urgent: bool = False, tenant: str = "") -> AsyncIterator[None]:
        """Hold a place while the context is open; wait for it first."""
        place = await self._take(urgent=urgent, tenant=tenant)
        try:
            yield
        finally:
            self._leave(place)

    async def emptied(self) -> None:
        """Wait until nobody holds a place, and nobody waits for one."""
        await self._empty.wait()

    async def _take(self, *, urgent: bool, tenant: str) -> _Place:
        self._arrived += 1
        given: asyncio.Future[_Place] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(self._arrived, tenant, urgent, given)
        self._empty.clear()
        self._waiting[urgent].setdefault(tenant, deque()).append(waiting)
        self._go_on()
        try:
            return await given
        except BaseException:
            if given.done() and not given.cancelled():
                self._leave(given.result())  # it was given at the same moment
            else:
                self._forget(waiting)
                self._go_on()
            raise

    def _leave(self, place: _Place) -> None:
        self._holding.remove(place)
        self._at_work[place.tenant] -= 1
        if not self._at_work[place.tenant]:
            del self._at_work[place.tenant]
        if place.kind == "usual":
            # What was beyond the number no longer is: the usual place is not free for a third.
            beyond = [other for other in self._holding if other.kind != "usual"]
            for other in sorted(beyond, key=lambda one: one.kind)[:1]:
                other.kind = "usual"
        self._go_on()

    def _go_on(self) -> None:
        while (found := self._next()) is not None:
            waiting, kind = found
            self._forget(waiting)
            if not waiting.given.done():
                place = _Place(waiting.tenant, waiting.urgent, kind)
                self._holding.add(place)
                self._at_work[waiting.tenant] += 1
                waiting.given.set_result(place)
        self._note_crowd()
        if not (self._holding or self._waiting[True] or self._waiting[False]):
            self._empty.set()

    def _next(self) -> tuple[_Waiting, Kind] | None:
        """Return who is to have a place now, and which, or nobody."""
        ordinary = self._fairest(urgent=False)
        urgent = self._fairest(urgent=True)
        # Ordinary ones that have all their places are not overtaken, whatever goes on beside them.
        ordinary_at_work = sum(not place.urgent for place in self._holding)
        overtaken = ordinary is not None and ordinary_at_work < self._count
        starved = overtaken and self._overtaken >= OVERTAKES
        if urgent is not None and not starved and (kind := self._kind_for(urgent, extra=True)):
            self._overtaken = self._overtaken + 1 if overtaken else 0
            return urgent, kind
        if ordinary is not None and (kind := self._kind_for(ordinary, extra=starved)):
            self._overtaken = 0
            return ordinary, kind
        return None

    def _fairest(self, *, urgent: bool) -> _Waiting | None:
        """Return the first document of the tenant that has the fewest at work."""
        heads = (waiting[0] for waiting in self._waiting[urgent].values())
        return min(heads, key=lambda one: (self._at_work[one.tenant], one.number), default=None)

    def _kind_for(self, waiting: _Waiting, *, extra: bool) -> Kind | None:
        kinds = Counter(place.kind for place in self._holding)
        if kinds["usual"] < self._count:
            return "usual"
        if extra and kinds["urgent"] < EXTRA:
            return "urgent"
        if not self._at_work[waiting.tenant] and kinds["other"] < EXTRA:
            return "other"
        return None

    def _forget(self, waiting: _Waiting) -> None:
        queues = self._waiting[waiting.urgent]
        queue = queues.get(waiting.tenant)
        if queue is not None and waiting in queue:
            queue.remove(waiting)
            if not queue:
                del queues[waiting.tenant]

    def _note_crowd(self) -> None:
        if self.crowded and self._crowded_since is None:
            self._crowded_since = time.monotonic()
            if self._on_crowd is not None:
                self._on_crowd()
        elif not self.crowded and self._crowded_since is not None:
            self._crowded_before += time.monotonic() - self._crowded_since
            self._crowded_since = None
