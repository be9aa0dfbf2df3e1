"""Refusal to start with an empty database where there was another one.

It would answer 404 for every older document, and its snapshots would replace the good ones. The
file may be on a volume that is not mounted yet.
"""

import sqlite3
from pathlib import Path

from actors.persister import NAME as PERSISTER
from bus.connection import Connection
from bus.reader import Reader
from ilios.blobs.factory import OWNER_FILE, blob_directory, has_blobs
from ilios.database.connection import rebuilt_file
from ilios.database.recovery import snapshots
from ilios.database.recovery.wal import has_leftover
from ilios.settings.settings import Settings


class DatabaseMissing(Exception):
    """The database is missing although there was one; the message contains the remedy."""


def check_snapshots(settings: Settings) -> None:
    """Refuse to start without a database while a snapshot of one exists. Changes nothing; blocks.

    :raises DatabaseMissing: a snapshot exists.
    """
    if not is_missing(settings.database_path):
        return
    found = snapshots.list_snapshots(settings.snapshots_dir)
    if found:
        raise DatabaseMissing(
            f"{_missing(settings.database_path)}, and the snapshot {found[0].name} is of one "
            f"{_describe_extent(found[0])}. {_ADVICE}. Else `ilios rebuild` makes it again from "
            "the newest snapshot and the log, also while the service waits; to begin without what "
            f"the snapshots have, move {settings.snapshots_dir} aside"
        )


async def check_blobs(settings: Settings, connection: Connection) -> None:
    """Refuse to start without a database while blobs exist and the log is empty.

    A log with events restores the database, or shows the missing ones.

    :raises DatabaseMissing: blobs exist, and no events.
    :raises BusUnavailable: the log does not answer.
    """
    if not is_missing(settings.database_path):
        return
    if await has_events(connection):
        return
    owner_file = settings.data_dir / OWNER_FILE
    directory = blob_directory(None, settings.data_dir, settings.shared_blobs)
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


async def has_events(connection: Connection) -> bool:
    """Whether anything was ever published to the log.

    :raises BusUnavailable: it does not answer.
    """
    return (await Reader(connection, PERSISTER, "", ()).identity()).last_sequence > 0


def is_missing(database: Path) -> bool:
    """Whether neither a database nor the remains of one exist."""
    if rebuilt_file(database).exists() or has_leftover(database):
        return False  # refused when it is opened
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
