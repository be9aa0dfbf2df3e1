"""How long the service has run on its database, over all its starts: a clock nobody can set."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from actors.writer import Writer
from actors.writes import DatabaseUnavailable, MarkRunningTime

SAVE_INTERVAL = 60.0  # seconds; so much may be forgotten when the process is killed


class RunningTime:
    """Counts on from ``before``, which the database remembers of earlier starts.

    ``clock`` gives seconds and never goes back.
    """

    def __init__(
        self, writer: Writer, previous: timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._writer = writer
        self._previous = previous
        self._clock = clock
        self._started_at = clock()

    def now(self) -> timedelta:
        """Return how long the service has run."""
        return self._previous + timedelta(seconds=self._clock() - self._started_at)

    async def save(self) -> None:
        """Store it.

        :raises LedgerUnavailable: the database cannot be written at the moment.
        """
        await self._writer.commit(MarkRunningTime(self.now()))

    async def run(self, interval: float = SAVE_INTERVAL) -> None:
        """Store it now and then, until cancelled."""
        while True:
            with suppress(DatabaseUnavailable):  # which health reports; the next one counts as well
                await self.save()
            await asyncio.sleep(interval)
