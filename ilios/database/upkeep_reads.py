"""What the janitor asks of the database, in bounded portions."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import aiosqlite
import msgspec

from actors.clock_guard import ClockState
from schemas.records import DocumentRecord

from . import rows, statements

FUTURE = timedelta(hours=25)  # a publisher's clock may be ahead of the log's by a day


class UpkeepReads:
    """Questions over a read-only connection; fits ``actors.upkeep.Upkeep``."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def ran(self) -> timedelta:
        """Return how long the service has run on this database, as far as that was stored."""
        found = list(await self._connection.execute_fetchall(statements.RAN))
        return timedelta(milliseconds=found[0][0]) if found else timedelta()

    async def clock(self) -> ClockState:
        """Return what is believed of the wall clock."""
        found = list(await self._connection.execute_fetchall(statements.CLOCK))
        return rows.clock_state(found[0]) if found else ClockState()

    async def first_sweep(self) -> datetime | None:
        """Return when the janitor looked for the first time: this database is not much older."""
        found = list(await self._connection.execute_fetchall(statements.FIRST_SWEEP))
        return rows.moment(found[0][0]) if found else None

    async def expired(
        self, now: datetime, limit: int, *, with_archived: bool
    ) -> list[DocumentRecord]:
        """Return documents that have ended and outlived their retention, the oldest first."""
        statement = statements.EXPIRED if with_archived else statements.EXPIRED_YET_KEPT
        return await self._documents(statement, {"now": rows.milliseconds(now), "limit": limit})

    async def can_expire(self) -> int:
        """Return how many documents are kept that will expire some day."""
        found = list(await self._connection.execute_fetchall(statements.CAN_EXPIRE))
        return int(found[0][0])

    async def to_erase(self, limit: int) -> list[DocumentRecord]:
        """Return removed documents whose bytes may still lie in the store."""
        return await self._documents(statements.TO_ERASE, {"limit": limit})

    async def unfinished(
        self, before: datetime, after: DocumentRecord | None, limit: int
    ) -> list[DocumentRecord]:
        """Return documents submitted ``before`` then that have not ended, oldest first.

        ``after`` is the last one of the portion before. Those from the future, of a clock that was
        ahead, come last.
        """
        wanted = {
            "before": rows.milliseconds(before),
            "future": rows.milliseconds(before + FUTURE),
            "after": rows.milliseconds(after.submitted_at) if after else rows.EARLIEST,
            "after_tenant": after.tenant if after else "",
            "after_id": after.document_id if after else "",
            "limit": limit,
        }
        return await self._documents(statements.UNFINISHED, wanted)

    async def among(self, names: Iterable[tuple[str, str]]) -> list[DocumentRecord]:
        """Return those documents of these (tenant, id) that are known."""
        wanted = {"names": msgspec.json.encode(list(names)).decode()}
        return await self._documents(statements.DOCUMENTS_AMONG, wanted)

    async def _documents(
        self, statement: str, wanted: Mapping[str, object]
    ) -> list[DocumentRecord]:
        found = await self._connection.execute_fetchall(statement, wanted)
        return [rows.document_record(row) for row in found]
