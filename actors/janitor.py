"""Looks after what nobody else does: what has expired, what is stuck, what is left lying about.

Hears of removals to erase bytes at once; everything else it finds by looking, every minute, in
bounded passes. Says ``archived``, ``deleted``, ``failed`` and again what was said before; and
``janitor.swept`` of each pass that found something to do.
"""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import structlog

from bus.connection import Connection
from bus.errors import BusFull, BusUnavailable
from bus.listening import Listener
from bus.publisher import Publisher
from schemas.documents import DocumentCancelled, DocumentDeleted
from schemas.upkeep import Swept

from .clock_guard import ClockGuard
from .erasing import Erasing
from .orphans import Orphans, TooManyOrphans
from .ports import Blobs, StorageUnavailable
from .redriving import Redriven, Redriving
from .retention import Expired, Retention
from .running_time import RunningTime
from .upkeep import EVERY, Upkeep
from .writer import Writer
from .writes import MarkClock, MarkSweep

SETTLE = 0.1  # seconds from hearing of a removal until the database may show it
TEMPORARY = timedelta(hours=1)  # age at which what an unfinished put has left is removed

_T = TypeVar("_T")

log = structlog.get_logger("janitor")


class Janitor:
    """One per database. A pass that is broken off is simply done again."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        upkeep: Upkeep,
        blobs: Blobs,
        *,
        running_time: RunningTime,
        retention: Retention,
        redriving: Redriving,
        orphans: Orphans,
        every: float = EVERY,
    ) -> None:
        self._listener = Listener(connection)
        self._publisher = Publisher(connection)
        self._writer = writer
        self._upkeep = upkeep
        self._blobs = blobs
        self._running_time = running_time
        self._retention = retention
        self._redriving = redriving
        self._orphans = orphans
        self._erasing = Erasing(writer, upkeep, blobs)
        self._every = every
        self._removed = asyncio.Event()
        self._clock: ClockGuard | None = None

    async def run(self) -> None:
        """Sweep now and then, and erase whenever something was removed, until cancelled."""
        words = (DocumentCancelled, DocumentDeleted)
        async with self._listener.listening(*words, hear=self._hear):
            next_pass = time.monotonic()
            while True:
                if time.monotonic() >= next_pass:
                    next_pass = time.monotonic() + self._every
                    await self.sweep()
                with suppress(TimeoutError):
                    wait = max(0.0, next_pass - time.monotonic())
                    await asyncio.wait_for(self._removed.wait(), wait)
                    await self._erase_soon()

    async def sweep(self) -> Swept:
        """Do one bounded pass and say what it found."""
        now, began = datetime.now(UTC), time.monotonic()
        if self._clock is None:
            self._clock = ClockGuard(await self._upkeep.clock())
        held = self._clock.look(now, self._running_time.now())
        if held:
            log.warning("nothing expires", reason=held)
        # First what makes room and says nothing: without room the log takes no word of the others.
        erased = await _tried(self._erasing.sweep(now), 0)
        temporary = await _tried(self._blobs.sweep(TEMPORARY), 0)
        # By a clock that has jumped, what was stored a moment ago looks like something given up.
        orphans = 0 if held else await self._delete_orphans(now)
        redriven = await _tried(self._redriving.sweep(now), Redriven())
        expired = Expired() if held else await _tried(self._retention.expire(now), Expired())
        swept = Swept(
            archived=expired.archived,
            deleted=expired.deleted,
            erased=erased,
            redriven=redriven.redriven,
            given_up=redriven.given_up,
            orphans=orphans,
            temporary=temporary,
            held=held,
            seconds=round(time.monotonic() - began, 3),
        )
        await self._writer.keep(MarkClock(self._clock.state))
        if not self._clock.holds:
            await self._writer.keep(MarkSweep(now))
        await self._tell(swept)
        return swept

    async def _delete_orphans(self, now: datetime) -> int:
        try:
            return await _tried(self._orphans.sweep(now), 0)
        except TooManyOrphans as error:
            log.error("orphans are kept", reason=str(error))  # noqa: TRY400  # it says it all
            return 0

    def _hear(self, _tenant: str, _document_id: str) -> None:
        self._removed.set()

    async def _erase_soon(self) -> None:
        await asyncio.sleep(SETTLE)  # others may be removed together with it
        self._removed.clear()
        erased = await _tried(self._erasing.sweep(datetime.now(UTC)), 0)
        if erased:
            await self._tell(Swept(erased=erased))

    async def _tell(self, swept: Swept) -> None:
        found = msgspec.structs.replace(swept, seconds=0.0) != Swept()
        (log.info if found else log.debug)("swept", **_figures(swept))
        if found:
            await self._publisher.note(swept)


async def _tried(part: Awaitable[_T], otherwise: _T) -> _T:
    """Return what a part of the pass answers; one that fails must not keep the others from theirs.

    :raises BusUnavailable, BusFull: none of them could do anything.
    """
    try:
        return await part
    except (BusUnavailable, BusFull, TooManyOrphans):
        raise
    except StorageUnavailable as error:
        log.warning("part of a pass waits for the blob store", reason=str(error))
        return otherwise
    except Exception:
        log.exception("part of a pass failed")
        return otherwise


def _figures(swept: Swept) -> dict[str, object]:
    """Return what is not nothing."""
    return {name: value for name, value in msgspec.structs.asdict(swept).items() if value}
