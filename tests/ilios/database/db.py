"""A database for a test, with queries for its content."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.writes import (
    ApplyEvents,
    Cursor,
    LogEntry,
    Write,
    WriteRefused,
)
from ilios.database import sqlite
from ilios.database.connection import open_inline_reader, open_reader, open_writer
from ilios.database.encryption import has_key
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


@cache
def _migrated() -> bytes:
    """Return a database without rows: migrations take longer than most tests of a database."""

    async def make(path: Path) -> None:
        async with open_writer(path):
            pass

    with TemporaryDirectory() as directory, ThreadPoolExecutor(1) as thread:
        path = Path(directory) / "ilios.db"
        # In a thread, because the loop of this one belongs to the tests.
        thread.submit(asyncio.run, make(path)).result()
        return path.read_bytes()


def make_database(path: Path) -> None:
    """Put a database without rows there, unless there is one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated())


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[Database]:
    if not has_key():
        make_database(path)
    async with (
        open_writer(path) as connection,
        open_reader(path) as reading,
        open_inline_reader(path, reading) as inline,
    ):
        yield Database(connection, SqliteDocumentQueries(reading, inline))
