"""What the server does not permit us to say or hear: noted, because nobody is told otherwise.

To whoever asked a refusal looks like an answer that never comes; the reason reaches only the
connection. It is a defect, of the code or of the permissions: nothing we do is refused in order.
"""

import re
import time
from collections import deque
from statistics import median

import structlog

REPORTED_FOR = 300.0  # seconds a refusal is a problem: permissions can be repaired while we run

# In the client's words, which has them from the server in lower case.
_VIOLATION = re.compile(r"permissions violation(?: for (\w+) to \"(.+?)\")?")

log = structlog.get_logger("bus")


class PermissionViolations:
    """Shared by all connections of a process."""

    def __init__(self) -> None:
        self.count = 0
        self._last: dict[str, tuple[float, str]] = {}  # user -> when, and what

    @property
    def problems(self) -> list[str]:
        """One sentence for each of our users that was refused something in the last minutes."""
        now = time.monotonic()
        return [
            f"{user} may not {what}: its user on the bus needs more permissions"
            for user, (at, what) in self._last.items()
            if now - at < REPORTED_FOR
        ]

    def record(self, user: str, error: Exception) -> bool:
        """Say it, count it and remember it, if ``error`` is a refusal; returns whether it is."""
        match = _VIOLATION.search(str(error).lower())
        if match is None:
            return False
        operation = {"publish": "publish to", "subscription": "subscribe to"}.get(match[1], "use")
        subject = match[2] or "a subject"
        self.count += 1
        self._last[user] = (time.monotonic(), f"{operation} {subject}")
        log.error("not permitted", user=user, operation=operation, subject=subject)
        return True


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
