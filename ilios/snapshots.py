"""When snapshots of the database are made: now and then, by the clock on the wall.

The service may be started anew every day, so that what counts is how old the newest one is.
"""

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta

import structlog

from actors.persister import NAME as PERSISTER
from actors.writes import Ledger
from ilios.database import snapshots
from ilios.database.damage import Damage, DatabaseDamaged
from ilios.settings import Settings

LOOK_EVERY = 60.0  # seconds
AGAIN_AFTER = timedelta(hours=1)  # when none could be made: what is in the way may go away

log = structlog.get_logger("snapshots")


class Snapshots:
    """Makes one every so often, if there is anything to be kept. One per database."""

    def __init__(self, settings: Settings, damage: Damage, ledger: Ledger) -> None:
        self._database = settings.database_path
        self._directory = settings.snapshots_dir
        self._every = settings.snapshot_every
        self._damage = damage
        self._ledger = ledger
        self._failed_at: datetime | None = None

    async def run(self, look_every: float = LOOK_EVERY) -> None:
        """Look now and then, until cancelled."""
        while True:
            now = datetime.now(UTC)
            # Without a cursor nothing was ever written: there is nothing to be kept.
            if self._is_due(now) and await self._ledger.cursor(PERSISTER) is not None:
                await self._take(now)
            await asyncio.sleep(look_every)

    def _is_due(self, now: datetime) -> bool:
        if not self._every:
            return False
        if self._failed_at is not None and abs(now - self._failed_at) < AGAIN_AFTER:
            return False
        kept = snapshots.kept_in(self._directory)
        # One of the future is of a clock that was wrong; it would keep all others from being made.
        return not kept or not timedelta(0) <= now - snapshots.made_at(kept[0]) < self._every

    async def _take(self, now: datetime) -> None:
        try:
            made = await snapshots.take(self._database, self._directory, self._damage, now)
        except DatabaseDamaged:
            raise  # which tells whoever asks for the service's health
        except (snapshots.NoRoom, snapshots.SnapshotDamaged, sqlite3.Error, OSError) as error:
            self._failed_at = now
            log.warning("no snapshot could be made", reason=str(error))
        else:
            self._failed_at = None
            log.info("snapshot made", file=made.name, size=made.stat().st_size)
