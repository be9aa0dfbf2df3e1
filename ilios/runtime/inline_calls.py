"""Calls in the thread of the event loop that usually do not block, and when to make them elsewhere.

A hop to a thread and back costs several times what a look-up in a cache does. What turns out to be
slow, because the disk is waited for, is left to threads for a while.
"""

import time

SLOW_SECONDS = 0.005
"""A call that takes longer has waited for the disk, or for a processor."""
MOST_SLOW = 2
"""Slow calls in a row, after which threads are used. Waits for a processor are seldom two."""
THREAD_SECONDS = 1.0
"""How long threads are used then."""


class InlineCalls:
    """Calls of one kind: whether the next one may be made in the thread of the event loop."""

    def __init__(self) -> None:
        self._slow = 0
        self._threaded_until = 0.0

    def are_allowed(self) -> bool:
        """Whether the last ones were fast, or long ago."""
        return time.monotonic() >= self._threaded_until

    def record(self, began: float) -> None:
        """Record a call that has just ended and began at this time of the monotonic clock."""
        ended = time.monotonic()
        self._slow = self._slow + 1 if ended - began > SLOW_SECONDS else 0
        if self._slow >= MOST_SLOW:
            self._slow, self._threaded_until = 0, ended + THREAD_SECONDS
