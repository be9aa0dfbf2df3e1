"""Running time of the service on its database over all its starts: a clock that cannot be set."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from actors.writes import DatabaseUnavailable, MarkRunningTime, Writer

SAVE_INTERVAL = 60.0  # seconds, which are lost at most when the process is killed


class RunningTime:
    """Counts on from ``previous``, the stored running time of earlier starts.

    ``clock`` returns seconds and never goes back.
    """

    def __init__(
        self, writer: Writer, previous: timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._writer = writer
        self._previous = previous
        self._clock = clock
        self._started_at = clock()

    def now(self) -> timedelta:
        """Return the running time until now."""
        return self._previous + timedelta(seconds=self._clock() - self._started_at)

    async def save(self) -> None:
        """Store the running time.

        :raises DatabaseUnavailable: the database cannot be written at the moment.
        """
        await self._writer.commit(MarkRunningTime(self.now()))

    async def run(self, interval: float = SAVE_INTERVAL) -> None:
        """Store the running time regularly until cancelled."""
        while True:
            with suppress(DatabaseUnavailable):  # reported by health; the next one stores more
                await self.save()
            await asyncio.sleep(interval)
