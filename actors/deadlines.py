"""Deadlines of documents: work stops when they pass, and what they are measured by.

A document with a deadline that is not converted by then fails as ``expired``. That is published in
one place (``actors.janitor.overdue``), whatever the document waits for; the actors only stop their
work on it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
        self._in_progress: dict[DocumentRef, int] = {}
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

    def is_over(self, event: ConversionEvent) -> bool:
        """Whether the deadline of a document has passed: no work on it begins any more."""
        left = self._time_left(event)
        return left is not None and left <= 0

    def is_in_work(self, name: DocumentRef) -> bool:
        """Whether the document is worked on here, or was done in time just now."""
        done_at = self._done_at.get(name)
        return name in self._in_progress or (
            done_at is not None and self._clock() - done_at < DELIVERY_TIME
        )

    @asynccontextmanager
    async def limit(self, event: ConversionEvent, *, delivers: bool = False) -> AsyncIterator[None]:
        """Stop the body of the context when the deadline of the document passes.

        A body that ``delivers`` has made the result when it ends: if that was in time, the document
        does not expire while it is stored.

        :raises DeadlinePassed: it has passed, and the body was cancelled.
        """
        left = self._time_left(event)
        if left is None:
            yield
            return
        name = (event.tenant, event.document_id)
        self._in_progress[name] = self._in_progress.get(name, 0) + 1
        scope = asyncio.timeout(max(left, 0.0))
        try:
            async with scope:
                yield
        except TimeoutError:
            if scope.expired():
                raise DeadlinePassed from None
            raise
        else:
            if delivers:
                self._remember(name)
        finally:
            self._in_progress[name] -= 1
            if not self._in_progress[name]:
                del self._in_progress[name]

    def _remember(self, name: DocumentRef) -> None:
        self._done_at[name] = self._clock()
        self._done_at.move_to_end(name)
        while len(self._done_at) > MAX_REMEMBERED:
            self._done_at.popitem(last=False)

    def _time_left(self, event: ConversionEvent) -> float | None:
        """Return the seconds until the deadline; None if there is none, or it does not pass now."""
        deadline, now = effective_deadline(event), self.now()
        return None if deadline is None or now is None else (deadline - now).total_seconds()
