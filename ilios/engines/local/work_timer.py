"""Time limits of one document, and lower priority for documents that take long."""

import asyncio
import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.process import ChildProcess
from ilios.runtime.fair_semaphore import FairSemaphore

CHECK_INTERVAL = 1.0  # seconds
LOWER_PRIORITY_AFTER = 8.0
"""Seconds after which a document gives way while others wait. A text document and a range of pages
take less: a child whose priority cannot be restored is replaced, which costs more than it gains."""

MAX_EXTENSION = 10
"""Factor by which sharing may extend a limit; a document with low priority has had its CPU time by
then, and one that hangs frees its slot."""


class _Countdown:
    """Seconds until ``timeout`` expires, without those in which slots are oversubscribed."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float, slots: FairSemaphore) -> None:
        self._timeout = timeout
        self._seconds = seconds
        self._slots = slots
        self._ends_at: float | None = None
        self._oversubscribed_before = 0.0

    def restart(self, now: float) -> None:
        """Start again."""
        self._ends_at = now + self._seconds
        self._oversubscribed_before = self._slots.oversubscribed_seconds

    def remaining(self, now: float) -> float:
        """Return the seconds that are left; expire the timeout if there are none."""
        if self._ends_at is None:
            return math.inf
        shared = self._slots.oversubscribed_seconds - self._oversubscribed_before
        left = self._ends_at + min(shared, MAX_EXTENSION * self._seconds) - now
        if left <= 0:
            self._timeout.reschedule(now)
        return left


class WorkTimer:
    """A context manager around the work on one document.

    It expires ``deadline`` and ``page`` after the seconds that ``limits`` allows in all and between
    two pages. Time in which the slots are oversubscribed does not count: a document does not fail
    because it shares the machine with another tenant. Meanwhile a document that takes long gets
    less CPU time than the others; ``on_slow`` is called as soon as it does.
    """

    def __init__(
        self,
        child: ChildProcess,
        slots: FairSemaphore,
        limits: EngineLimits,
        deadline: asyncio.Timeout,
        page: asyncio.Timeout,
        on_slow: Callable[[], None],
    ) -> None:
        self._child = child
        self._on_slow = on_slow
        self._slots = slots
        self._total = _Countdown(deadline, limits.wall_seconds, slots)
        self._page = _Countdown(page, limits.page_seconds, slots)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._oversubscribed_before = slots.oversubscribed_seconds
        self._next_check: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._total.restart(self._began)
        self._schedule_check(self._began)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._next_check is not None:
            self._next_check.cancel()
        self._child.restore_priority()

    def heartbeat(self) -> None:
        """Restart the page limit: the child has made progress."""
        now = self._loop.time()
        self._page.restart(now)
        self._schedule_check(now)

    def check(self) -> None:
        """Adapt the priority to the time at work and to whether slots are oversubscribed."""
        now = self._loop.time()
        if not self._slots.oversubscribed:
            self._child.restore_priority()
        if now - self._began >= LOWER_PRIORITY_AFTER:
            self._on_slow()
            if self._slots.oversubscribed:
                self._child.lower_priority()
        self._schedule_check(now)

    def unshared(self, seconds: float) -> float:
        """Return so many seconds of work without those in which slots were oversubscribed."""
        shared = self._slots.oversubscribed_seconds - self._oversubscribed_before
        return max(seconds - shared, seconds / MAX_EXTENSION)

    def _schedule_check(self, now: float) -> None:
        if self._next_check is not None:
            self._next_check.cancel()
        left = min(self._total.remaining(now), self._page.remaining(now))
        if left > 0:
            self._next_check = self._loop.call_later(min(CHECK_INTERVAL, left), self.check)
