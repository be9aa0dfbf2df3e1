"""Stops calls to an API that does not work at the moment, and tries it again with one of them.

A circuit breaker (M. Nygard, Release It!, 2nd edition, chapter 5).
"""

import random
import time

import structlog

from actors.engines import EngineUnavailable
from ilios.engines.mistral.faults import Fault

OPENS_AFTER = 8  # failures one after another, whosever they are
FIRST_PARKED = 5.0  # seconds
LONGEST_PARKED = 60.0
PROBE_WITHIN = 2.0  # seconds others are sent away while one of them tries

log = structlog.get_logger("mistral")


class Breaker:
    """Closed, it lets all calls through. Open, the engine is parked; the documents wait."""

    def __init__(self) -> None:
        self._failures = 0
        self._parked_for = 0.0
        self._until: float | None = None
        self._fault: Fault | None = None

    @property
    def problem(self) -> str | None:
        """Why nothing is sent, to be read by an operator; None when all is well."""
        if self._until is None or self._fault is None:
            return None
        left = max(0.0, self._until - time.monotonic())
        return f"{self._fault.reason}; parked, tried again in {left:.0f} s"

    def let_pass(self) -> None:
        """Let a call through: each one while closed, one at a time to try once the pause is over.

        :raises EngineUnavailable: parked.
        """
        if self._until is None or self._fault is None:
            return
        left = self._until - time.monotonic()
        if left > 0:
            raise EngineUnavailable(self._fault.code, f"{self._fault.reason}.", after=_spread(left))
        self._until = time.monotonic() + PROBE_WITHIN

    def worked(self) -> None:
        """Note that a call brought an answer, be it a refusal of the document."""
        if self._until is not None:
            log.info("mistral works again")
        self._failures, self._parked_for = 0, 0.0
        self._until = self._fault = None

    def failed(self, fault: Fault) -> None:
        """Note a fault; enough of them, or one that nobody can wait out, parks the engine."""
        if fault.kind == "busy":
            return
        self._failures += 1
        if fault.kind != "account" and self._failures < OPENS_AFTER and self._until is None:
            return
        if self._until is not None and self._until - time.monotonic() > PROBE_WITHIN:
            return  # of a call that was under way when it was parked
        parked = LONGEST_PARKED if fault.kind == "account" else self._parked_for * 2
        self._parked_for = min(max(parked, fault.after or 0.0, FIRST_PARKED), LONGEST_PARKED)
        self._until = time.monotonic() + self._parked_for
        self._fault = fault
        log.warning("mistral parked", reason=fault.reason, seconds=round(self._parked_for, 1))


def _spread(seconds: float) -> float:
    """Return a little more than these seconds, so that those who wait do not come all at once."""
    return seconds + random.uniform(0.0, 1.0 + seconds / 4)  # noqa: S311
