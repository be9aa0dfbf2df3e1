"""The limits of calls and pages: at one time, in a minute, in all."""

import time
from collections import deque

from tests.mistral import errors
from tests.mistral.call_log import CallLog
from tests.mistral.rules import Rules


class Limits:
    """Enforces the current rules; refused calls do not count."""

    def __init__(self, rules: Rules, call_log: CallLog) -> None:
        self._rules = rules
        self._call_log = call_log
        self._calls = SlidingWindow()
        self._pages = SlidingWindow()

    def admit_call(self) -> None:
        """Admit one more call, which the call log counts already, or raise the 429."""
        rules = self._rules
        if 0 < rules.max_concurrent < self._call_log.in_hand:
            raise errors.rate_limited(retry_after=rules.retry_after)
        self._admit(self._calls, 1, rules.calls_per_minute)

    def admit_pages(self, number: int, *, batch: bool) -> None:
        """Admit so many pages, or raise; those of a batch count against the budget alone."""
        if 0 < self._rules.page_budget < self._call_log.pages_paid + number:
            raise errors.budget_exhausted()
        if not batch:
            self._admit(self._pages, number, self._rules.pages_per_minute)

    def _admit(self, window: "SlidingWindow", number: int, limit: int) -> None:
        if limit and not window.admit(number, limit, self._rules.minute):
            raise errors.rate_limited(retry_after=self._rules.retry_after)


class SlidingWindow:
    """The number of admissions in the last seconds."""

    def __init__(self) -> None:
        self._admitted: deque[tuple[float, int]] = deque()
        self._sum = 0

    def admit(self, number: int, limit: int, seconds: float) -> bool:
        """Count so many more, unless there would be more than ``limit`` in these seconds."""
        now = time.monotonic()
        while self._admitted and self._admitted[0][0] <= now - seconds:
            self._sum -= self._admitted.popleft()[1]
        if self._sum + number > limit:
            return False
        self._admitted.append((now, number))
        self._sum += number
        return True
