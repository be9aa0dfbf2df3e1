"""How often something had to be started again, and why: what its keeper waits and health tells."""

import time
from collections import deque

COUNTED = 60.0  # seconds for which an end is remembered
SETTLED_AFTER = 10.0  # seconds of running after which it counts as well, however often it ended
FIRST_SETTLED_AFTER = 1.0  # seconds of running after a single end


class Restarts:
    """The ends of one part or child. Pauses (seconds) double from ``first`` to ``longest``.

    What ends at once whenever it is started is not well in between: it is well when it has settled,
    which takes a second after one end and twice as long after each further one, up to
    ``SETTLED_AFTER``. Of what is replaced as a matter of course ``tolerated`` ends are no problem.
    """

    def __init__(self, first: float, longest: float, *, tolerated: int = 0) -> None:
        self._first = first
        self._longest = longest
        self._tolerated = tolerated
        self._pause = first
        self._ends: deque[float] = deque()
        self._why = ""
        self._disabled = ""
        self._running_since: float | None = time.monotonic()

    def ended(self, why: str) -> float:
        """Note that it ended; returns how long to wait before it is started again."""
        now = time.monotonic()
        if self._running_since is not None and now - self._running_since > SETTLED_AFTER:
            self._pause = self._first
        self._running_since, self._disabled = None, ""
        self._ends.append(now)
        self._why = why
        pause = self._pause
        self._pause = min(pause * 2, self._longest)
        return pause

    def disabled(self, why: str) -> None:
        """Note that it runs and cannot do its work, until it ends."""
        self._disabled = why

    def started(self) -> None:
        """Note that it runs, if it did not."""
        if self._running_since is None:
            self._running_since = time.monotonic()

    @property
    def lately(self) -> int:
        """How often it ended in the last minute."""
        while self._ends and time.monotonic() - self._ends[0] > COUNTED:
            self._ends.popleft()
        return len(self._ends)

    @property
    def problem(self) -> str | None:
        """What is wrong with it, to follow its name; None when it is well."""
        lately = self.lately
        times = f" ({lately} times in the last minute)" if lately > 1 else ""
        if self._running_since is None:
            return f"is down: {self._why}{times}"
        if self._disabled:
            return f"runs and cannot work: {self._disabled}"
        if lately <= self._tolerated:
            return None
        settled_after = min(SETTLED_AFTER, FIRST_SETTLED_AFTER * 2.0 ** (lately - 1))
        if time.monotonic() - self._running_since > settled_after:
            return None
        return f"was down a moment ago: {self._why}{times}"
