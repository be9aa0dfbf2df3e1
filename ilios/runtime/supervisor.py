"""Restarts of the parts of the service when they end, with growing pauses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from actors.writes import DatabaseUnavailable
from bus.errors import BusFull, BusUnavailable
from ilios.runtime.restarts import RestartHistory

FIRST_PAUSE = 0.1  # seconds before the first restart
LONGEST_PAUSE = 5.0  # seconds between restarts of a part that cannot stay up
CANCEL_AGAIN_AFTER = 10.0  # seconds a part has to end; more than its longest cleanup takes


log = structlog.get_logger("supervisor")


class Supervisor:
    """Runs parts, and reports the unhealthy ones, also of other supervisors."""

    def __init__(self) -> None:
        self._restarts: dict[str, RestartHistory] = {}

    @property
    def problems(self) -> list[str]:
        """One sentence for each part that is down, or was down too recently or too often."""
        found = ((name, restarts.problem) for name, restarts in self._restarts.items())
        return [f"{name} {problem}" for name, problem in found if problem]

    def track(self, name: str, restarts: RestartHistory) -> None:
        """Report also on a part that something else restarts."""
        self._restarts[name] = restarts

    @asynccontextmanager
    async def running(self, name: str, run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Keep ``run`` running while the context is open; cancel it and wait when it is left."""
        task = asyncio.create_task(self._run_forever(name, run), name=name)
        try:
            yield
        finally:
            task.cancel()
            while not (await asyncio.wait([task], timeout=CANCEL_AGAIN_AFTER))[0]:
                # Before Python 3.12 a library's wait_for can forget a cancellation.
                log.warning("part does not end, cancelled again", part=name)
                task.cancel()

    async def _run_forever(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        restarts = RestartHistory(FIRST_PAUSE, LONGEST_PAUSE)
        self.track(name, restarts)
        while True:
            try:
                restarts.record_start()
                await run()
                reason = "ended"
            except (BusFull, BusUnavailable, DatabaseUnavailable) as error:
                reason = str(error)  # of the environment; a traceback would not help
            except Exception as error:
                log.exception("part failed", part=name)
                reason = type(error).__name__
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Something within the part was cancelled; without a restart it would stay down.
                log.exception("part was cancelled from within", part=name)
                reason = "cancelled"
            pause = restarts.record_exit(reason)
            log.warning("part restarts", part=name, reason=reason, after=round(pause, 2))
            await asyncio.sleep(pause)
