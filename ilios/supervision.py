"""Keeps the parts of the service running: a part that ends is started again, ever more slowly."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from actors.writes import LedgerUnavailable
from bus.errors import BusFull, BusUnavailable
from ilios.restarts import Restarts

FIRST_PAUSE = 0.1  # seconds before the first restart
LONGEST_PAUSE = 5.0  # seconds between restarts of a part that cannot stay up
CANCEL_AGAIN_AFTER = 10.0  # seconds a part gets to end; more than what it holds may take

log = structlog.get_logger("supervisor")


class Supervisor:
    """Runs parts, knows of other things that are kept running, and which of them are not well."""

    def __init__(self) -> None:
        self._restarts: dict[str, Restarts] = {}

    @property
    def problems(self) -> list[str]:
        """One sentence for each part that is down, or has been too lately or too often."""
        told = ((name, restarts.problem) for name, restarts in self._restarts.items())
        return [f"{name} {problem}" for name, problem in told if problem]

    def include(self, name: str, restarts: Restarts) -> None:
        """Tell also of something that another keeper starts again."""
        self._restarts[name] = restarts

    @asynccontextmanager
    async def running(self, name: str, run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Keep ``run`` running while the context is open; cancel it and wait when it is left."""
        task = asyncio.create_task(self._keep(name, run), name=name)
        try:
            yield
        finally:
            task.cancel()
            while not (await asyncio.wait([task], timeout=CANCEL_AGAIN_AFTER))[0]:
                # Before Python 3.12 a library's wait_for can forget a cancellation.
                log.warning("part does not end, asked again", part=name)
                task.cancel()

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        restarts = Restarts(FIRST_PAUSE, LONGEST_PAUSE)
        self.include(name, restarts)
        while True:
            try:
                restarts.started()
                await run()
                why = "ended"
            except (BusFull, BusUnavailable, LedgerUnavailable) as error:
                why = str(error)  # the world's fault, not a defect: a traceback would say nothing
            except Exception as error:
                log.exception("part failed", part=name)
                why = type(error).__name__
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if me is None or me.cancelling():
                    raise
                # The part let something end it that was cancelled within: it would stay down.
                log.exception("part was cancelled from within", part=name)
                why = "cancelled"
            pause = restarts.ended(why)
            log.warning("part restarts", part=name, reason=why, after=round(pause, 2))
            await asyncio.sleep(pause)
