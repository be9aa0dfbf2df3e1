"""Keeps the parts of the service running: a part that ends is started again, ever more slowly."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from actors.writes import LedgerUnavailable
from bus.errors import BusFull, BusUnavailable

FIRST_PAUSE = 0.1  # seconds before the first restart
LONGEST_PAUSE = 5.0  # seconds between restarts of a part that cannot stay up
CANCEL_AGAIN_AFTER = 10.0  # seconds a part gets to end; more than what it holds may take
SETTLED_AFTER = 10.0  # seconds of running after which a part counts as well again

log = structlog.get_logger("supervisor")


class Supervisor:
    """Runs parts and knows which of them are down."""

    def __init__(self) -> None:
        self._down: dict[str, str] = {}

    @property
    def problems(self) -> list[str]:
        """One sentence for each part that is not running at the moment."""
        return [f"{name} is down: {why}" for name, why in self._down.items()]

    @asynccontextmanager
    async def running(self, name: str, run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Keep ``run`` running while the context is open; cancel it and wait when it is left."""
        task = asyncio.create_task(self._keep(name, run), name=name)
        try:
            yield
        finally:
            while not task.done():
                task.cancel()
                # More than once: before Python 3.12 a library's wait_for can forget a cancellation.
                await asyncio.wait([task], timeout=CANCEL_AGAIN_AFTER)

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE
        while True:
            started = time.monotonic()
            try:
                self._down.pop(name, None)
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
            if time.monotonic() - started > SETTLED_AFTER:
                pause = FIRST_PAUSE
            self._down[name] = why
            log.warning("part restarts", part=name, reason=why, after=round(pause, 2))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
