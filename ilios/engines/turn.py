"""One document's time with a child: how long it may be, and that others get their share of it."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ilios.engines.process import ChildProcess
from ilios.engines.slots import Slots

LOOK_EVERY = 1.0  # seconds
YIELDS_AFTER = 5.0
"""Seconds after which a document lets those go first that have waited for it. Text takes less."""


class Turn:
    """A context manager around the work on one document.

    It expires ``deadline`` after ``seconds``, not counting those in which more documents were at
    work than there are usual places: whoever had to share with another tenant does not fail of it.
    One that is at it for long meanwhile gets less of the processor than the others; ``on_long`` is
    called as soon as it is.
    """

    def __init__(
        self,
        child: ChildProcess,
        slots: Slots,
        seconds: float,
        deadline: asyncio.Timeout,
        on_long: Callable[[], None],
    ) -> None:
        self._child = child
        self._on_long = on_long
        self._slots = slots
        self._seconds = seconds
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._crowded_before = slots.crowded_seconds
        self._next_look: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._look_again(self._seconds)
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

    def look(self) -> None:
        """See how long it has been, and whether it is crowded; done every second, too."""
        now = self._loop.time()
        shared = self._slots.crowded_seconds - self._crowded_before
        left = self._began + self._seconds + shared - now
        if left <= 0:
            self._deadline.reschedule(now)
            return
        if not self._slots.crowded:
            self._child.go_ahead()
        if now - self._began >= YIELDS_AFTER:
            self._on_long()
            if self._slots.crowded:
                self._child.make_way()
        self._look_again(left)

    def _look_again(self, left: float) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._next_look = self._loop.call_later(min(LOOK_EVERY, left), self.look)
