"""Repetitions of a request: which answers are temporary, and the pauses between two tries."""

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

TEMPORARY = frozenset({429, 500, 502, 503, 504, 507})
"""Statuses after which the same request may go well."""


class Patience(Struct, frozen=True, kw_only=True):
    """How long a request is repeated after it failed, in seconds, and the bounds of the pauses.

    A ``Retry-After`` takes the place of such a pause, and ends the tries if it is longer than what
    is left of the time.
    """

    seconds: float = 120.0
    first_pause: float = 0.2
    longest_pause: float = 10.0


class Tries:
    """The tries of one request. Time counts from the first failure: an upload may take long."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._until: float | None = None
        self._pause = patience.first_pause

    def next_pause(self, retry_after: float | None = None) -> float | None:
        """Return the seconds until the next try; None when there is none."""
        # Of random length, or all clients of a service that restarts would come at once.
        pause = self._pause * random.uniform(0.5, 1.0) if retry_after is None else retry_after  # noqa: S311
        self._pause = min(2 * self._pause, self._patience.longest_pause)
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._patience.seconds
        return pause if now + pause <= self._until else None


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds of a ``Retry-After``, which may be a number or a date."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
