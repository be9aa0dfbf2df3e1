"""One document's time with a child: how long it may be, and that others get their share of it."""

import asyncio
import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ilios.engines.limits import EngineLimits
from ilios.engines.process import ChildProcess
from ilios.engines.slots import Slots

LOOK_EVERY = 1.0  # seconds
YIELDS_AFTER = 5.0
"""Seconds after which a document lets those go first that have waited for it. Text takes less."""

MOST_SHARED = 10
"""Times its limit that a document may take while it has to share; by then one that stands back has
had its time, and one that hangs holds its place no longer."""


class _Limit:
    """Seconds until ``timeout`` expires, beside those in which the engine is crowded."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float, slots: Slots) -> None:
        self._timeout = timeout
        self._seconds = seconds
        self._slots = slots
        self._ends: float | None = None
        self._crowded_before = 0.0

    def begin(self, now: float) -> None:
        """Count from now on."""
        self._ends = now + self._seconds
        self._crowded_before = self._slots.crowded_seconds

    def left(self, now: float) -> float:
        """Return the seconds that are left if it is not crowded; expire if there are none."""
        if self._ends is None:
            return math.inf
        shared = self._slots.crowded_seconds - self._crowded_before
        left = self._ends + min(shared, MOST_SHARED * self._seconds) - now
        if left <= 0:
            self._timeout.reschedule(now)
        return left


class Turn:
    """A context manager around the work on one document.

    It expires ``deadline`` and ``page`` after so many seconds as ``limits`` allows in all and from
    one page to the next, not counting those in which more documents were at work than there are
    usual places: a document that had to share with another tenant does not fail of it. One that is
    at it for long meanwhile gets less of the processor than the others; ``on_long`` is called as
    soon as it is.
    """

    def __init__(
        self,
        child: ChildProcess,
        slots: Slots,
        limits: EngineLimits,
        deadline: asyncio.Timeout,
        page: asyncio.Timeout,
        on_long: Callable[[], None],
    ) -> None:
        self._child = child
        self._on_long = on_long
        self._slots = slots
        self._all = _Limit(deadline, limits.wall_seconds, slots)
        self._page = _Limit(page, limits.page_seconds, slots)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._next_look: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._all.begin(self._began)
        self._look_again(self._began)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._child.go_ahead()

    def alive(self) -> None:
        """Note that the child has the document, or goes on with its next page."""
        now = self._loop.time()
        self._page.begin(now)
        self._look_again(now)

    def look(self) -> None:
        """See how long it has been, and whether it is crowded; done every second, too."""
        now = self._loop.time()
        if not self._slots.crowded:
            self._child.go_ahead()
        if now - self._began >= YIELDS_AFTER:
            self._on_long()
            if self._slots.crowded:
                self._child.make_way()
        self._look_again(now)

    def _look_again(self, now: float) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        left = min(self._all.left(now), self._page.left(now))
        if left > 0:
            self._next_look = self._loop.call_later(min(LOOK_EVERY, left), self.look)
