"""Counts of failed attempts and of waits, over all processes that work on an event.

A delivery has a number, but that also counts deliveries in which the event only waited or was given
back. So each failure and each wait is counted: in memory, and where several hosts share the work
also on the bus. What the bus cannot tell is counted by this process alone.
"""

from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from bus.errors import BusUnavailable

log = structlog.get_logger("actor")


class Tally(Struct, frozen=True, omit_defaults=True):
    """What was counted for an event: failures, waits, and the seconds that these took at least."""

    failures: int = 0
    waits: int = 0
    waited: float = 0.0


class SharedCounts(Protocol):
    """Values that all hosts read and write. Every method may raise ``BusUnavailable``."""

    def get(self, key: str) -> Awaitable[bytes | None]:
        """Return the value of a key, or None."""
        ...

    def put(self, key: str, value: bytes) -> Awaitable[None]:
        """Replace the value of a key."""
        ...


class Counted(Protocol):
    """A delivery of an event: where and when the log stored it."""

    @property
    def sequence(self) -> int: ...

    @property
    def stored_at(self) -> datetime: ...


class Attempts:
    """The tallies of one consumer, by the place of the event on the log."""

    def __init__(self, consumer: str, shared: SharedCounts | None = None) -> None:
        self._consumer = consumer
        self._shared = shared
        self._tallies: dict[int, Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    def here(self, event: Counted) -> Tally:
        """Return what this process has counted or read."""
        return self._tallies.get(event.sequence, Tally())

    async def read(self, event: Counted) -> Tally:
        """Return what was counted on all hosts."""
        here = self.here(event)
        found = None
        if self._shared is not None:
            with suppress(BusUnavailable, msgspec.MsgspecError):
                body = await self._shared.get(self._key(event))
                found = msgspec.json.decode(body, type=Tally) if body is not None else None
        if found is None:
            return here
        # A count that did not reach the bus is here only.
        return Tally(
            max(found.failures, here.failures),
            max(found.waits, here.waits),
            max(found.waited, here.waited),
        )

    async def record(self, event: Counted, tally: Tally) -> None:
        """Replace what is counted for an event."""
        self._tallies[event.sequence] = tally
        if self._shared is None:
            return
        try:
            await self._shared.put(self._key(event), msgspec.json.encode(tally))
        except BusUnavailable as error:
            log.warning("attempt counted on this host only", error=str(error))

    def forget(self, event: Counted) -> None:
        """Forget an event that has its outcome; on the bus its tally ends by age."""
        self._tallies.pop(event.sequence, None)

    def _key(self, event: Counted) -> str:
        # With its time: a log that was made again uses the sequences again.
        return f"{self._consumer}.{event.sequence}-{int(event.stored_at.timestamp() * 1000)}"
