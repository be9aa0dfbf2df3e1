"""How far the database was written from the log, and what of it has ended."""

from datetime import UTC, datetime

from actors.persister import NAME
from actors.writes import Cursor
from bus.subjects import StreamIdentity
from ilios.database import rows, statements
from ilios.database.sqlite import Database


class SqliteLogQueries:
    """Questions over a read-only connection."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def cursor(self) -> Cursor | None:
        """Return how far the log was written down, or None where nothing ever was."""
        found = await self._connection.fetchall(statements.GET_CURSOR, {"reader": NAME})
        return Cursor(*found[0]) if found else None

    async def ended_floor(self, log: StreamIdentity) -> int:
        """Return up to which sequence of ``log`` every document has ended.

        0 of another log, and of one that has lost its end: what is new has the numbers of what
        was lost.
        """
        wanted = {"reader": NAME, "created": log.created, "last": log.last_sequence}
        found = await self._connection.fetchall(statements.ENDED_FLOOR, wanted)
        return max(0, int(found[0][0])) if found else 0

    async def any_submitted_between(self, first: int, last: int) -> bool:
        """Whether a document was submitted by one of these events."""
        wanted = {"first": first, "last": last}
        found = await self._connection.fetchall(statements.ANY_SUBMITTED_BETWEEN, wanted)
        return bool(found[0][0])


SAMPLES_PER_KIND = (
    2  # documents: the oldest and the newest of those that have ended, and of those that wait
)
EPOCH = datetime.fromtimestamp(0, UTC)


class SqliteBlobSamples:
    """Questions over a read-only connection."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def sample_keys(self, since: datetime = EPOCH) -> list[str]:
        """Return keys of a few documents that were submitted ``since`` then: oldest and newest."""
        wanted = {"since": rows.to_milliseconds(since), "limit": SAMPLES_PER_KIND}
        found = await self._connection.fetchall(statements.SAMPLED_BLOBS, wanted)
        return list(dict.fromkeys(key for row in found for key in row if key is not None))
