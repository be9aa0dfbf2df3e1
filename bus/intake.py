"""Whether one role of a process takes events, and what it has in hand."""

import asyncio
import time
from collections.abc import Callable


class Intake:
    """Open unless something refuses work, as an operator or a full disk.

    While it is closed no event is taken; those that were delivered and not begun are given back,
    and work in hand goes on. ``on_change`` is called when it closes or opens.
    """

    def __init__(self, on_change: Callable[[], None] | None = None) -> None:
        self._refusals: dict[str, str] = {}
        self._opened, self._closed = asyncio.Event(), asyncio.Event()
        self._opened.set()
        self._on_change = on_change
        self._count: Callable[[], int] = lambda: 0
        self.deliveries = self.redeliveries = 0
        self._closed_for = 0.0
        self._closed_since: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether events are taken."""
        return not self._refusals

    @property
    def reasons(self) -> list[str]:
        """Why no events are taken; empty while they are."""
        return list(self._refusals.values())

    @property
    def in_hand(self) -> int:
        """The number of events that are being worked on."""
        return self._count()

    def record(self, attempt: int) -> None:
        """Count a delivery; every one after the first of its event is a redelivery."""
        self.deliveries += 1
        self.redeliveries += attempt > 1

    def count_by(self, count: Callable[[], int]) -> None:
        """Have the events in hand counted by this function."""
        self._count = count

    def set(self, source: str, reason: str | None) -> None:
        """Refuse work for a reason of this source; without a reason no longer because of it."""
        if self._refusals.get(source) == reason:
            return
        was_open = self.is_open
        if reason is None:
            del self._refusals[source]
        else:
            self._refusals[source] = reason
        if was_open == self.is_open:
            return
        if self.is_open:
            assert self._closed_since is not None  # set when it was closed
            self._closed_for += time.monotonic() - self._closed_since
            self._closed_since = None
            self._closed.clear()
            self._opened.set()
        else:
            self._closed_since = time.monotonic()
            self._opened.clear()
            self._closed.set()
        if self._on_change is not None:
            self._on_change()

    async def wait_until_open(self) -> None:
        """Wait until events are taken."""
        await self._opened.wait()

    async def wait_until_closed(self) -> None:
        """Wait until no events are taken."""
        await self._closed.wait()

    def clock(self) -> float:
        """Return a time in seconds that stands still while no events are taken."""
        now = self._closed_since if self._closed_since is not None else time.monotonic()
        return now - self._closed_for
