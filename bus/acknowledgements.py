"""Whether publishes are acknowledged: the only sign that a server that answers can also write.

A server that has met a full disk answers every question and acknowledges nothing, and a question
of its own would not show it: it is each stream for itself that can no longer be written.
"""

import time
from collections import deque
from statistics import median

MEASURED = 40  # publishes of which it is remembered how long their acknowledgements took
MEASURED_FOR = 60.0  # seconds


class Acknowledgements:
    """What became of the last publishes; shared by all connections of a process.

    ``unanswered`` counts the tries since the last that was answered in any way, ``full`` tells
    whether that answer was that there is no room.
    """

    def __init__(self) -> None:
        self.unanswered = 0
        self.full = False
        self._silent_since: float | None = None
        self._stored_at: float | None = None
        self._took: deque[tuple[float, float]] = deque(maxlen=MEASURED)

    @property
    def silent_for(self) -> float:
        """For how many seconds there have been tries, and no answer to any of them."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    @property
    def stored_ago(self) -> float | None:
        """How many seconds ago an event was acknowledged; None since ``forget``: never yet."""
        return None if self._stored_at is None else time.monotonic() - self._stored_at

    @property
    def usual_seconds(self) -> float:
        """How long an acknowledgement takes, by the median of the last; 0 of too few."""
        since = time.monotonic() - MEASURED_FOR
        took = [seconds for at, seconds in self._took if at > since]
        return median(took) if len(took) == MEASURED else 0.0

    def answered(self, *, full: bool = False, stored: bool = False, took: float = 0.0) -> None:
        """Note an answer to a try; ``stored`` if the event is on disk, ``took`` seconds later."""
        self.unanswered, self.full, self._silent_since = 0, full, None
        if stored:
            self._stored_at = time.monotonic()
            self._took.append((self._stored_at, took))

    def missed(self, began: float) -> None:
        """Note a try without an answer that began then, by the monotonic clock."""
        self.unanswered += 1
        if self._silent_since is None:
            self._silent_since = began

    def forget(self, before: float = float("inf")) -> None:
        """Begin again: what was noted ``before`` then was about a server that is gone."""
        if self._stored_at is not None and self._stored_at >= before:
            return
        self.answered()
        self._stored_at = None
        self._took.clear()
