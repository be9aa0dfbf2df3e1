"""A real database with its writer, and the persister that fills it."""

import sqlite3
from pathlib import Path

from nats.js.errors import NotFoundError

from actors import persister as module
from actors.persister import Persister
from actors.writes import Writer
from bus import streams
from bus.connection import Connection
from bus.publisher import Publisher
from ilios.database.queries import SqliteDocumentQueries, SqliteMaintenanceQueries
from ilios.database.store import SqliteTransactionStore
from schemas.documents import AnyDocumentEvent
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
        self.maintenance: SqliteMaintenanceQueries

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


async def publish_events(connection: Connection, *published: AnyDocumentEvent) -> None:
    publisher = Publisher(connection)
    for event in published:
        await publisher.publish(event)


def persister(connection: Connection, db: Database) -> Persister:
    return Persister(connection, db.writer, db.store)


async def acknowledged(connection: Connection, sequence: int) -> bool:
    try:
        info = await connection.jetstream.consumer_info(streams.EVENTS, module.NAME)
    except NotFoundError:
        return False
    floor = info.ack_floor
    return floor is not None and floor.stream_seq == sequence
