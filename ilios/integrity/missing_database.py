"""A database that is missing although there was one: nothing begins in its place by itself.

An empty one would answer 404 to every older document, and its snapshots would replace the good
ones. The file may only be on a volume that is not mounted yet.
"""

import sqlite3
from pathlib import Path

from actors.persister import NAME as PERSISTER
from bus.connection import Connection
from bus.reader import Reader
from ilios.blobs.factory import LOCAL_DIR, OWNER_FILE, has_blobs
from ilios.database.connection import rebuilt_file
from ilios.database.recovery import snapshots
from ilios.database.recovery.wal import has_leftover
from ilios.settings.settings import Settings


class DatabaseMissing(Exception):
    """There was a database, and it is not there; the message is the advice."""


def check_snapshots(settings: Settings) -> None:
    """Return unless there is a snapshot of a database that is missing. Nothing is touched; blocks.

    :raises DatabaseMissing: there is.
    """
    if not is_missing(settings.database_path):
        return
    kept = snapshots.list_snapshots(settings.snapshots_dir)
    if kept:
        raise DatabaseMissing(
            f"{_missing(settings.database_path)}, and the snapshot {kept[0].name} is of one "
            f"{_describe_extent(kept[0])}. {_ADVICE}. Else `ilios rebuild` makes it again from "
            "the newest "
            "snapshot and the log, also while the service waits; to begin without what the "
            f"snapshots have, move {settings.snapshots_dir} aside"
        )


async def check_blobs(settings: Settings, connection: Connection) -> None:
    """Return unless there are blobs of a database that is missing, and the log is empty.

    A log with events brings a database back, or shows what is missing.

    :raises DatabaseMissing: there are.
    :raises BusUnavailable: the log does not answer.
    """
    if not is_missing(settings.database_path):
        return
    if (await Reader(connection, PERSISTER, "", ()).identity()).last_sequence > 0:
        return
    owner_file = settings.data_dir / OWNER_FILE
    directory = settings.data_dir / LOCAL_DIR
    if settings.s3 is None and has_blobs(directory):
        trace = directory
    elif settings.s3 is not None and owner_file.exists():
        trace = owner_file
    else:
        return
    raise DatabaseMissing(
        f"{_missing(settings.database_path)}, the log is empty, and {trace} is of a service that "
        f"had documents. {_ADVICE}. Neither a snapshot nor the log can bring it back; to begin "
        f"with nothing, move {trace} aside"
    )


def is_missing(database: Path) -> bool:
    """Whether nothing lies there that could be a database, or what is left of one."""
    if rebuilt_file(database).exists() or has_leftover(database):
        return False  # which is refused for what it is
    return not database.exists() or database.stat().st_size == 0


_ADVICE = (
    "Is its volume mounted, is the path right (ILIOS_DATA_DIR, LOCAL_DB_PATH)? The service goes on "
    "by itself when the file is there"
)


def _missing(database: Path) -> str:
    return f"the database {database} is missing"


def _describe_extent(snapshot: Path) -> str:
    try:
        cursor = snapshots.read_cursor(snapshot, PERSISTER)
    except sqlite3.Error:
        cursor = None
    return f"with {cursor.sequence} events" if cursor else "that had been written to"
