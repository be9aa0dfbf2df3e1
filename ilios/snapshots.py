"""When snapshots of the database are made: now and then, by how long the service has run.

The service may be restarted every day, and the wall clock may be wrong: the last snapshot tells
how long the service had run when it was made. The wall clock can only bring the next one forward.
"""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta

import structlog
from msgspec import Struct

from actors.persister import NAME as PERSISTER
from actors.running_time import RunningTime
from actors.writes import Cursor, Ledger, LedgerUnavailable
from ilios.database import snapshots
from ilios.database.damage import Damage, DatabaseDamaged
from ilios.faults import Faults
from ilios.settings import Settings

LOOK_EVERY = 60.0  # seconds
AGAIN_AFTER = timedelta(hours=1)  # when none could be made: what is in the way may go away
SET_BACK = timedelta(minutes=1)  # clocks are, all the time, by little

log = structlog.get_logger("snapshots")


class _Made(Struct, frozen=True):
    """The last snapshot: by the wall clock, and by how long the service had run."""

    at: datetime
    ran: timedelta


class Snapshots:
    """Makes one every so often, if there is anything to be kept. One per database.

    None while a fault blocks: the file at the path may not be the one that is open.
    """

    def __init__(
        self,
        settings: Settings,
        damage: Damage,
        ledger: Ledger,
        running_time: RunningTime,
        faults: Faults,
    ) -> None:
        self._database = settings.database_path
        self._directory = settings.snapshots_dir
        self._every = settings.snapshot_every
        self._damage = damage
        self._ledger = ledger
        self._running_time = running_time
        self._faults = faults
        self._looked = False
        self._last: _Made | None = None
        self._failed_at: timedelta | None = None

    async def run(self, look_every: float = LOOK_EVERY) -> None:
        """Look now and then, until cancelled."""
        while True:
            if self._every and self._faults.blocking is None:
                await self._look()
            await asyncio.sleep(look_every)

    async def _look(self) -> None:
        """Take a snapshot if one is due."""
        cursor = await self._ledger.cursor(PERSISTER)
        if cursor is None:
            return  # nothing was ever written: there is nothing to be kept
        if not self._looked:
            self._last = await asyncio.to_thread(self._look_up, cursor)
            self._looked = True
        now = datetime.now(UTC)
        if self._is_due(now, self._running_time.now()):
            await self._take(now)

    def _look_up(self, cursor: Cursor) -> _Made | None:
        found = snapshots.latest_of(self._directory, cursor, self._running_time.now())
        return _Made(snapshots.made_at(found[0]), found[1].ran) if found else None

    def _is_due(self, now: datetime, ran: timedelta) -> bool:
        if self._failed_at is not None and ran - self._failed_at < AGAIN_AFTER:
            return False
        if self._last is None or ran - self._last.ran >= self._every:
            return True
        # While the service is off it does not run. One of the future is of a clock that was wrong.
        return not -SET_BACK <= now - self._last.at < self._every

    async def _take(self, now: datetime) -> None:
        try:
            # It is in the snapshot, and tells it from the one before.
            await self._running_time.keep()
            ran = self._running_time.now()
            made = await snapshots.take(self._database, self._directory, self._damage, now)
        except DatabaseDamaged:
            raise  # which health reports
        except (
            snapshots.NoRoom,
            snapshots.SnapshotDamaged,
            sqlite3.Error,
            OSError,
            LedgerUnavailable,
        ) as error:
            self._failed_at = self._running_time.now()
            log.warning("no snapshot could be made", reason=str(error))
        else:
            self._failed_at = None
            self._last = _Made(now, ran)
            log.info("snapshot made", file=made.name, size=made.stat().st_size)
