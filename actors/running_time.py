"""How long the service has run on its database, over all its starts: a clock nobody can set."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from .writer import Writer
from .writes import LedgerUnavailable, MarkRunning

KEEP_EVERY = 60.0  # seconds; so much may be forgotten when the process is killed


class RunningTime:
    """Counts on from ``before``, which the database remembers of earlier starts.

    ``clock`` gives seconds and never goes back.
    """

    def __init__(
        self, writer: Writer, before: timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._writer = writer
        self._before = before
        self._clock = clock
        self._began = clock()

    def now(self) -> timedelta:
        """Return how long the service has run."""
        return self._before + timedelta(seconds=self._clock() - self._began)

    async def keep(self) -> None:
        """Store it.

        :raises LedgerUnavailable: the database cannot be written at the moment.
        """
        await self._writer.keep(MarkRunning(self.now()))

    async def run(self, every: float = KEEP_EVERY) -> None:
        """Store it now and then, until cancelled."""
        while True:
            with suppress(LedgerUnavailable):  # which health reports; the next one counts as well
                await self.keep()
            await asyncio.sleep(every)
