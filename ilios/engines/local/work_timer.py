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


class _Stopwatch:
    """Seconds since ``now``, and how many of them a child had to leave to others.

    Those are the seconds in which slots were oversubscribed, as far as the child did not get the
    CPU in them: documents that queue for its slot all the time must not let it work for ever.
    """

    def __init__(self, child: ChildProcess, slots: FairSemaphore, now: float) -> None:
        self._child = child
        self._slots = slots
        self.began = now
        self._cpu_before = child.cpu_seconds
        self._oversubscribed_before = slots.oversubscribed_seconds

    def left_to_others(self, now: float) -> float:
        """Return the seconds until ``now`` that do not count."""
        shared = self._slots.oversubscribed_seconds - self._oversubscribed_before
        if not shared:
            return 0.0
        worked = self._child.cpu_seconds - self._cpu_before
        alone = now - self.began - shared
        return shared - min(max(worked - alone, 0.0), shared)


class _Countdown:
    """Seconds until ``timeout`` expires, without those that the child left to others."""

    def __init__(
        self, timeout: asyncio.Timeout, seconds: float, child: ChildProcess, slots: FairSemaphore
    ) -> None:
        self._timeout = timeout
        self._seconds = seconds
        self._child = child
        self._slots = slots
        self._watch: _Stopwatch | None = None

    def restart(self, now: float) -> None:
        """Start again."""
        self._watch = _Stopwatch(self._child, self._slots, now)

    def remaining(self, now: float) -> float:
        """Return the seconds that are left; expire the timeout if there are none."""
        if self._watch is None:
            return math.inf
        shared = min(self._watch.left_to_others(now), MAX_EXTENSION * self._seconds)
        left = self._watch.began + self._seconds + shared - now
        if left <= 0:
            self._timeout.reschedule(now)
        return left


class WorkTimer:
    """A context manager around the work on one document.

    It expires ``deadline`` and ``page`` after the seconds that ``limits`` allows in all and between
    two pages. Time does not count in which the slots are oversubscribed and others had the CPU: a
    document does not fail because it shares the machine. Meanwhile a document that takes long gets
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
        self._total = _Countdown(deadline, limits.wall_seconds, child, slots)
        self._page = _Countdown(page, limits.page_seconds, child, slots)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._watch = _Stopwatch(child, slots, self._began)
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
        """Return so many seconds of work without those that were left to others."""
        shared = self._watch.left_to_others(self._loop.time())
        return max(seconds - shared, seconds / MAX_EXTENSION)

    def _schedule_check(self, now: float) -> None:
        if self._next_check is not None:
            self._next_check.cancel()
        left = min(self._total.remaining(now), self._page.remaining(now))
        if left > 0:
            self._next_check = self._loop.call_later(min(CHECK_INTERVAL, left), self.check)
