"""Stops calls to an API that does not work at the moment, and tries it again with one of them.

A circuit breaker (M. Nygard, Release It!, 2nd edition, chapter 5).
"""

import random
import time

import structlog

from actors.engines import EngineUnavailable
from ilios.engines.mistral.errors import ApiError

FAILURE_THRESHOLD = 8  # failures one after another, whosever they are
FIRST_OPEN_SECONDS = 5.0  # seconds
MAX_OPEN_SECONDS = 60.0
PROBE_SECONDS = 2.0  # seconds others are sent away while one of them tries

log = structlog.get_logger("mistral")


class CircuitBreaker:
    """Closed, it lets all calls through. Open, the engine is parked; the documents wait."""

    def __init__(self) -> None:
        self._failures = 0
        self._open_seconds = 0.0
        self._open_until: float | None = None
        self._cause: ApiError | None = None

    @property
    def problem(self) -> str | None:
        """Why nothing is sent, to be read by an operator; None when all is well."""
        if self._open_until is None or self._cause is None:
            return None
        left = max(0.0, self._open_until - time.monotonic())
        return f"{self._cause.reason}; parked, tried again in {left:.0f} s"

    def before_call(self) -> None:
        """Let a call through: each one while closed, one at a time to try once the pause is over.

        :raises EngineUnavailable: parked.
        """
        if self._open_until is None or self._cause is None:
            return
        left = self._open_until - time.monotonic()
        if left > 0:
            raise EngineUnavailable(
                self._cause.code, f"{self._cause.reason}.", retry_after=_add_jitter(left)
            )
        self._open_until = time.monotonic() + PROBE_SECONDS

    def record_success(self) -> None:
        """Note that a call brought an answer, be it a refusal of the document."""
        if self._open_until is not None:
            log.info("mistral works again")
        self._failures, self._open_seconds = 0, 0.0
        self._open_until = self._cause = None

    def record_failure(self, error: ApiError) -> None:
        """Note a fault; enough of them, or one that nobody can wait out, parks the engine."""
        if error.kind == "busy":
            return
        self._failures += 1
        if (
            error.kind != "account"
            and self._failures < FAILURE_THRESHOLD
            and self._open_until is None
        ):
            return
        if self._open_until is not None and self._open_until - time.monotonic() > PROBE_SECONDS:
            return  # of a call that was under way when it was parked
        seconds = MAX_OPEN_SECONDS if error.kind == "account" else self._open_seconds * 2
        self._open_seconds = min(
            max(seconds, error.retry_after or 0.0, FIRST_OPEN_SECONDS), MAX_OPEN_SECONDS
        )
        self._open_until = time.monotonic() + self._open_seconds
        self._cause = error
        log.warning("mistral parked", reason=error.reason, seconds=round(self._open_seconds, 1))


def _add_jitter(seconds: float) -> float:
    """Return a little more than these seconds, so that those who wait do not come all at once."""
    return seconds + random.uniform(0.0, 1.0 + seconds / 4)  # noqa: S311
