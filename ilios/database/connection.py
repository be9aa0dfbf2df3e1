"""Opening the database: one file, one writer, as many readers as there are."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from . import migrations

BUSY_TIMEOUT = 5000  # milliseconds; only a checkpoint of a stranger can make us wait
ADVICE = "restore it, or move it away: it is written anew from the log (docs/operations.md)"
CACHE_KIB = 16 * 1024

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # FULL: what was committed survives a power cut. Grouping pays for it.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT}",
    f"PRAGMA cache_size = -{CACHE_KIB}",
)


class DatabaseDamaged(Exception):
    """The file is not a sound SQLite database; it was not touched."""


def lock_file(path: Path) -> Path:
    """Return the file whose lock says: this process writes the database at ``path``."""
    return path.with_name(path.name + ".lock")


@asynccontextmanager
async def open_writer(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """Open, check and migrate the database for its one writer, who holds ``lock_file(path)``.

    :raises DatabaseDamaged: the file is not a sound database.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # the umask must not open it to others
    async with aiosqlite.connect(path, isolation_level=None) as connection:
        try:
            for pragma in _WRITER_PRAGMAS:
                await connection.execute(pragma)
            rows = list(await connection.execute_fetchall("PRAGMA quick_check(1)"))
            if rows[0][0] != "ok":
                raise DatabaseDamaged(f"{path}: {rows[0][0]}; {ADVICE}")
            await migrations.migrate(connection)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise DatabaseDamaged(f"{path}: {error}; {ADVICE}") from error
        yield connection


@asynccontextmanager
async def open_reader(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """Open the database for reading only; it must exist."""
    async with aiosqlite.connect(_read_only(path), uri=True, isolation_level=None) as connection:
        await connection.execute("PRAGMA query_only = ON")
        await connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        yield connection


def _read_only(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"
