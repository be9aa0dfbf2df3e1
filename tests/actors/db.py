"""A real database with its writer."""

import sqlite3
from pathlib import Path

from actors import persister as module
from actors.writes import Writer
from ilios.database.queries import SqliteDocumentQueries
from ilios.database.store import SqliteTransactionStore
from schemas.records import DocumentRecord
from tests import events


class Database:
    """A real database with its writer and queries."""

    def __init__(
        self, path: Path, transactions: SqliteTransactionStore, reads: SqliteDocumentQueries
    ) -> None:
        self._path = path
        self._reads = reads
        self.store = transactions
        self.writer = Writer(transactions)

    async def document(self, number: int = 1) -> DocumentRecord | None:
        return await self._reads.document("default", events.id_of(number))

    async def has_state(self, state: str, number: int = 1) -> bool:
        record = await self.document(number)
        return record is not None and record.state == state

    async def is_at(self, sequence: int) -> bool:
        """Whether it has everything up to an event, and perhaps more."""
        cursor = await self.store.cursor(module.NAME)
        return cursor is not None and cursor.sequence >= sequence

    def rows(self, table: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(self._path) as connection:
            found = connection.execute(f"SELECT * FROM {table}").fetchall()
        connection.close()
        return found
