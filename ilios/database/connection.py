"""Opening the database: one file, one writer, any number of readers."""

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ilios.database import migrations
from ilios.database.inline import InlineReader, connect_inline
from ilios.database.recovery import wal
from ilios.database.sqlite import REPAIR_HINT, DamageMonitor, Database, DatabaseDamaged, connect

__all__ = [
    "DamageMonitor",
    "DatabaseDamaged",
    "lock_file",
    "open_inline_reader",
    "open_reader",
    "open_writer",
    "read_only_uri",
    "rebuilt_file",
]

BUSY_TIMEOUT = 5000  # milliseconds; only a checkpoint by another program makes us wait
# Ids and times only grow, so writes touch neighbouring pages and a small cache suffices. Pages that
# are read are in the page cache of the kernel.
WRITER_CACHE_KIB = 4 * 1024
READER_CACHE_KIB = 512

_PRAGMAS = (
    # The file may be damaged, or written by another program.
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT}",
)
_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # FULL: a commit survives a power cut. Group commit pays for it.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA cache_size = -{WRITER_CACHE_KIB}",
)
_READER_PRAGMAS = ("PRAGMA query_only = ON", f"PRAGMA cache_size = -{READER_CACHE_KIB}")
_QUICK_CHECK = "PRAGMA quick_check(1)"
_FULL_CHECK = "PRAGMA integrity_check(1)"


def lock_file(path: Path) -> Path:
    """Return the file that the one writer of the database at ``path`` locks."""
    return path.with_name(path.name + ".lock")


def rebuilt_file(path: Path) -> Path:
    """Return where ``ilios rebuild`` writes the database that will replace ``path``."""
    return path.with_name(path.name + ".rebuilt")


@asynccontextmanager
async def open_writer(
    path: Path,
    damage: DamageMonitor | None = None,
    before_upgrade: Callable[[], Awaitable[object]] | None = None,
) -> AsyncIterator[Database]:
    """Open, check and migrate the database for its one writer, who holds ``lock_file(path)``.

    ``before_upgrade`` is called if the database is sound and of an older version.

    :raises DatabaseDamaged: the file is not a sound database; it was not touched.
    """
    damage = damage or DamageMonitor(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if fault := _fault_before_open(path):
        raise DatabaseDamaged(f"{path}: {fault}; {REPAIR_HINT}")
    # A database that was not closed may be half checkpointed: compare indexes with tables.
    check = _FULL_CHECK if wal.has_leftover(path) else _QUICK_CHECK
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # whatever the umask is
    async with connect(str(path), damage) as connection:
        try:
            for pragma in (*_PRAGMAS, *_WRITER_PRAGMAS):
                await connection.execute(pragma)
            rows = await connection.fetchall(check)
            if rows[0][0] != "ok":
                raise DatabaseDamaged(f"{path}: {rows[0][0]}; {REPAIR_HINT}")
            if before_upgrade is not None and await migrations.is_outdated(connection):
                await before_upgrade()
            await migrations.migrate(connection)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError | DatabaseDamaged):
                raise
            raise DatabaseDamaged(f"{path}: {error}; {REPAIR_HINT}") from error
        yield connection


@asynccontextmanager
async def open_reader(path: Path, damage: DamageMonitor | None = None) -> AsyncIterator[Database]:
    """Open the database for reading only; it must exist."""
    damage = damage or DamageMonitor(path)
    async with connect(read_only_uri(path), damage) as connection:
        for pragma in (*_PRAGMAS, *_READER_PRAGMAS):
            await connection.execute(pragma)
        yield connection


@asynccontextmanager
async def open_inline_reader(
    path: Path, threaded: Database, damage: DamageMonitor | None = None
) -> AsyncIterator[InlineReader]:
    """Open the database for look-ups of single rows in the thread of the event loop.

    :param threaded: a reader of the same file, for what would block the loop.
    """
    damage = damage or DamageMonitor(path)
    pragmas = (pragma for pragma in (*_PRAGMAS, *_READER_PRAGMAS) if "busy_timeout" not in pragma)
    async with connect_inline(read_only_uri(path), pragmas, threaded, damage) as reader:
        yield reader


def _fault_before_open(path: Path) -> str | None:
    """Return a fault that opening the file would hide, None if there is none."""
    if not path.exists() and rebuilt_file(path).exists():
        return "a rebuild was broken off while it replaced the file"
    if (not path.exists() or not path.stat().st_size) and wal.has_leftover(path):
        return "the file is gone or empty, but its write-ahead log is there"
    return wal.find_damage(path) if path.exists() else None


def read_only_uri(path: Path) -> str:
    """Return the URI by which SQLite opens a database for reading only."""
    return f"{path.absolute().as_uri()}?mode=ro"
