"""The schedule of snapshots: by the running time of the service.

The service may be restarted every day, and the wall clock may be wrong, so the last snapshot
contains the running time at which it was made. The wall clock can only advance the next one.
"""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta

import structlog
from msgspec import Struct

from actors.clock_guard import RunningTime
from actors.persister import NAME as PERSISTER
from actors.writes import Cursor, DatabaseUnavailable, TransactionStore
from ilios.database.recovery import snapshots
from ilios.database.sqlite import DamageMonitor, DatabaseDamaged
from ilios.integrity.faults import Faults
from ilios.settings.settings import Settings

POLL_INTERVAL = 60.0  # seconds
RETRY_AFTER = timedelta(hours=1)  # a failure, whose cause may pass
CLOCK_TOLERANCE = timedelta(minutes=1)  # clocks are adjusted by little all the time

log = structlog.get_logger("snapshots")


class _LastSnapshot(Struct, frozen=True):
    """Time and running time of the last snapshot."""

    created_at: datetime
    running_time: timedelta


class SnapshotScheduler:
    """Makes snapshots of one database at regular intervals, once something was written.

    None while a fault blocks: the file at the path may be another one than the open one.
    """

    def __init__(
        self,
        settings: Settings,
        damage: DamageMonitor,
        store: TransactionStore,
        running_time: RunningTime,
        faults: Faults,
    ) -> None:
        self._database = settings.database_path
        self._directory = settings.snapshots_dir
        self._interval = settings.snapshot_interval
        self._damage = damage
        self._store = store
        self._running_time = running_time
        self._faults = faults
        self._loaded = False
        self._last: _LastSnapshot | None = None
        self._failed_at: timedelta | None = None

    async def run(self, poll_interval: float = POLL_INTERVAL) -> None:
        """Check periodically, until cancelled."""
        while True:
            if self._interval and self._faults.blocking is None:
                await self._snapshot_if_due()
            await asyncio.sleep(poll_interval)

    async def _snapshot_if_due(self) -> None:
        """Take a snapshot if one is due."""
        cursor = await self._store.cursor(PERSISTER)
        if cursor is None:
            return  # nothing was ever written
        if not self._loaded:
            self._last = await asyncio.to_thread(self._find_last, cursor)
            self._loaded = True
        now = datetime.now(UTC)
        if self._is_due(now, self._running_time.now()):
            await self._create(now)

    def _find_last(self, cursor: Cursor) -> _LastSnapshot | None:
        found = snapshots.find_latest(self._directory, cursor, self._running_time.now())
        return (
            _LastSnapshot(snapshots.created_at(found[0]), found[1].running_time) if found else None
        )

    def _is_due(self, now: datetime, running_time: timedelta) -> bool:
        if self._failed_at is not None and running_time - self._failed_at < RETRY_AFTER:
            return False
        if self._last is None or running_time - self._last.running_time >= self._interval:
            return True
        # The running time stands still while the service is stopped. A time in the future is of a
        # wrong clock.
        return not -CLOCK_TOLERANCE <= now - self._last.created_at < self._interval

    async def _create(self, now: datetime) -> None:
        try:
            # It orders this snapshot after the previous one.
            await self._running_time.save()
            running_time = self._running_time.now()
            made = await snapshots.create(self._database, self._directory, self._damage, now)
        except DatabaseDamaged:
            raise  # health reports it
        except (
            snapshots.NotEnoughSpace,
            snapshots.SnapshotDamaged,
            sqlite3.Error,
            OSError,
            DatabaseUnavailable,
        ) as error:
            self._failed_at = self._running_time.now()
            log.warning("snapshot failed", reason=str(error))
        else:
            self._failed_at = None
            self._last = _LastSnapshot(now, running_time)
            log.info("snapshot made", file=made.name, size=made.stat().st_size)
