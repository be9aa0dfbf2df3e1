"""How often something had to be started again, and why: what its keeper waits and health tells."""

import time
from collections import deque

WINDOW = 60.0  # seconds for which an end is remembered
SETTLED_AFTER = 10.0  # seconds of running after which it counts as well, however often it ended
FIRST_SETTLED_AFTER = 1.0  # seconds of running after a single end


class RestartHistory:
    """The ends of one part or child. Pauses (seconds) double from ``first`` to ``longest``.

    What ends at once whenever it is started is not well in between: it is well when it has settled,
    which takes a second after one end and twice as long after each further one, up to
    ``SETTLED_AFTER``. Of what is replaced as a matter of course ``tolerated`` ends are no problem.
    """

    def __init__(
        self, first_pause: float, longest_pause: float, *, tolerated_exits: int = 0
    ) -> None:
        self._first = first_pause
        self._longest = longest_pause
        self._tolerated = tolerated_exits
        self._pause = first_pause
        self._ends: deque[float] = deque()
        self._reason = ""
        self._disabled = ""
        self._running_since: float | None = time.monotonic()

    def record_exit(self, reason: str) -> float:
        """Note that it ended; returns how long to wait before it is started again."""
        now = time.monotonic()
        if self._running_since is not None and now - self._running_since > SETTLED_AFTER:
            self._pause = self._first
        self._running_since, self._disabled = None, ""
        self._ends.append(now)
        self._reason = reason
        pause = self._pause
        self._pause = min(pause * 2, self._longest)
        return pause

    def record_disabled(self, reason: str) -> None:
        """Note that it runs and cannot do its work, until it ends."""
        self._disabled = reason

    def record_start(self) -> None:
        """Note that it runs, if it did not."""
        if self._running_since is None:
            self._running_since = time.monotonic()

    @property
    def recent_exits(self) -> int:
        """How often it ended in the last minute."""
        while self._ends and time.monotonic() - self._ends[0] > WINDOW:
            self._ends.popleft()
        return len(self._ends)

    @property
    def problem(self) -> str | None:
        """What is wrong with it, to follow its name; None when it is well."""
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
