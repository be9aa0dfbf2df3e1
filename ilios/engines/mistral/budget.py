"""What all documents together may take of the API: calls at one time, pages in a minute."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ilios.engines.mistral.limits import MistralLimits
from ilios.engines.slots import Slots

MINUTE = 60.0
LONG_PAGES = 10
LONG_AT_ONCE = 8
"""Calls for more than ``LONG_PAGES``: their answers, images and all, are held in memory, and they
are not to take all the places."""


class Budget:
    """Shared by every call of this process; urgent documents go first, tenants take turns."""

    def __init__(self, limits: MistralLimits) -> None:
        self._slots = Slots(limits.at_once)
        self._long = Slots(LONG_AT_ONCE)
        self._rate = limits.pages_per_minute / MINUTE
        self._pages_from = 0.0
        self._quiet_until = 0.0

    @asynccontextmanager
    async def call(self, pages: int, *, urgent: bool, tenant: str = "") -> AsyncIterator[None]:
        """Hold a place for a call that reads so many pages; wait for it first."""
        async with AsyncExitStack() as stack:
            if pages > LONG_PAGES:
                await stack.enter_async_context(self._long.taken(tenant=tenant))
            await stack.enter_async_context(self._slots.taken(urgent=urgent, tenant=tenant))
            await self._wait(pages)
            yield

    def pause(self, seconds: float) -> None:
        """Let no call begin for a while: the API has asked for it."""
        self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    def spent(self, pages: int) -> None:
        """Count pages that were read beyond those that were asked for."""
        if self._rate:
            self._pages_from = max(self._pages_from, time.monotonic()) + pages / self._rate

    async def _wait(self, pages: int) -> None:
        while (left := self._quiet_until - time.monotonic()) > 0:  # noqa: ASYNC110  only a time
            await asyncio.sleep(left)
        if not self._rate:
            return
        # Each takes its pages' time behind the others', so that no minute sees more than it may.
        begins = max(self._pages_from, time.monotonic())
        self._pages_from = begins + pages / self._rate
        await asyncio.sleep(begins - time.monotonic())
