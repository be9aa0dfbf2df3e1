"""What the server does not permit us to say or hear: noted, because nobody is told otherwise.

To whoever asked a refusal looks like an answer that never comes; the reason reaches only the
connection. It is a defect, of the code or of the permissions: nothing we do is refused in order.
"""

import re
import time

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
