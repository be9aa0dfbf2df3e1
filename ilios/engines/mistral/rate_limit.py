"""What all documents together may take of the API: calls at one time, pages in a minute."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ilios.engines.local.fair_semaphore import FairSemaphore
from ilios.engines.mistral.limits import MistralLimits

MINUTE = 60.0
LARGE_CALL_PAGES = 10
MAX_CONCURRENT_LARGE_CALLS = 8
"""Calls for more than ``LONG_PAGES``: their answers, images and all, are held in memory, and they
are not to take all the places."""


class RateLimiter:
    """Shared by every call of this process; urgent documents go first, tenants take turns."""

    def __init__(self, limits: MistralLimits) -> None:
        self._slots = FairSemaphore(limits.max_concurrent_calls)
        self._large_slots = FairSemaphore(MAX_CONCURRENT_LARGE_CALLS)
        self._rate = limits.pages_per_minute / MINUTE
        self._next_page_at = 0.0
        self._paused_until = 0.0

    @asynccontextmanager
    async def slot(self, pages: int, *, urgent: bool, tenant: str = "") -> AsyncIterator[None]:
        """Hold a place for a call that reads so many pages; wait for it first."""
        async with AsyncExitStack() as stack:
            if pages > LARGE_CALL_PAGES:
                await stack.enter_async_context(self._large_slots.slot(tenant=tenant))
            await stack.enter_async_context(self._slots.slot(urgent=urgent, tenant=tenant))
            await self._wait(pages)
            yield

    def pause(self, seconds: float) -> None:
        """Let no call begin for a while: the API has asked for it."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def record_extra_pages(self, pages: int) -> None:
        """Count pages that were read beyond those that were asked for."""
        if self._rate:
            self._next_page_at = max(self._next_page_at, time.monotonic()) + pages / self._rate

    async def _wait(self, pages: int) -> None:
        while (left := self._paused_until - time.monotonic()) > 0:  # noqa: ASYNC110  only a time
            await asyncio.sleep(left)
        if not self._rate:
            return
        # Each takes its pages' time behind the others', so that no minute sees more than it may.
        begins = max(self._next_page_at, time.monotonic())
        self._next_page_at = begins + pages / self._rate
        await asyncio.sleep(begins - time.monotonic())
