"""A database for a test, with queries for its content."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.writes import (
    ApplyEvents,
    Cursor,
    LogEntry,
    Write,
    WriteRefused,
)
from ilios.database import sqlite
from ilios.database.connection import open_inline_reader, open_reader, open_writer
from ilios.database.queries import SqliteDocumentQueries
from ilios.database.store import SqliteTransactionStore
from schemas.documents import DocumentCompleted
from schemas.events import AnyEvent
from tests import events

STREAM, CREATED = "ILIOS_EVENTS", "2026-01-15T10:30:00+00:00"


class Database:
    """A database for a test."""

    def __init__(self, connection: sqlite.Database, reads: SqliteDocumentQueries) -> None:
        self.connection = connection
        self.store = SqliteTransactionStore(connection)
        self.reads = reads

    async def apply(
        self, *entries: LogEntry, created: str = CREATED
    ) -> tuple[DocumentCompleted, ...] | WriteRefused:
        (answer,) = await self.store.commit([apply_write(*entries, created=created)])
        assert isinstance(answer, tuple | WriteRefused)
        return answer

    async def table(self, name: str) -> list[tuple[object, ...]]:
        found = await self.connection.fetchall(f"SELECT * FROM {name} ORDER BY 1, 2, 3, 4")
        return [tuple(row) for row in found]


def apply_write(*entries: LogEntry, created: str = CREATED) -> Write[object]:
    cursor = Cursor(STREAM, created, entries[-1].sequence)
    write: Write[object] = ApplyEvents("test", entries, cursor)  # type: ignore[assignment]
    return write


def history(*published: AnyEvent, first: int = 1) -> list[LogEntry]:
    return [events.entry(sequence, event) for sequence, event in enumerate(published, first)]


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[Database]:
    async with (
        open_writer(path) as connection,
        open_reader(path) as reading,
        open_inline_reader(path, reading) as inline,
    ):
        yield Database(connection, SqliteDocumentQueries(reading, inline))
