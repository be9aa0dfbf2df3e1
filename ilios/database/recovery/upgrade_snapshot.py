"""The snapshot of a database of an older version, made before it is migrated."""

import sqlite3
from datetime import UTC, datetime

import structlog

from ilios.database.recovery import snapshots
from ilios.database.sqlite import DamageMonitor, DatabaseDamaged
from ilios.settings.settings import Settings

log = structlog.get_logger("snapshots")


async def make_upgrade_snapshot(settings: Settings, damage: DamageMonitor) -> None:
    """Make a snapshot, however long ago the last one was; without space for it there is none.

    A migration is one transaction and can do without. The snapshot is for what nobody foresaw.

    :raises DatabaseDamaged: the database is.
    """
    now = datetime.now(UTC)
    try:
        made = await snapshots.create(settings.database_path, settings.snapshots_dir, damage, now)
    except DatabaseDamaged:
        raise
    except (
        snapshots.NotEnoughSpace,
        snapshots.SnapshotDamaged,
        sqlite3.Error,
        OSError,
    ) as error:
        log.warning("no snapshot before the upgrade", reason=str(error))
    else:
        log.info("snapshot before the upgrade", file=made.name)
