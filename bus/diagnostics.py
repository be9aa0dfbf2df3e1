"""Permission violations and publish statistics of the connections of a process.

The server does not reply to a request that it denies: the requester sees a timeout, and only the
connection gets the reason. A server with a full disk still replies to requests but stores nothing,
so that only missing acknowledgements show it.
"""

import re
import time
from collections import deque
from statistics import median

import structlog

# Seconds for which a violation is reported; permissions can be repaired at any time.
REPORTED_FOR = 300.0

# As the client passes it on, which has converted the text of the server to lower case.
_VIOLATION = re.compile(r"permissions violation(?: for (\w+) to \"(.+?)\")?")

log = structlog.get_logger("bus")


_OPTIONAL = re.compile(
    r"ilios\.(?:pages?|api|cluster|attempts|host|janitor\.epoch)\.|\$srv\."
    r"|\$o\.ilios-uploads-|\$js\.api\.stream\.names"
    r"|\$js\.api\..*\.(?:obj_ilios-uploads-|ilios_cluster|ilios_attempts)"
)
"""Subjects of pages, requests, files on the bus, other hosts, and epochs."""
_OPTIONAL_TO_RECEIVE = re.compile(r"ilios\.batch\.(?:completed|progressed)\.")
"""Events of which clients are notified. Publishing them is no option: batches would never end."""


class PermissionViolations:
    """Permission violations of all connections of a process.

    On an external bus the permissions of its user may be those that an older version needed: with
    ``later_are_optional``, the lack of those that came later is logged once and no problem.
    """

    def __init__(self, *, later_are_optional: bool = False) -> None:
        self.count = 0
        self._last: dict[str, tuple[float, str]] = {}  # user -> time and operation
        self._later_are_optional = later_are_optional
        self._lacking: set[str] = set()

    @property
    def problems(self) -> list[str]:
        """One sentence for each user with a violation in the last minutes."""
        now = time.monotonic()
        return [
            f"{user} may not {what}: its user on the bus needs more permissions"
            for user, (at, what) in self._last.items()
            if now - at < REPORTED_FOR
        ]

    def is_lacking(self, prefix: str) -> bool:
        """Whether an optional permission is missing, to subjects that begin so."""
        return any(one.startswith(prefix) for one in self._lacking)

    def record(self, user: str, error: Exception) -> bool:
        """Log and count ``error`` if it is a permission violation; returns whether it is."""
        match = _VIOLATION.search(str(error).lower())
        if match is None:
            return False
        operation = {"publish": "publish to", "subscription": "subscribe to"}.get(match[1], "use")
        subject = match[2] or "a subject"
        optional = _OPTIONAL.match(subject)
        if optional is None and match[1] == "subscription":
            optional = _OPTIONAL_TO_RECEIVE.match(subject)
        if self._later_are_optional and optional is not None:
            if optional[0] not in self._lacking:
                self._lacking.add(optional[0])
                log.warning("permission missing", user=user, operation=operation, subject=subject)
            return True
        self.count += 1
        self._last[user] = (time.monotonic(), f"{operation} {subject}")
        log.error("permission violation", user=user, operation=operation, subject=subject)
        return True


LATENCY_SAMPLES = 40  # publishes whose latency is remembered
LATENCY_WINDOW = 60.0  # seconds


class PublishStats:
    """Results of the last publishes of all connections of a process.

    ``consecutive_timeouts`` counts the tries since the last one with any reply, ``stream_full`` is
    whether that reply was that the stream is full. ``has_no_leader`` is whether a server has
    answered since that no server stores events.
    """

    def __init__(self) -> None:
        self.consecutive_timeouts = 0
        self.stream_full = False
        self.has_no_leader = False
        self._unanswered_since: float | None = None
        self._last_ack_at: float | None = None
        self._latencies: deque[tuple[float, float]] = deque(maxlen=LATENCY_SAMPLES)

    @property
    def unanswered_seconds(self) -> float:
        """Seconds since the first of the tries that had no reply, 0 if the last one had."""
        return 0.0 if self._unanswered_since is None else time.monotonic() - self._unanswered_since

    @property
    def seconds_since_ack(self) -> float | None:
        """Seconds since the last acknowledgement; None without one since ``reset``."""
        return None if self._last_ack_at is None else time.monotonic() - self._last_ack_at

    @property
    def median_latency(self) -> float:
        """Median latency of the last acknowledgements in seconds; 0 of too few."""
        since = time.monotonic() - LATENCY_WINDOW
        latencies = [seconds for at, seconds in self._latencies if at > since]
        return median(latencies) if len(latencies) == LATENCY_SAMPLES else 0.0

    def record_reply(
        self, *, full: bool = False, stored: bool = False, latency: float = 0.0
    ) -> None:
        """Record a reply; ``stored`` if the event is on disk, after ``latency`` seconds."""
        self.consecutive_timeouts, self.stream_full, self._unanswered_since = 0, full, None
        self.has_no_leader = False
        if stored:
            self._last_ack_at = time.monotonic()
            self._latencies.append((self._last_ack_at, latency))

    def record_no_leader(self) -> None:
        """Record the answer that no server stores events; it counts until the next reply."""
        self.has_no_leader = True

    def record_timeout(self, started_at: float) -> None:
        """Record a try without a reply, by the monotonic time of its start."""
        self.consecutive_timeouts += 1
        if self._unanswered_since is None:
            self._unanswered_since = started_at

    def reset(self, before: float = float("inf")) -> None:
        """Forget what was recorded ``before`` a time: it was about a server that is gone."""
        if self._last_ack_at is not None and self._last_ack_at >= before:
            return
        self.record_reply()
        self._last_ack_at = None
        self._latencies.clear()
