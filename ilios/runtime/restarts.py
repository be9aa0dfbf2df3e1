"""The history of restarts of one part: the pauses between them, and its state for health.

The engine and its settings import it without the bus, which takes a quarter of a second.
"""

import time
from collections import deque

from actors.backoff import Backoff

WINDOW = 60.0  # seconds for which an exit is remembered
SETTLED_AFTER = 10.0  # seconds of running after which it is healthy, however often it ended
FIRST_SETTLED_AFTER = 1.0  # seconds of running after a single end


class RestartHistory:
    """The exits of a part or child process. Pauses (seconds) double from first to longest.

    A part that ends at once whenever it is started is not healthy in between: it is healthy when it
    has run for a second after one exit, and twice as long after each further one, up to
    ``SETTLED_AFTER``. Of a part that is replaced routinely, ``tolerated_exits`` are no problem.
    """

    def __init__(
        self, first_pause: float, longest_pause: float, *, tolerated_exits: int = 0
    ) -> None:
        self._backoff = Backoff(first=first_pause, longest=longest_pause)
        self._quick_exits = 0  # in a row, each before it was healthy
        self._tolerated = tolerated_exits
        self._exits: deque[float] = deque()
        self.exits = 0  # since the start of this process
        self._reason = ""
        self._disabled = ""
        self._running_since: float | None = time.monotonic()

    def record_exit(self, reason: str) -> float:
        """Note an exit; returns the pause before the next start."""
        now = time.monotonic()
        if self._running_since is not None and now - self._running_since > SETTLED_AFTER:
            self._quick_exits = 0
        self._running_since, self._disabled = None, ""
        self._exits.append(now)
        self.exits += 1
        self._reason = reason
        pause = self._backoff.pause(self._quick_exits)
        self._quick_exits += 1
        return pause

    def record_disabled(self, reason: str) -> None:
        """Note that it runs and cannot do its work, until its next exit."""
        self._disabled = reason

    def record_start(self) -> None:
        """Note a start, if it did not run."""
        if self._running_since is None:
            self._running_since = time.monotonic()

    @property
    def recent_exits(self) -> int:
        """Number of exits in the last minute."""
        while self._exits and time.monotonic() - self._exits[0] > WINDOW:
            self._exits.popleft()
        return len(self._exits)

    @property
    def problem(self) -> str | None:
        """The problem, as a phrase that follows its name; None when it is healthy."""
        lately = self.recent_exits
        times = f" ({lately} times in the last minute)" if lately > 1 else ""
        if self._running_since is None:
            return f"is down: {self._reason}{times}"
        if self._disabled:
            return f"runs and cannot work: {self._disabled}"
        if lately <= self._tolerated:
            return None
        settled_after = min(SETTLED_AFTER, FIRST_SETTLED_AFTER * 2.0 ** (lately - 1))
        if time.monotonic() - self._running_since > settled_after:
            return None
        return f"was down a moment ago: {self._reason}{times}"
