"""Whether publishes are acknowledged: the only sign that a server that answers can also write.

A server that has met a full disk answers every question and acknowledges nothing, and a question
of its own would not show it: it is each stream for itself that can no longer be written.
"""

import time
from collections import deque
from statistics import median

LATENCY_SAMPLES = 40  # publishes of which it is remembered how long their acknowledgements took
LATENCY_WINDOW = 60.0  # seconds


class PublishStats:
    """What became of the last publishes; shared by all connections of a process.

    ``unanswered`` counts the tries since the last that was answered in any way, ``full`` tells
    whether that answer was that there is no room.
    """

    def __init__(self) -> None:
        self.consecutive_timeouts = 0
        self.stream_full = False
        self._unanswered_since: float | None = None
        self._last_ack_at: float | None = None
        self._latencies: deque[tuple[float, float]] = deque(maxlen=LATENCY_SAMPLES)

    @property
    def unanswered_seconds(self) -> float:
        """For how many seconds there have been tries, and no answer to any of them."""
        return 0.0 if self._unanswered_since is None else time.monotonic() - self._unanswered_since

    @property
    def seconds_since_ack(self) -> float | None:
        """How many seconds ago an event was acknowledged; None since ``forget``: never yet."""
        return None if self._last_ack_at is None else time.monotonic() - self._last_ack_at

    @property
    def median_latency(self) -> float:
        """How long an acknowledgement takes, by the median of the last; 0 of too few."""
        since = time.monotonic() - LATENCY_WINDOW
        latencies = [seconds for at, seconds in self._latencies if at > since]
        return median(latencies) if len(latencies) == LATENCY_SAMPLES else 0.0

    def record_reply(
        self, *, full: bool = False, stored: bool = False, latency: float = 0.0
    ) -> None:
        """Note an answer to a try; ``stored`` if the event is on disk, ``took`` seconds later."""
        self.consecutive_timeouts, self.stream_full, self._unanswered_since = 0, full, None
        if stored:
            self._last_ack_at = time.monotonic()
            self._latencies.append((self._last_ack_at, latency))

    def record_timeout(self, started_at: float) -> None:
        """Note a try without an answer that began then, by the monotonic clock."""
        self.consecutive_timeouts += 1
        if self._unanswered_since is None:
            self._unanswered_since = started_at

    def reset(self, before: float = float("inf")) -> None:
        """Begin again: what was noted ``before`` then was about a server that is gone."""
        if self._last_ack_at is not None and self._last_ack_at >= before:
            return
        self.record_reply()
        self._last_ack_at = None
        self._latencies.clear()
