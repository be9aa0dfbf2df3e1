"""A database of its own, and what tests ask of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite

from actors.writes import (
    ApplyEntries,
    Cursor,
    Entry,
    Write,
    WriteRefused,
)
from ilios.database.connection import open_reader, open_writer
from ilios.database.ledger import SqliteLedger
from ilios.database.reads import Reads
from schemas.documents import DocumentCompleted
from schemas.events import AnyEvent
from tests import events

STREAM, CREATED = "ILIOS_EVENTS", "2026-01-15T10:30:00+00:00"


class Books:
    """A database of its own, and what is asked of it in these tests."""

    def __init__(self, connection: aiosqlite.Connection, reads: Reads) -> None:
        self.connection = connection
        self.ledger = SqliteLedger(connection)
        self.reads = reads

    async def apply(
        self, *entries: Entry, created: str = CREATED
    ) -> tuple[DocumentCompleted, ...] | WriteRefused:
        (answer,) = await self.ledger.keep([apply(*entries, created=created)])
        assert isinstance(answer, tuple | WriteRefused)
        return answer

    async def table(self, name: str) -> list[tuple[object, ...]]:
        found = await self.connection.execute_fetchall(f"SELECT * FROM {name} ORDER BY 1, 2")
        return [tuple(row) for row in found]


def apply(*entries: Entry, created: str = CREATED) -> Write[object]:
    cursor = Cursor(STREAM, created, entries[-1].sequence)
    write: Write[object] = ApplyEntries("test", entries, cursor)  # type: ignore[assignment]
    return write


def history(*said: AnyEvent, first: int = 1) -> list[Entry]:
    return [events.entry(sequence, event) for sequence, event in enumerate(said, first)]


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Books]:
    async with open_writer(path) as connection, open_reader(path) as reading:
        yield Books(connection, Reads(reading))
