"""Who may use a child next: urgent documents first, one more of them than there is room for."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

EXTRA = 1
"""Children beyond the usual number, for urgent documents while all others are at work."""

OVERTAKES = 8
"""Urgent documents that go before an ordinary one at most."""


class Slots:
    """Places for a bounded number of documents at work.

    While ordinary documents that take minutes hold all places, an urgent one still finds one. Of
    those that wait the urgent ones go first, but never for ever.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._busy = {True: 0, False: 0}  # urgent or not
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}
        self._overtaken = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def full(self) -> bool:
        """Whether an ordinary document would have to wait."""
        return sum(self._busy.values()) >= self._count or bool(self._waiting[False])

    @asynccontextmanager
    async def taken(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """Hold a place while the context is open; wait for it first."""
        await self._take(urgent=urgent)
        try:
            yield
        finally:
            self._busy[urgent] -= 1
            self._go_on()

    async def emptied(self) -> None:
        """Wait until nobody holds a place, and nobody waits for one."""
        await self._empty.wait()

    async def _take(self, *, urgent: bool) -> None:
        place = asyncio.get_running_loop().create_future()
        self._empty.clear()
        self._waiting[urgent].append(place)
        self._go_on()
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled():
                self._busy[urgent] -= 1  # it was given at the same moment
            elif place in self._waiting[urgent]:
                self._waiting[urgent].remove(place)
            self._go_on()
            raise

    def _go_on(self) -> None:
        while (urgent := self._next()) is not None:
            place = self._waiting[urgent].popleft()
            if not place.done():
                self._busy[urgent] += 1
                place.set_result(None)
        if not any((*self._busy.values(), *self._waiting.values())):
            self._empty.set()

    def _next(self) -> bool | None:
        """Say whether an urgent document is to have a place now, or an ordinary one, or nobody."""
        busy = sum(self._busy.values())
        # Ordinary ones that have all their places are not overtaken, whatever goes on beside them.
        overtaken = bool(self._waiting[False]) and self._busy[False] < self._count
        starved = overtaken and self._overtaken >= OVERTAKES
        ordinary = bool(self._waiting[False]) and busy < self._count + (EXTRA if starved else 0)
        if self._waiting[True] and busy < self._count + EXTRA and not starved:
            self._overtaken = self._overtaken + 1 if overtaken else 0
            return True
        if ordinary:
            self._overtaken = 0
            return False
        return None
