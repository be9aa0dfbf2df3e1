"""What the janitor asks of the database, in bounded portions."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import aiosqlite
import msgspec

from actors.clock_guard import ClockState
from ilios.database import rows, statements
from schemas.records import DocumentRecord

MAX_CLOCK_LEAD = timedelta(hours=25)  # a publisher's clock may be ahead of the log's by a day


class SqliteMaintenanceQueries:
    """Questions over a read-only connection; fits ``actors.janitor.queries.Upkeep``."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def running_time(self) -> timedelta:
        """Return how long the service has run on this database, as far as that was stored."""
        found = list(await self._connection.execute_fetchall(statements.RUNNING_TIME))
        return timedelta(milliseconds=found[0][0]) if found else timedelta()

    async def clock_state(self) -> ClockState:
        """Return what is believed of the wall clock."""
        found = list(await self._connection.execute_fetchall(statements.CLOCK_STATE))
        return rows.clock_state(found[0]) if found else ClockState()

    async def first_sweep_at(self) -> datetime | None:
        """Return when the janitor looked for the first time: this database is not much older."""
        found = list(await self._connection.execute_fetchall(statements.FIRST_SWEEP))
        return rows.from_milliseconds(found[0][0]) if found else None

    async def expired_documents(
        self, now: datetime, limit: int, *, with_archived: bool
    ) -> list[DocumentRecord]:
        """Return documents that have ended and outlived their retention, the oldest first."""
        statement = (
            statements.EXPIRED_DOCUMENTS if with_archived else statements.EXPIRED_NOT_ARCHIVED
        )
        return await self._documents(statement, {"now": rows.to_milliseconds(now), "limit": limit})

    async def count_expirable(self) -> int:
        """Return how many documents are kept that will expire some day."""
        found = list(await self._connection.execute_fetchall(statements.COUNT_EXPIRABLE))
        return int(found[0][0])

    async def documents_to_erase(self, limit: int) -> list[DocumentRecord]:
        """Return removed documents whose bytes may still lie in the store."""
        return await self._documents(statements.DOCUMENTS_TO_ERASE, {"limit": limit})

    async def unfinished_documents(
        self, before: datetime, after: DocumentRecord | None, limit: int
    ) -> list[DocumentRecord]:
        """Return documents submitted ``before`` then that have not ended, oldest first.

        ``after`` is the last one of the portion before. Those from the future, of a clock that was
        ahead, come last.
        """
        wanted = {
            "before": rows.to_milliseconds(before),
            "future": rows.to_milliseconds(before + MAX_CLOCK_LEAD),
            "after": rows.to_milliseconds(after.submitted_at) if after else rows.EARLIEST,
            "after_tenant": after.tenant if after else "",
            "after_id": after.document_id if after else "",
            "limit": limit,
        }
        return await self._documents(statements.UNFINISHED_DOCUMENTS, wanted)

    async def lookup(self, names: Iterable[tuple[str, str]]) -> list[DocumentRecord]:
        """Return those documents of these (tenant, id) that are known."""
        wanted = {"names": msgspec.json.encode(list(names)).decode()}
        return await self._documents(statements.DOCUMENTS_BY_ID, wanted)

    async def _documents(
        self, statement: str, wanted: Mapping[str, object]
    ) -> list[DocumentRecord]:
        found = await self._connection.execute_fetchall(statement, wanted)
        return [rows.document_record(row) for row in found]
