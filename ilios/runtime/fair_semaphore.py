"""A semaphore that is fair between tenants and lets urgent work go first."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

EXTRA = 1
"""Slots beyond the capacity: so many for urgent work while all others are taken, and as many again
for tenants that hold none."""

OVERTAKES = 8
"""Urgent requests that are granted before an ordinary one at most."""

Kind = Literal["usual", "urgent", "other"]


class _Slot(Struct, eq=False):
    """A granted slot; ``kind`` is "usual" or the reason why it is beyond the capacity."""

    tenant: str
    urgent: bool
    kind: Kind


class _Waiter(Struct, eq=False):
    """A request that waits; ``arrival`` numbers requests in order."""

    arrival: int
    tenant: str
    urgent: bool
    granted: asyncio.Future[_Slot]


class HeldSlot:
    """Holds a slot while the context is open; waits for it first, ``wait_timeout`` seconds at most.

    A class rather than a generator, and without a timer where a slot is free: every request and
    every conversion takes one or two.
    """

    __slots__ = ("_on_timeout", "_semaphore", "_slot", "_tenant", "_urgent", "_wait_timeout")

    def __init__(
        self,
        semaphore: "FairSemaphore",
        tenant: str,
        *,
        urgent: bool,
        wait_timeout: float | None,
        on_timeout: Callable[[], Exception],
    ) -> None:
        self._semaphore = semaphore
        self._tenant = tenant
        self._urgent = urgent
        self._wait_timeout = wait_timeout
        self._on_timeout = on_timeout
        self._slot: _Slot | None = None

    async def __aenter__(self) -> None:
        self._slot = self._semaphore.acquire_free(urgent=self._urgent, tenant=self._tenant)
        if self._slot is not None:
            return
        try:
            async with asyncio.timeout(self._wait_timeout):
                self._slot = await self._semaphore.acquire(urgent=self._urgent, tenant=self._tenant)
        except TimeoutError:
            raise self._on_timeout() from None

    async def __aexit__(self, *_: object) -> None:
        assert self._slot is not None
        self._semaphore.release(self._slot)


class FairSemaphore:
    """Bounded slots, granted to the waiting tenant that holds the fewest.

    Urgent requests go first, but overtake an ordinary one at most ``OVERTAKES`` times. While
    ordinary work holds all slots, an urgent request and a tenant that holds none still get one of
    the ``extra`` slots each. A tenant that holds half of the capacity leaves ``reserved`` slots
    free for the others.
    """

    def __init__(
        self,
        capacity: int,
        *,
        extra: int = EXTRA,
        reserved: int = 0,
        on_oversubscribed: Callable[[], None] | None = None,
    ) -> None:
        """``on_oversubscribed`` is called when more slots are held than the capacity."""
        self._capacity = capacity
        self._extra = extra
        self._reserved = reserved
        self._on_oversubscribed = on_oversubscribed
        self._held: set[_Slot] = set()
        self._kinds: Counter[Kind] = Counter()
        self._ordinary = 0  # held slots of requests that are not urgent
        self._active: Counter[str] = Counter()  # held slots by tenant
        self._waiters: dict[bool, dict[str, deque[_Waiter]]] = {True: {}, False: {}}
        self._arrived = 0
        self._overtaken = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._oversubscribed_before = 0.0
        self._oversubscribed_since: float | None = None

    @property
    def full(self) -> bool:
        """Whether an ordinary request would wait, unless its tenant holds no slot."""
        return len(self._held) >= self._capacity or bool(self._waiters[False])

    @property
    def oversubscribed(self) -> bool:
        """Whether more slots are held than the capacity."""
        return len(self._held) > self._capacity

    @property
    def oversubscribed_seconds(self) -> float:
        """Total time spent oversubscribed."""
        since = self._oversubscribed_since
        return self._oversubscribed_before + (0.0 if since is None else time.monotonic() - since)

    def slot(
        self,
        *,
        urgent: bool = False,
        tenant: str = "",
        wait_timeout: float | None = None,
        on_timeout: Callable[[], Exception] = TimeoutError,
    ) -> HeldSlot:
        """Return the context of a slot; it raises ``on_timeout`` if none is granted in time."""
        return HeldSlot(
            self, tenant, urgent=urgent, wait_timeout=wait_timeout, on_timeout=on_timeout
        )

    async def wait_idle(self) -> None:
        """Wait until no slot is held and no request waits."""
        await self._idle.wait()

    def acquire_free(self, *, urgent: bool, tenant: str) -> _Slot | None:
        """Return one of the usual slots if one is free and nobody waits, as ``acquire`` would."""
        if self._waiters[True] or self._waiters[False] or not self._has_usual_slot(tenant):
            return None
        self._idle.clear()
        self._overtaken = 0
        slot = _Slot(tenant, urgent, "usual")
        self._hold(slot)
        self._track_oversubscription()
        return slot

    async def acquire(self, *, urgent: bool, tenant: str) -> _Slot:
        """Wait for a slot, which has to be released."""
        self._arrived += 1
        granted: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(self._arrived, tenant, urgent, granted)
        self._idle.clear()
        self._waiters[urgent].setdefault(tenant, deque()).append(waiter)
        self._grant()
        if granted.done():
            return granted.result()
        try:
            return await granted
        except BaseException:
            if granted.done() and not granted.cancelled():
                self.release(granted.result())  # granted in the moment of the cancellation
            else:
                self._remove(waiter)
                self._grant()
            raise

    def release(self, slot: _Slot) -> None:
        """Give a slot to who waits for it."""
        self._held.remove(slot)
        self._kinds[slot.kind] -= 1
        self._ordinary -= not slot.urgent
        self._active[slot.tenant] -= 1
        if not self._active[slot.tenant]:
            del self._active[slot.tenant]
        if slot.kind == "usual" and len(self._held) > self._kinds["usual"]:
            # One beyond the capacity takes the usual slot over, or a third would get it.
            beyond = [other for other in self._held if other.kind != "usual"]
            first = min(beyond, key=lambda one: one.kind)
            self._kinds[first.kind] -= 1
            self._kinds["usual"] += 1
            first.kind = "usual"
        self._grant()

    def _grant(self) -> None:
        while (found := self._next()) is not None:
            waiter, kind = found
            self._remove(waiter)
            if not waiter.granted.done():
                slot = _Slot(waiter.tenant, waiter.urgent, kind)
                self._hold(slot)
                waiter.granted.set_result(slot)
        self._track_oversubscription()
        if not (self._held or self._waiters[True] or self._waiters[False]):
            self._idle.set()

    def _hold(self, slot: _Slot) -> None:
        self._held.add(slot)
        self._kinds[slot.kind] += 1
        self._ordinary += not slot.urgent
        self._active[slot.tenant] += 1

    def _next(self) -> tuple[_Waiter, Kind] | None:
        """Return the request to grant now and the kind of its slot, or None."""
        ordinary = self._fairest(urgent=False)
        urgent = self._fairest(urgent=True)
        # While ordinary work holds the whole capacity, urgent requests overtake nobody.
        overtaken = ordinary is not None and self._ordinary < self._capacity
        starved = overtaken and self._overtaken >= OVERTAKES
        if urgent is not None and not starved and (kind := self._kind_for(urgent, extra=True)):
            self._overtaken = self._overtaken + 1 if overtaken else 0
            return urgent, kind
        if ordinary is not None and (kind := self._kind_for(ordinary, extra=starved)):
            self._overtaken = 0
            return ordinary, kind
        return None

    def _fairest(self, *, urgent: bool) -> _Waiter | None:
        """Return the first request of the tenant that holds the fewest slots."""
        heads = (waiting[0] for waiting in self._waiters[urgent].values())
        return min(heads, key=lambda one: (self._active[one.tenant], one.arrival), default=None)

    def _kind_for(self, waiter: _Waiter, *, extra: bool) -> Kind | None:
        if self._has_usual_slot(waiter.tenant):
            return "usual"
        if extra and self._kinds["urgent"] < self._extra:
            return "urgent"
        if not self._active[waiter.tenant] and self._kinds["other"] < self._extra:
            return "other"
        return None

    def _has_usual_slot(self, tenant: str) -> bool:
        has_half = self._active[tenant] >= max(1, self._capacity // 2)
        return self._kinds["usual"] < self._capacity - (self._reserved if has_half else 0)

    def _remove(self, waiter: _Waiter) -> None:
        queues = self._waiters[waiter.urgent]
        queue = queues.get(waiter.tenant)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del queues[waiter.tenant]

    def _track_oversubscription(self) -> None:
        if self.oversubscribed and self._oversubscribed_since is None:
            self._oversubscribed_since = time.monotonic()
            if self._on_oversubscribed is not None:
                self._on_oversubscribed()
        elif not self.oversubscribed and self._oversubscribed_since is not None:
            self._oversubscribed_before += time.monotonic() - self._oversubscribed_since
            self._oversubscribed_since = None
