"""Connections to SQLite that stop answering once the file turns out to be damaged."""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import aiosqlite

REPAIR_HINT = (
    "`ilios rebuild` makes a new one from the newest snapshot and the log (docs/operations.md, "
    "Damage)"
)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRIMARY = 0xFF  # SQLite's extended error codes have the primary one in their lowest byte
READ_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
"""Errors of reading a damaged file: SQLite quotes the file in messages that are then not UTF-8."""


class DatabaseDamaged(sqlite3.DatabaseError):
    """The file is not a sound SQLite database; the message contains the remedy."""


class DamageMonitor:
    """The first damage that SQLite met in a file, shared by all connections to it.

    Only the query that needs a damaged page fails. Rows that are read elsewhere may depend on that
    page, so from then on every query fails.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reason: str | None = None

    def raise_if_damaged(self) -> None:
        """Raise what was recorded.

        :raises DatabaseDamaged: damage was met.
        """
        if self.reason is not None:
            raise DatabaseDamaged(f"{self._path}: {self.reason}; {REPAIR_HINT}")

    def check_error(self, error: sqlite3.Error) -> None:
        """Record ``error`` if it is about the file itself.

        :raises DatabaseDamaged: it is.
        """
        code = getattr(error, "sqlite_errorcode", None)
        # All text was written as UTF-8. Python reports other text without an error code.
        if (code is not None and code & _PRIMARY in _DAMAGE) or "decode to UTF-8" in str(error):
            self.record_and_raise(str(error))

    def record_and_raise(self, reason: str) -> NoReturn:
        """Record damage.

        :raises DatabaseDamaged: always.
        """
        self.reason = self.reason or reason
        raise DatabaseDamaged(f"{self._path}: {self.reason}; {REPAIR_HINT}")


Parameters = Mapping[str, Any] | Sequence[Any]
Row = tuple[Any, ...]


class Database:
    """One connection, on its own thread; all connections to a file share a ``DamageMonitor``.

    Every method raises ``DatabaseDamaged`` once damage was met on any of these connections.
    """

    def __init__(self, connection: aiosqlite.Connection, damage: DamageMonitor) -> None:
        self._connection = connection
        self._damage = damage

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    async def execute(self, statement: str, parameters: Parameters = ()) -> None:
        """Execute a statement whose rows, if any, are not needed."""
        await self.fetchall(statement, parameters)

    async def executemany(self, statement: str, parameters: Iterable[Parameters]) -> None:
        """Execute a statement once for each set of parameters."""
        with self._detecting_damage():
            await self._connection.executemany(statement, parameters)

    async def fetchall(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        """Execute a statement and return all its rows."""
        with self._detecting_damage():
            rows = await self._connection.execute_fetchall(statement, parameters)
            return [tuple(row) for row in rows]

    @contextmanager
    def _detecting_damage(self) -> Iterator[None]:
        # A transaction that has begun may still be rolled back.
        if not self._connection.in_transaction:
            self._damage.raise_if_damaged()
        try:
            yield
        except UnicodeDecodeError as error:
            self._damage.record_and_raise(str(error))
        except sqlite3.Error as error:
            self._damage.check_error(error)
            raise


@asynccontextmanager
async def connect(path: str, damage: DamageMonitor) -> AsyncIterator[Database]:
    """Open a connection to a path or a ``file:`` URI, and close it at the end."""
    uri = path.startswith("file:")
    async with aiosqlite.connect(path, uri=uri, isolation_level=None) as connection:
        yield Database(connection, damage)
