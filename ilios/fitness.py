"""Workers that cannot do their work take none, until they can."""

import asyncio
from typing import Protocol

import structlog

from ilios.worker_composition import Intakes

INTERVAL = 2.0  # seconds between two looks at the health of this host
FAILURES_BEFORE_STOP = 2
"""Looks in a row that find a fault: a store that is away for a moment is waited for."""

log = structlog.get_logger("worker")


class HasFitness(Protocol):
    """The health of a host."""

    async def why_no_work(self, *, converts: bool) -> str | None:
        """Return why a role should take no documents at the moment, or None."""
        ...


class Fitness:
    """Closes the intakes of a host whose disk, blobs or engine fail.

    For a host on which others depend, as the only one, that is no help: documents would wait for it
    where they now wait in its hands.
    """

    def __init__(self, health: HasFitness, intakes: Intakes) -> None:
        self._health = health
        self._intakes = intakes
        self._failures = 0

    async def look(self, *, at_once: bool = True) -> None:
        """Close or open the intakes by the health of this host."""
        found = {
            role: await self._health.why_no_work(converts=role == "ocr") for role in self._intakes
        }
        self._failures = self._failures + 1 if any(found.values()) else 0
        if self._failures and not at_once and self._failures < FAILURES_BEFORE_STOP:
            return
        for role, reason in found.items():
            intake = self._intakes[role]
            was_open = intake.is_open
            intake.set("health", reason)
            if was_open and not intake.is_open:
                log.error("no work taken", role=role, reason=reason)
            elif not was_open and intake.is_open:
                log.warning("work taken again", role=role)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look(at_once=False)
