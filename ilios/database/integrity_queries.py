"""Queries that compare the database with the log and with the blob store."""

from datetime import UTC, datetime

import aiosqlite

from actors.persister import NAME
from actors.writes import Cursor
from bus.streams import StreamIdentity
from ilios.database import rows, statements


class SqliteLogQueries:
    """Queries on a read-only connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def cursor(self) -> Cursor | None:
        """Return the cursor of the persister, or None without one."""
        query = self._connection.execute_fetchall(statements.GET_CURSOR, {"reader": NAME})
        found = list(await query)
        return Cursor(*found[0]) if found else None

    async def ended_floor(self, log: StreamIdentity) -> int:
        """Return the sequence of ``log`` up to which every document has ended.

        0 for another log, and for one that has lost its end: new events have the sequences of lost
        ones.
        """
        wanted = {"reader": NAME, "created": log.created, "last": log.last_sequence}
        found = list(await self._connection.execute_fetchall(statements.ENDED_FLOOR, wanted))
        return max(0, int(found[0][0])) if found else 0

    async def any_submitted_between(self, first: int, last: int) -> bool:
        """Whether a document was submitted by an event with one of these sequences."""
        wanted = {"first": first, "last": last}
        found = list(
            await self._connection.execute_fetchall(statements.ANY_SUBMITTED_BETWEEN, wanted)
        )
        return bool(found[0][0])


SAMPLES_PER_KIND = (
    2  # documents: the oldest and the newest of those that have ended, and of those that wait
)
EPOCH = datetime.fromtimestamp(0, UTC)


class SqliteBlobSamples:
    """Queries on a read-only connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def sample_keys(self, since: datetime = EPOCH) -> list[str]:
        """Return keys of the oldest and newest documents submitted ``since`` a time.

        The blobs exist if the store is the one that belongs to the database.
        """
        wanted = {"since": rows.to_milliseconds(since), "limit": SAMPLES_PER_KIND}
        found = await self._connection.execute_fetchall(statements.SAMPLED_BLOBS, wanted)
        return list(dict.fromkeys(key for row in found for key in row if key is not None))
