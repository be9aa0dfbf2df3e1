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

from ilios.edge.errors import RETRY_AFTER, Refused

LEFT_TO_OTHERS = 8
"""One in so many places, but at least one, is not for a tenant that has its half."""


class UploadPlaces:
    """Hands out ``most`` places; ``wait`` is in seconds."""

    def __init__(self, most: int, wait: float, *, shared: bool) -> None:
        self._free = most
        self._wait = wait
        self._half = max(1, most // 2)
        self._left_to_others = max(1, most // LEFT_TO_OTHERS) if shared and most > 1 else 0
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def held_by(self, tenant: str) -> AsyncIterator[None]:
        """Hold a place for as long as the context is open.

        :raises Refused: none became free in time (503).
        """
        await self._take(tenant)
        try:
            yield
        finally:
            self._give_back(tenant)

    async def _take(self, tenant: str) -> None:
        if not self._waiting and self._may_have(tenant):
            self._hand_to(tenant)
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(place)
        # The first who waits may still be one who must not have what this one may.
        self._hand_on()
        try:
            async with asyncio.timeout(self._wait):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._give_back(tenant)  # it came in the same moment
            else:
                self._forget(tenant, place)
            if isinstance(error, TimeoutError):
                raise _overloaded() from None
            raise

    def _may_have(self, tenant: str) -> bool:
        kept = self._left_to_others if self._held[tenant] >= self._half else 0
        return self._free > kept

    def _hand_to(self, tenant: str) -> None:
        self._free -= 1
        self._held[tenant] += 1

    def _give_back(self, tenant: str) -> None:
        self._free += 1
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        self._hand_on()

    def _hand_on(self) -> None:
        """Give what is free to those who wait, one by one to the tenant that holds least."""
        while self._waiting:
            tenant = min(self._waiting, key=lambda waits: self._held[waits])
            if not self._may_have(tenant):
                return
            place = self._waiting[tenant].popleft()
            if not self._waiting[tenant]:
                del self._waiting[tenant]
            if not place.done():
                self._hand_to(tenant)
                place.set_result(None)

    def _forget(self, tenant: str, place: asyncio.Future[None]) -> None:
        if tenant in self._waiting and place in self._waiting[tenant]:
            self._waiting[tenant].remove(place)
            if not self._waiting[tenant]:
                del self._waiting[tenant]


PLACES = web.AppKey("places", UploadPlaces)


def _overloaded() -> Refused:
    return Refused(
        503,
        "overloaded",
        "The service takes in as many uploads as it can; try again in a moment",
        headers={"Retry-After": RETRY_AFTER},
    )
