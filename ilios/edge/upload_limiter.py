"""How many uploads are taken in at once, and whose.

An upload holds a place while its body is read and stored, not while it is converted. Who finds none
waits a moment and is then refused, before the body is asked for. Tenants that have little go before
those that have much: whoever holds half of the places takes no more while others wait, and where
there are several tenants, leaves the last few places to the others at any time, for an upload that
has begun is not broken off for anybody.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from ilios.edge.errors import RETRY_AFTER, HttpProblem

RESERVED_SHARE = 8
"""One in so many places, but at least one, is not for a tenant that has its half."""


class UploadLimiter:
    """Hands out ``most`` places; ``wait`` is in seconds."""

    def __init__(self, capacity: int, timeout: float, *, multi_tenant: bool) -> None:
        self._free = capacity
        self._timeout = timeout
        self._half = max(1, capacity // 2)
        self._reserved = max(1, capacity // RESERVED_SHARE) if multi_tenant and capacity > 1 else 0
        self._in_use: Counter[str] = Counter()
        self._waiters: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Hold a place for as long as the context is open.

        :raises Refused: none became free in time (503).
        """
        await self._acquire(tenant)
        try:
            yield
        finally:
            self._release(tenant)

    async def _acquire(self, tenant: str) -> None:
        if not self._waiters and self._may_acquire(tenant):
            self._assign(tenant)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(tenant, deque()).append(waiter)
        # The first who waits may still be one who must not have what this one may.
        self._wake_waiters()
        try:
            async with asyncio.timeout(self._timeout):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._release(tenant)  # it came in the same moment
            else:
                self._remove_waiter(tenant, waiter)
            if isinstance(error, TimeoutError):
                raise _overloaded() from None
            raise

    def _may_acquire(self, tenant: str) -> bool:
        reserved = self._reserved if self._in_use[tenant] >= self._half else 0
        return self._free > reserved

    def _assign(self, tenant: str) -> None:
        self._free -= 1
        self._in_use[tenant] += 1

    def _release(self, tenant: str) -> None:
        self._free += 1
        self._in_use[tenant] -= 1
        if not self._in_use[tenant]:
            del self._in_use[tenant]
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        """Give what is free to those who wait, one by one to the tenant that holds least."""
        while self._waiters:
            tenant = min(self._waiters, key=lambda waits: self._in_use[waits])
            if not self._may_acquire(tenant):
                return
            waiter = self._waiters[tenant].popleft()
            if not self._waiters[tenant]:
                del self._waiters[tenant]
            if not waiter.done():
                self._assign(tenant)
                waiter.set_result(None)

    def _remove_waiter(self, tenant: str, waiter: asyncio.Future[None]) -> None:
        if tenant in self._waiters and waiter in self._waiters[tenant]:
            self._waiters[tenant].remove(waiter)
            if not self._waiters[tenant]:
                del self._waiters[tenant]


UPLOAD_LIMITER = web.AppKey("places", UploadLimiter)


def _overloaded() -> HttpProblem:
    return HttpProblem(
        503,
        "overloaded",
        "The service takes in as many uploads as it can; try again in a moment",
        headers={"Retry-After": RETRY_AFTER},
    )
