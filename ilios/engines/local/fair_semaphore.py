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


class _Slot(Struct, eq=False):
    """What one document holds; beyond the usual number for one of two reasons."""

    tenant: str
    urgent: bool
    kind: Kind


class _Waiter(Struct, eq=False):
    """A document that waits; ``number`` counts them in order of arrival."""

    arrival: int
    tenant: str
    urgent: bool
    granted: asyncio.Future[_Slot]


class FairSemaphore:
    """Places for a bounded number of documents at work.

    While ordinary documents that take minutes hold all places, an urgent one still finds one. Of
    those that wait the urgent ones go first, but never for ever. Of the tenants that wait, the one
    with the fewest documents at work goes first, and one that has none gets a place beyond the
    usual number.
    """

    def __init__(self, count: int, on_oversubscribed: Callable[[], None] | None = None) -> None:
        """``on_crowd`` is called when it becomes crowded."""
        self._count = count
        self._on_oversubscribed = on_oversubscribed
        self._held: set[_Slot] = set()
        self._active: Counter[str] = Counter()  # by tenant
        self._waiters: dict[bool, dict[str, deque[_Waiter]]] = {True: {}, False: {}}
        self._arrived = 0
        self._overtaken = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._oversubscribed_before = 0.0
        self._oversubscribed_since: float | None = None

    @property
    def full(self) -> bool:
        """Whether an ordinary document would have to wait, unless its tenant has none at work."""
        return len(self._held) >= self._count or bool(self._waiters[False])

    @property
    def oversubscribed(self) -> bool:
        """Whether more documents are at work than there are usual places."""
        return len(self._held) > self._count

    @property
    def oversubscribed_seconds(self) -> float:
        """For how long it was crowded, ever."""
        since = self._oversubscribed_since
        return self._oversubscribed_before + (0.0 if since is None else time.monotonic() - since)

    @asynccontextmanager
    async def slot(self, *, urgent: bool = False, tenant: str = "") -> AsyncIterator[None]:
        """Hold a place while the context is open; wait for it first."""
        place = await self._acquire(urgent=urgent, tenant=tenant)
        try:
            yield
        finally:
            self._release(place)

    async def wait_idle(self) -> None:
        """Wait until nobody holds a place, and nobody waits for one."""
        await self._idle.wait()

    async def _acquire(self, *, urgent: bool, tenant: str) -> _Slot:
        self._arrived += 1
        granted: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(self._arrived, tenant, urgent, granted)
        self._idle.clear()
        self._waiters[urgent].setdefault(tenant, deque()).append(waiter)
        self._grant()
        try:
            return await granted
        except BaseException:
            if granted.done() and not granted.cancelled():
                self._release(granted.result())  # it was given at the same moment
            else:
                self._remove(waiter)
                self._grant()
            raise

    def _release(self, place: _Slot) -> None:
        self._held.remove(place)
        self._active[place.tenant] -= 1
        if not self._active[place.tenant]:
            del self._active[place.tenant]
        if place.kind == "usual":
            # What was beyond the number no longer is: the usual place is not free for a third.
            beyond = [other for other in self._held if other.kind != "usual"]
            for other in sorted(beyond, key=lambda one: one.kind)[:1]:
                other.kind = "usual"
        self._grant()

    def _grant(self) -> None:
        while (found := self._next()) is not None:
            waiting, kind = found
            self._remove(waiting)
            if not waiting.granted.done():
                place = _Slot(waiting.tenant, waiting.urgent, kind)
                self._held.add(place)
                self._active[waiting.tenant] += 1
                waiting.granted.set_result(place)
        self._track_oversubscription()
        if not (self._held or self._waiters[True] or self._waiters[False]):
            self._idle.set()

    def _next(self) -> tuple[_Waiter, Kind] | None:
        """Return who is to have a place now, and which, or nobody."""
        ordinary = self._fairest(urgent=False)
        urgent = self._fairest(urgent=True)
        # Ordinary ones that have all their places are not overtaken, whatever goes on beside them.
        ordinary_at_work = sum(not place.urgent for place in self._held)
        overtaken = ordinary is not None and ordinary_at_work < self._count
        starved = overtaken and self._overtaken >= OVERTAKES
        if urgent is not None and not starved and (kind := self._kind_for(urgent, extra=True)):
            self._overtaken = self._overtaken + 1 if overtaken else 0
            return urgent, kind
        if ordinary is not None and (kind := self._kind_for(ordinary, extra=starved)):
            self._overtaken = 0
            return ordinary, kind
        return None

    def _fairest(self, *, urgent: bool) -> _Waiter | None:
        """Return the first document of the tenant that has the fewest at work."""
        heads = (waiting[0] for waiting in self._waiters[urgent].values())
        return min(heads, key=lambda one: (self._active[one.tenant], one.arrival), default=None)

    def _kind_for(self, waiting: _Waiter, *, extra: bool) -> Kind | None:
        kinds = Counter(place.kind for place in self._held)
        if kinds["usual"] < self._count:
            return "usual"
        if extra and kinds["urgent"] < EXTRA:
            return "urgent"
        if not self._active[waiting.tenant] and kinds["other"] < EXTRA:
            return "other"
        return None

    def _remove(self, waiting: _Waiter) -> None:
        queues = self._waiters[waiting.urgent]
        queue = queues.get(waiting.tenant)
        if queue is not None and waiting in queue:
            queue.remove(waiting)
            if not queue:
                del queues[waiting.tenant]

    def _track_oversubscription(self) -> None:
        if self.oversubscribed and self._oversubscribed_since is None:
            self._oversubscribed_since = time.monotonic()
            if self._on_oversubscribed is not None:
                self._on_oversubscribed()
        elif not self.oversubscribed and self._oversubscribed_since is not None:
            self._oversubscribed_before += time.monotonic() - self._oversubscribed_since
            self._oversubscribed_since = None
