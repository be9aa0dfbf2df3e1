"""How much may be asked at once, in a minute, and at all."""

import time
from collections import deque

from tests.mistral import errors
from tests.mistral.call_log import CallLog
from tests.mistral.rules import Rules


class Limits:
    """Keeps to the rules of the moment; what is refused does not count."""

    def __init__(self, rules: Rules, book: CallLog) -> None:
        self._rules = rules
        self._book = book
        self._calls = SlidingWindow()
        self._pages = SlidingWindow()

    def admit_call(self) -> None:
        """Let one more call in, which the book has in hand already, or say that it is too much."""
        rules = self._rules
        if 0 < rules.max_concurrent < self._book.in_hand:
            raise errors.rate_limited(retry_after=rules.retry_after)
        self._admit(self._calls, 1, rules.calls_per_minute)

    def admit_pages(self, number: int, *, batch: bool) -> None:
        """Let so many pages in; those of a batch are not hurried, but cost money as well."""
        if 0 < self._rules.page_budget < self._book.pages_paid + number:
            raise errors.budget_exhausted()
        if not batch:
            self._admit(self._pages, number, self._rules.pages_per_minute)

    def _admit(self, window: "SlidingWindow", number: int, limit: int) -> None:
        if limit and not window.admit(number, limit, self._rules.minute):
            raise errors.rate_limited(retry_after=self._rules.retry_after)


class SlidingWindow:
    """Counts what came in lately."""

    def __init__(self) -> None:
        self._admitted: deque[tuple[float, int]] = deque()
        self._sum = 0

    def admit(self, number: int, limit: int, seconds: float) -> bool:
        """Count so many more, unless there would then be more than ``most`` in these seconds."""
        now = time.monotonic()
        while self._admitted and self._admitted[0][0] <= now - seconds:
            self._sum -= self._admitted.popleft()[1]
        if self._sum + number > limit:
            return False
        self._admitted.append((now, number))
        self._sum += number
        return True
