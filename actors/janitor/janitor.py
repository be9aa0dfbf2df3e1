"""The janitor: expires documents, restarts stuck ones, deletes orphaned blobs and erases bytes.

It subscribes to removals to erase bytes at once, and does everything else in bounded passes every
minute. It publishes ``archived``, ``deleted``, ``failed``, repeated events, and ``janitor.swept``
for each pass that found something to do.
"""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec
import structlog

from actors.clock_guard import ClockGuard, RunningTime
from actors.deadlines import Deadlines
from actors.janitor.erasure import Erasure
from actors.janitor.objects import ObjectSweep
from actors.janitor.orphans import Orphans, TooManyOrphans
from actors.janitor.retention import ExpiredCounts, Retention
from actors.janitor.stuck import StuckCounts, StuckDocuments
from actors.ports import SWEEP_INTERVAL, Blobs, MaintenanceQueries, StorageUnavailable
from actors.writes import MarkClock, MarkSweep, Writer
from bus.connection import Connection
from bus.errors import BusFull, BusUnavailable
from bus.publisher import Publisher
from bus.subscriber import Subscriber
from schemas.documents import DocumentCancelled, DocumentDeleted
from schemas.events import JanitorSwept

ERASE_DELAY = 0.1  # seconds until the database may show a published removal
TEMPORARY_MAX_AGE = timedelta(hours=1)  # age at which the remains of an unfinished put are deleted

_T = TypeVar("_T")

log = structlog.get_logger("janitor")


class Janitor:
    """Runs once per database. An interrupted pass is simply repeated."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        queries: MaintenanceQueries,
        blobs: Blobs,
        *,
        running_time: RunningTime,
        retention: Retention,
        stuck: StuckDocuments,
        orphans: Orphans,
        objects: ObjectSweep,
        deadlines: Deadlines | None = None,
        interval: float = SWEEP_INTERVAL,
    ) -> None:
        self._listener = Subscriber(connection)
        self._publisher = Publisher(connection)
        self._writer = writer
        self._queries = queries
        self._blobs = blobs
        self._running_time = running_time
        self._retention = retention
        self._stuck = stuck
        self._orphans = orphans
        self._objects = objects
        self._erasure = Erasure(writer, queries, blobs)
        self._deadlines = deadlines or Deadlines()
        self._interval = interval
        self._removal_seen = asyncio.Event()
        self._clock_guard: ClockGuard | None = None

    async def run(self) -> None:
        """Sweep regularly, and erase whenever a document was removed, until cancelled."""
        removals = (DocumentCancelled, DocumentDeleted)
        async with self._listener.subscribe(*removals, callback=self._on_removed):
            next_pass = time.monotonic()
            while True:
                if time.monotonic() >= next_pass:
                    next_pass = time.monotonic() + self._interval
                    await self.sweep()
                with suppress(TimeoutError):
                    wait = max(0.0, next_pass - time.monotonic())
                    await asyncio.wait_for(self._removal_seen.wait(), wait)
                    await self._erase_removed()

    async def sweep(self) -> JanitorSwept:
        """Do one bounded pass and publish its result."""
        now, began = datetime.now(UTC), time.monotonic()
        if self._clock_guard is None:
            self._clock_guard = ClockGuard(await self._queries.clock_state())
        hold_reason = self._clock_guard.check(now, self._running_time.now())
        self._deadlines.set_held(self._clock_guard.is_holding)
        if hold_reason:
            log.warning("nothing expires", reason=hold_reason)
        await self._publisher.ensure_current()
        # First the parts that make room and publish nothing: the others need room on the log.
        erased = await _attempt(self._erasure.sweep(now), 0)
        temporary = await _attempt(self._blobs.sweep_temporary(TEMPORARY_MAX_AGE), 0)
        # With a clock that has jumped ahead, a new blob looks like an abandoned one.
        orphans = 0 if hold_reason else await self._delete_orphans(now)
        objects = 0 if hold_reason else await self._sweep_objects(now)
        redriven = await _attempt(self._stuck.sweep(now), StuckCounts())
        expired = (
            ExpiredCounts()
            if hold_reason
            else await _attempt(self._retention.expire(now), ExpiredCounts())
        )
        swept = JanitorSwept(
            archived=expired.archived,
            deleted=expired.deleted,
            erased=erased,
            redriven=redriven.redriven,
            given_up=redriven.given_up,
            orphans=orphans,
            temporary=temporary,
            objects=objects,
            held=hold_reason,
            seconds=round(time.monotonic() - began, 3),
        )
        await self._writer.commit(MarkClock(self._clock_guard.state))
        if not self._clock_guard.is_holding:
            await self._writer.commit(MarkSweep(now))
        await self._report(swept)
        return swept

    async def _sweep_objects(self, now: datetime) -> int:
        await self._publisher.ensure_current()
        try:
            return await _attempt(self._objects.sweep(now), 0)
        except BusUnavailable as error:
            # The user of an external bus may reach no bucket: the log is another matter.
            log.warning("objects not swept", reason=str(error))
            return 0

    async def _delete_orphans(self, now: datetime) -> int:
        try:
            return await _attempt(self._orphans.sweep(now), 0)
        except TooManyOrphans as error:
            log.error("orphans not deleted", reason=str(error))  # noqa: TRY400  # no traceback needed
            return 0

    def _on_removed(self, _tenant: str, _document_id: str) -> None:
        self._removal_seen.set()

    async def _erase_removed(self) -> None:
        await asyncio.sleep(ERASE_DELAY)  # others may be removed at the same time
        self._removal_seen.clear()
        erased = await _attempt(self._erasure.sweep(datetime.now(UTC)), 0)
        if erased:
            await self._report(JanitorSwept(erased=erased))

    async def _report(self, swept: JanitorSwept) -> None:
        found = msgspec.structs.replace(swept, seconds=0.0) != JanitorSwept()
        (log.info if found else log.debug)("swept", **_non_empty(swept))
        if found:
            await self._publisher.publish_sweep(swept)


async def _attempt(part: Awaitable[_T], default: _T) -> _T:
    """Return the result of a part of the pass, or ``default`` if it fails: the others go on.

    :raises BusUnavailable, BusFull: the others could not publish either.
    """
    try:
        return await part
    except (BusUnavailable, BusFull, TooManyOrphans):
        raise
    except StorageUnavailable as error:
        log.warning("part of a pass waits for the blob store", reason=str(error))
        return default
    except Exception:
        log.exception("part of a pass failed")
        return default


def _non_empty(swept: JanitorSwept) -> dict[str, object]:
    """Return the members that are not empty."""
    return {name: value for name, value in msgspec.structs.asdict(swept).items() if value}
