"""A connection to SQLite that refuses to answer once the file turns out to be damaged."""

import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiosqlite

from ilios.database.recovery.damage import DamageMonitor

Parameters = Mapping[str, Any] | Sequence[Any]
Row = tuple[Any, ...]


class Database:
    """One connection, on a thread of its own; all connections to a file share a ``DamageMonitor``.

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
        with self._noticing_damage():
            await self._connection.executemany(statement, parameters)

    async def fetchall(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        """Execute a statement and return all its rows."""
        with self._noticing_damage():
            rows = await self._connection.execute_fetchall(statement, parameters)
            return [tuple(row) for row in rows]

    @contextmanager
    def _noticing_damage(self) -> Iterator[None]:
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
