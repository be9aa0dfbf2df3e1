"""Orders of operators that a process follows: pauses of its roles, and to drain its host."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from bus import cluster, pauses
from bus.connection import Connection
from bus.errors import BusUnavailable
from ilios.worker_composition import CONSUMERS, Intakes, Role

INTERVAL = 2.0  # seconds between two looks
FIRST_LOOK_WITHIN = 2.0  # seconds that a start waits for the first one

log = structlog.get_logger("orders")


class Orders:
    """Closes and opens the intakes of a process as operators want it.

    The server delivers nothing to a paused role anyway; a process that knows of the pause gives
    back what it has not begun, and measures no waiting time meanwhile.
    """

    def __init__(self, connection: Connection, host: str, intakes: Intakes) -> None:
        self._connection = connection
        self._host = host
        self._intakes = intakes
        self._paused: dict[Role, datetime] = {}
        self.drained = False

    async def look_once(self) -> None:
        """Follow the orders that stand before work begins, if the bus answers soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_WITHIN):
                await self._look()

    async def run(self) -> None:
        """Follow the orders until cancelled."""
        while True:
            await self._look()
            await asyncio.sleep(INTERVAL)

    @property
    def words(self) -> dict[str, str]:
        """A phrase for each role that takes no work because of an order."""
        if self.drained:
            return {str(role): "drained" for role in self._intakes}
        return {str(role): f"paused until {_instant(end)}" for role, end in self._paused.items()}

    async def _look(self) -> None:
        # What cannot be asked stays as it was; on a bus without orders nobody answers.
        with suppress(BusUnavailable):
            self._set_drained(drained=await cluster.is_drained(self._connection, self._host))
        for role in self._intakes:
            with suppress(BusUnavailable):
                # The last one that a pause reaches.
                durable = pauses.durables_of(CONSUMERS[role])[-1]
                self._set_paused(role, await pauses.paused_until(self._connection, durable))

    def _set_drained(self, *, drained: bool) -> None:
        if drained != self.drained:
            log.warning("host drained" if drained else "host no longer drained", host=self._host)
        self.drained = drained
        for intake in self._intakes.values():
            intake.set("drain", "the host is drained" if drained else None)

    def _set_paused(self, role: Role, until: datetime | None) -> None:
        if until == self._paused.get(role):
            return
        if until is None:
            del self._paused[role]
            log.warning("role resumed", role=role)
        else:
            self._paused[role] = until
            log.warning("role paused", role=role, until=_instant(until))
        reason = None if until is None else f"paused until {_instant(until)}"
        self._intakes[role].set("pause", reason)


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
