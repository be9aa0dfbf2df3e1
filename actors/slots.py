"""Slots for work that may take long for external reasons, such as a download from a slow source.

Events that need a slot wait for it beside the regular workers of the actor, so that other events
never wait behind them. Tenants share the slots: the next one goes to the tenant with the fewest.
Started work is never stopped, so a few slots are reserved: a tenant with half of all slots cannot
use them, except that urgent work may have half of the reserve. Within a tenant urgent work comes
first.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count

RESERVED_SHARE = 8
"""One in so many slots, but at least one, is reserved from tenants with half of all slots."""
MAX_WAITING = 1000
"""Events that wait for a slot, with their deadlines renewed."""
MAX_WAITING_BYTES = 16 * 1024 * 1024
MIN_WAITING_PER_TENANT = 16
"""Events of each tenant that may wait, regardless of the others."""
MAX_REMEMBERED_TENANTS = 1000
"""Tenants whose last slot is remembered."""

Work = Callable[[], Awaitable[None]]
_Waiting = tuple[int, int, int, Work]  # rank, order, bytes


class FairSlots:
    """Runs work in ``capacity`` slots. The work must not raise."""

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._half = max(1, capacity // 2)
        self._reserved_for_others = max(1, capacity // RESERVED_SHARE) if capacity > 1 else 0
        self._in_use: Counter[str] = Counter()
        self._waiting: dict[str, list[_Waiting]] = {}  # by tenant
        self._last_served: dict[
            str, int
        ] = {}  # order of the last slot of each tenant, oldest first
        self._waiting_bytes = 0
        self._order = count()
        self._running: set[asyncio.Task[None]] = set()

    def submit(self, tenant: str, work: Work, *, rank: int = 1, size: int = 0) -> bool:
        """Start ``work`` as soon as there is a slot; False if too much work waits already.

        Lower ranks come first within a tenant, rank 0 is urgent; ``size`` is in bytes of memory.
        """
        if not self._may_wait(tenant, size):
            return False
        waiting = self._waiting.setdefault(tenant, [])
        heapq.heappush(waiting, (rank, next(self._order), size, work))
        self._waiting_bytes += size
        self._start_next()
        return True

    def drain(self) -> set[asyncio.Task[None]]:
        """Drop waiting work, and return the running tasks."""
        self._waiting.clear()
        self._waiting_bytes = 0
        return set(self._running)

    def _may_wait(self, tenant: str, size: int) -> bool:
        if len(self._waiting.get(tenant, ())) < MIN_WAITING_PER_TENANT:
            return True
        waiting = sum(map(len, self._waiting.values()))
        return waiting < MAX_WAITING and self._waiting_bytes + size <= MAX_WAITING_BYTES

    def _start_next(self) -> None:
        while (tenant := self._next_tenant()) is not None:
            waiting = self._waiting[tenant]
            _, _, size, work = heapq.heappop(waiting)
            if not waiting:
                del self._waiting[tenant]
            self._waiting_bytes -= size
            self._start(tenant, work)

    def _next_tenant(self) -> str | None:
        """Return the tenant for the next slot: of those that may have one, that with the fewest."""
        turns = sorted(
            self._waiting, key=lambda one: (self._in_use[one], self._last_served.get(one, -1))
        )
        return next(filter(self._may_have, turns), None)

    def _may_have(self, tenant: str) -> bool:
        reserved = 0
        if self._in_use[tenant] >= self._half:
            urgent = self._waiting[tenant][0][0] == 0
            reserved = self._reserved_for_others // 2 if urgent else self._reserved_for_others
        return self._free > reserved

    def _start(self, tenant: str, work: Work) -> None:
        async def run() -> None:
            await work()

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            self._free += 1
            self._in_use[tenant] -= 1
            if not self._in_use[tenant]:
                del self._in_use[tenant]
            self._start_next()

        self._free -= 1
        self._in_use[tenant] += 1
        self._last_served.pop(tenant, None)
        self._last_served[tenant] = next(self._order)
        if len(self._last_served) > MAX_REMEMBERED_TENANTS:
            del self._last_served[next(iter(self._last_served))]
        task = asyncio.create_task(run(), name=f"slot of {tenant}")
        self._running.add(task)
        task.add_done_callback(ended)
