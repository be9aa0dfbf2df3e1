"""How much may be asked at once, in a minute, and at all."""

import time
from collections import deque

from tests.mistral import errors
from tests.mistral.book import Book
from tests.mistral.rules import Rules


class Limits:
    """Keeps to the rules of the moment; what is refused does not count."""

    def __init__(self, rules: Rules, book: Book) -> None:
        self._rules = rules
        self._book = book
        self._calls = Window()
        self._pages = Window()

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

    def _admit(self, window: "Window", number: int, most: int) -> None:
        if most and not window.admit(number, most, self._rules.minute):
            raise errors.rate_limited(retry_after=self._rules.retry_after)


class Window:
    """Counts what came in lately."""

    def __init__(self) -> None:
        self._came: deque[tuple[float, int]] = deque()
        self._sum = 0

    def admit(self, number: int, most: int, seconds: float) -> bool:
        """Count so many more, unless there would then be more than ``most`` in these seconds."""
        now = time.monotonic()
        while self._came and self._came[0][0] <= now - seconds:
            self._sum -= self._came.popleft()[1]
        if self._sum + number > most:
            return False
        self._came.append((now, number))
        self._sum += number
        return True
