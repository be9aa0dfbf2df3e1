"""Which blobs must be in the store, if it is the one that belongs to this database."""

from datetime import UTC, datetime

from ilios.database import rows, statements
from ilios.database.sqlite import Database

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
