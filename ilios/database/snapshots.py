"""Snapshots of the database: made beside the writer, checked before they count, few of them kept.

With one of them and what the log has said since, the database can be made anew.
"""

import asyncio
import os
import re
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from actors.writes import Cursor
from bus import failpoints

from . import statements
from .connection import read_only
from .damage import Damage

KEPT = 2
"""How many there are: the older one is for the day on which the newer one cannot be read."""
ROOM = 2
"""A snapshot is made where there is room for so many of its size; the log needs room, too."""

_NAME = "ilios-%Y%m%dT%H%M%SZ.db"
_PATTERN = re.compile(r"ilios-\d{8}T\d{6}Z\.db")
_UNFINISHED = ".new"
_COPY = "VACUUM INTO :copy"
_QUICK_CHECK = "PRAGMA quick_check(1)"
_VERSION = "PRAGMA user_version"


class NoRoom(Exception):
    """A snapshot would take what the service needs; none was made."""


class SnapshotDamaged(Exception):
    """What was written is not what was read: the volume is at fault. Nothing of it was kept."""


def made_at(snapshot: Path) -> datetime:
    """Return when a snapshot was made, which its name says."""
    return datetime.strptime(snapshot.name, _NAME).replace(tzinfo=UTC)


def kept_in(directory: Path) -> list[Path]:
    """Return the snapshots that are there, the newest first."""
    if not directory.is_dir():
        return []
    found = [path for path in directory.iterdir() if _PATTERN.fullmatch(path.name)]
    return sorted(found, reverse=True)


async def take(database: Path, directory: Path, damage: Damage, now: datetime) -> Path:
    """Make a snapshot and remove those that are too many.

    It is read over a connection of its own in one read transaction, so that the writer goes on; the
    checkpoints that have to wait for it meanwhile make the write-ahead log longer.

    :raises NoRoom, SnapshotDamaged: see there.
    :raises sqlite3.Error, OSError: it cannot be read or written; nothing is left of it.
    """
    reading: list[sqlite3.Connection] = []
    try:
        return await asyncio.to_thread(_take, database, directory, damage, now, reading)
    except asyncio.CancelledError:
        for connection in reading:
            with suppress(sqlite3.ProgrammingError):  # it was closed this moment
                # Or a large database would keep the service from stopping.
                connection.interrupt()
        raise


def _take(
    database: Path,
    directory: Path,
    damage: Damage,
    now: datetime,
    reading: list[sqlite3.Connection],
) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in directory.glob(f"ilios-*{_UNFINISHED}"):
        left.unlink()  # of a process that was killed
    size, free = database.stat().st_size, shutil.disk_usage(directory).free
    if free < ROOM * size:
        raise NoRoom(f"{free // 1024**2} MB are free, {ROOM * size // 1024**2 + 1} are needed")
    snapshot = directory / now.astimezone(UTC).strftime(_NAME)
    unfinished = snapshot.with_name(snapshot.name + _UNFINISHED)
    try:
        _copy(database, unfinished, damage, reading)
        if (fault := fault_in(unfinished)) is not None:
            raise SnapshotDamaged(f"{unfinished} cannot be read back: {fault}")
        failpoints.reach("snapshots.written")
        os.rename(unfinished, snapshot)
        sync(directory)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    for old in kept_in(directory)[KEPT:]:
        old.unlink()
    return snapshot


def _copy(
    database: Path, unfinished: Path, damage: Damage, reading: list[sqlite3.Connection]
) -> None:
    # Made first: SQLite would make it as the umask has it.
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        damage.refuse()
        with closing(sqlite3.connect(read_only(database), uri=True)) as source:
            reading.append(source)
            try:
                # Not the backup API: this one reads all rows and makes the indexes anew.
                source.execute(_COPY, {"copy": str(unfinished)})
            except sqlite3.Error as error:
                damage.heed(error)
                raise
            finally:
                reading.remove(source)  # a closed one cannot be interrupted
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fault_in(snapshot: Path) -> str | None:
    """Say what is wrong with a snapshot, if anything is. It is not written to."""
    try:
        with closing(sqlite3.connect(_immutable(snapshot), uri=True)) as connection:
            ((answer,),) = connection.execute(_QUICK_CHECK).fetchall()
            if answer == "ok" and not connection.execute(_VERSION).fetchone()[0]:
                answer = "it is empty"
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if answer == "ok" else str(answer)


def cursor_in(snapshot: Path, reader: str) -> Cursor | None:
    """Return how far ``reader`` had come when the snapshot was made.

    :raises sqlite3.Error: it cannot be read.
    """
    with closing(sqlite3.connect(_immutable(snapshot), uri=True)) as connection:
        found = connection.execute(statements.GET_CURSOR, {"reader": reader}).fetchone()
    return Cursor(*found) if found else None


def copy_to(snapshot: Path, target: Path) -> None:
    """Copy a snapshot, for its owner alone and durably, to be written on."""
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as copy, snapshot.open("rb") as source:
        shutil.copyfileobj(source, copy, 1024 * 1024)
        copy.flush()
        os.fsync(copy.fileno())


def sync(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _immutable(path: Path) -> str:
    # Nobody writes to it: SQLite need not look for a write-ahead log, nor leave files beside it.
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"
