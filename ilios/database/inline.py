"""Queries of one row without a thread: SQLite answers from the page cache sooner than a thread can.

A hop to a thread and back costs several times what looking up a row by its key does. What might
block the event loop is not done here: a busy database is read by the thread, and after some slow
queries in a row the thread has all of them for a while.
"""

import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from ilios.database.encryption import open_sqlite
from ilios.database.sqlite import DamageMonitor, Database, Parameters, Row
from ilios.runtime.inline_calls import InlineCalls


class InlineReader:
    """A read-only connection for look-ups by primary key, beside one with a thread."""

    def __init__(
        self, connection: sqlite3.Connection, threaded: Database, damage: DamageMonitor
    ) -> None:
        self._connection = connection
        self._threaded = threaded
        self._damage = damage
        self._calls = InlineCalls()

    async def fetchall(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        """Execute a statement, which must take one look-up, and return its rows.

        :raises DatabaseDamaged: damage was met on any connection.
        """
        if not self._calls.are_allowed():
            return await self._threaded.fetchall(statement, parameters)
        self._damage.raise_if_damaged()
        began = time.monotonic()
        try:
            found: list[Row] = self._connection.execute(statement, parameters).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            # Busy, or an error that the other connection meets as well and classifies.
            return await self._threaded.fetchall(statement, parameters)
        self._calls.record(began)
        return found


@asynccontextmanager
async def connect_inline(
    uri: str, pragmas: Iterable[str], threaded: Database, damage: DamageMonitor
) -> AsyncIterator[InlineReader]:
    """Open a connection to a ``file:`` URI for the thread of the event loop; close it at the end.

    It does not wait for locks.
    """
    connection = open_sqlite(uri, timeout=0)
    try:
        for pragma in pragmas:
            connection.execute(pragma)
        yield InlineReader(connection, threaded, damage)
    finally:
        connection.close()
