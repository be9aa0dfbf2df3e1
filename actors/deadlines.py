"""Deadlines of documents: work stops when they pass, and what they are measured by.

A document with a deadline that is not converted by then fails as ``expired``. That is published in
one place (``actors.janitor.overdue``), whatever the document waits for; the actors only stop their
work on it.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

from actors.clock_guard import JUMP_THRESHOLD
from schemas.documents import ConversionEvent, effective_deadline

DELIVERY_TIME = 10.0
"""Seconds until the end of work that was done in time is in the database."""
MAX_REMEMBERED = 10_000  # works that were done in time

DocumentRef = tuple[str, str]
"""The tenant and the id of a document."""


class DeadlinePassed(Exception):
    """The deadline of the document passed during the work on it."""


class Deadlines:
    """Shared by the actors of a process.

    While the wall clock cannot be trusted, no deadline passes: the clock of the janitor's guard
    decides, and a jump that it has not seen yet holds them until it has.
    """

    def __init__(
        self,
        wall_time: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        *,
        is_held: bool = False,
    ) -> None:
        """Let no deadline pass, if ``is_held``, until the guard of the clock has looked at it."""
        self._wall_time, self._clock = wall_time, clock
        self._read_at = wall_time(), clock()
        self._is_held = is_held
        self._in_progress: Counter[DocumentRef] = Counter()
        self._scopes: dict[asyncio.Timeout, datetime] = {}
        self._done_at: OrderedDict[DocumentRef, float] = OrderedDict()

    def now(self) -> datetime | None:
        """Return the time that deadlines are compared with; None while they do not pass."""
        wall_time, clock = self._wall_time(), self._clock()
        gain = (wall_time - self._read_at[0]) - timedelta(seconds=clock - self._read_at[1])
        self._read_at = wall_time, clock
        if gain > JUMP_THRESHOLD:
            self._is_held = True
        return None if self._is_held else wall_time

    def set_held(self, is_held: bool) -> None:  # noqa: FBT001  # the state itself
        """Take over what the guard of the clock has found."""
        self.now()  # the guard has seen what was gained until here
        self._is_held = is_held
        self._set_timers()

    def is_over(self, event: ConversionEvent) -> bool:
        """Whether the deadline of a document has passed: no work on it begins any more."""
        deadline, now = effective_deadline(event), self.now()
        return deadline is not None and now is not None and deadline <= now

    def is_in_work(self, name: DocumentRef) -> bool:
        """Whether the document is worked on here, or was done in time just now."""
        done_at = self._done_at.get(name)
        return name in self._in_progress or (
            done_at is not None and self._clock() - done_at < DELIVERY_TIME
        )

    @asynccontextmanager
    async def limit(self, event: ConversionEvent) -> AsyncIterator[None]:
        """Stop the body of the context when the deadline of the document passes.

        :raises DeadlinePassed: it has passed, and the body was cancelled.
        """
        deadline = effective_deadline(event)
        if deadline is None:
            yield
            return
        scope = asyncio.timeout(None)
        try:
            with self._working(event):
                async with scope:
                    self._scopes[scope] = deadline
                    self._set_timers()
                    yield
        except TimeoutError:
            if scope.expired():
                raise DeadlinePassed from None
            raise
        finally:
            self._scopes.pop(scope, None)

    @contextmanager
    def delivering(self, event: ConversionEvent) -> Iterator[None]:
        """Store what was made in time: the document does not expire meanwhile."""
        with self._working(event):
            yield
        if effective_deadline(event) is not None:
            self._remember((event.tenant, event.document_id))

    @contextmanager
    def _working(self, event: ConversionEvent) -> Iterator[None]:
        name = (event.tenant, event.document_id)
        self._in_progress[name] += 1
        try:
            yield
        finally:
            self._in_progress[name] -= 1
            if not self._in_progress[name]:
                del self._in_progress[name]

    def _set_timers(self) -> None:
        """Let the work under way end at its deadlines; at none while the clock is not trusted."""
        now, clock = self.now(), asyncio.get_running_loop().time() if self._scopes else 0.0
        for scope, deadline in self._scopes.items():
            if not scope.expired():
                left = None if now is None else max(0.0, (deadline - now).total_seconds())
                scope.reschedule(None if left is None else clock + left)

    def _remember(self, name: DocumentRef) -> None:
        self._done_at[name] = self._clock()
        self._done_at.move_to_end(name)
        while len(self._done_at) > MAX_REMEMBERED:
            self._done_at.popitem(last=False)
