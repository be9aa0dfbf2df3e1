"""Queries of the edge, the janitor and the checks, over read-only connections.

They do not wait for the writer. Every query of the edge is about one tenant.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from actors.persister import NAME
from actors.ports import OpenBatch
from actors.writes import ClockState, Cursor
from bus.subjects import StreamIdentity
from ilios.database import (
    clock_statements,
    history,
    queue_statements,
    rows,
    statements,
    usage_statements,
)
from ilios.database.inline import InlineReader
from ilios.database.sqlite import Database
from schemas.records import (
    BatchRecord,
    DocumentHistory,
    DocumentRecord,
    OperationUsage,
    QueuedDocument,
    UsageTotal,
)


class SqliteDocumentQueries:
    """Queries about single documents."""

    def __init__(self, connection: Database, inline: InlineReader | None = None) -> None:
        self._connection = connection
        self._lookups = inline or connection

    async def document(self, tenant: str, document_id: str) -> DocumentRecord | None:
        """Return the tenant's document, or None, also for the document of another tenant."""
        found = await self._lookups.fetchall(
            statements.DOCUMENT, {"tenant": tenant, "id": document_id}
        )
        return rows.document_record(found[0]) if found else None

    async def history(self, tenant: str, document_id: str) -> DocumentHistory:
        """Return what is recorded of the tenant's document, in no order."""
        wanted = {"tenant": tenant, "id": document_id}
        found = await self._connection.fetchall(history.OF_DOCUMENT, wanted)
        ((cost,),) = await self._connection.fetchall(history.COST, wanted)
        return DocumentHistory(steps=tuple(map(rows.history_step, found)), total_micros=cost)

    async def queue(self, limit: int) -> list[QueuedDocument]:
        """Return the oldest documents of all tenants that have not ended, for estimates."""
        found = await self._connection.fetchall(queue_statements.QUEUE, {"limit": limit})
        return [rows.queued_document(row) for row in found]

    async def ping(self) -> None:
        """Execute the cheapest query, as a health check.

        :raises sqlite3.Error: the database cannot be read.
        """
        await self._connection.fetchall(statements.PING)


BEFORE_ALL_IDS = ""
"""Sorts before every id."""


class SqliteBatchQueries:
    """Queries about batches: ``actors.ports.BatchQueries``, and those of the edge."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch with its progress, or None."""
        found = await self._connection.fetchall(
            statements.BATCH, {"tenant": tenant, "id": batch_id}
        )
        return rows.batch_record(found[0]) if found else None

    async def documents(
        self, tenant: str, batch_id: str, after: str = BEFORE_ALL_IDS, limit: int = 100
    ) -> list[DocumentRecord]:
        """Return the documents of a batch by id, from the one that follows ``after``."""
        wanted = {"tenant": tenant, "id": batch_id, "after": after, "limit": limit}
        found = await self._connection.fetchall(statements.DOCUMENTS_OF_BATCH, wanted)
        return [rows.document_record(row) for row in found]

    async def held_documents(self, limit: int) -> list[DocumentRecord]:
        """Return documents that wait for a batch of their engine, batch by batch."""
        found = await self._connection.fetchall(statements.HELD_DOCUMENTS, {"limit": limit})
        return [rows.document_record(row) for row in found]

    async def engine_jobs(self) -> list[tuple[str, str]]:
        """Return the tenant and id of every batch whose engine batch has not ended."""
        found = await self._connection.fetchall(statements.ENGINE_JOBS)
        return [(str(tenant), str(batch_id)) for tenant, batch_id in found]

    async def open_batches(self) -> list[OpenBatch]:
        """Return every batch that is not complete in the database."""
        batches: dict[tuple[str, str], set[str]] = {}
        for tenant, batch_id, document_id, ended in await self._connection.fetchall(
            statements.OPEN_BATCHES
        ):
            unfinished = batches.setdefault((tenant, batch_id), set())
            if not ended:
                unfinished.add(document_id)
        return [OpenBatch(*name, frozenset(ids)) for name, ids in batches.items()]


TimeRange = tuple[datetime | None, datetime | None]
"""The first and the last millisecond of a range; None leaves an end open."""


class SqliteUsageQueries:
    """Queries about usage and its cost."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def total(self, tenant: str, within: TimeRange = (None, None)) -> UsageTotal:
        """Return the usage of a tenant for conversions that ended ``within`` a time."""
        wanted = _parameters(tenant, within)
        (
            (documents, operations, pages, tokens_in, tokens_out, micros),
        ) = await self._connection.fetchall(usage_statements.USAGE_TOTAL, wanted)
        return UsageTotal(
            documents=documents,
            operations=operations,
            pages=pages,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            total_micros=micros,
        )

    async def by_operation(
        self, tenant: str, within: TimeRange = (None, None)
    ) -> list[OperationUsage]:
        """Return the same by operation, in the order of names, without unused operations."""
        found = await self._connection.fetchall(
            usage_statements.USAGE_BY_OPERATION, _parameters(tenant, within)
        )
        return [
            OperationUsage(
                operation=operation,
                operations=operations,
                pages=pages,
                input_tokens=tokens_in,
                output_tokens=tokens_out,
                total_micros=micros,
            )
            for operation, operations, pages, tokens_in, tokens_out, micros in found
        ]


def _parameters(tenant: str, within: TimeRange) -> dict[str, object]:
    first, last = within
    return {
        "tenant": tenant,
        "first": rows.EARLIEST if first is None else rows.to_milliseconds(first),
        "last": rows.LATEST if last is None else rows.to_milliseconds(last),
    }


class SqliteLogQueries:
    """Queries about how far the database was written from the log."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def cursor(self) -> Cursor | None:
        """Return the cursor of the persister, or None if nothing was ever written."""
        found = await self._connection.fetchall(statements.GET_CURSOR, {"reader": NAME})
        return Cursor(*found[0]) if found else None

    async def ended_floor(self, log: StreamIdentity) -> int:
        """Return the sequence of ``log`` up to which every document has ended.

        0 for another log, and for one that has lost its end: its new events have the sequences of
        the lost ones.
        """
        wanted = {"reader": NAME, "created": log.created, "last": log.last_sequence}
        found = await self._connection.fetchall(statements.ENDED_FLOOR, wanted)
        return max(0, int(found[0][0])) if found else 0

    async def any_submitted_between(self, first: int, last: int) -> bool:
        """Whether a document was submitted by one of these events."""
        wanted = {"first": first, "last": last}
        found = await self._connection.fetchall(statements.ANY_SUBMITTED_BETWEEN, wanted)
        return bool(found[0][0])


# Documents: the oldest and the newest of those that have ended, and of unfinished ones.
SAMPLES_PER_KIND = 2
EPOCH = datetime.fromtimestamp(0, UTC)


class SqliteBlobSamples:
    """A sample of blobs that must exist."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def sample_keys(self, since: datetime = EPOCH) -> list[str]:
        """Return keys of a few documents that were submitted ``since`` then: oldest and newest."""
        wanted = {"since": rows.to_milliseconds(since), "limit": SAMPLES_PER_KIND}
        found = await self._connection.fetchall(statements.SAMPLED_BLOBS, wanted)
        return list(dict.fromkeys(key for row in found for key in row if key is not None))


MAX_CLOCK_LEAD = timedelta(
    hours=25
)  # the clock of a publisher may be ahead of that of the log by a day


class SqliteMaintenanceQueries:
    """Queries of the janitor (``actors.ports.MaintenanceQueries``). Results are bounded."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def running_time(self) -> timedelta:
        """Return the stored running time of the service on this database."""
        found = await self._connection.fetchall(clock_statements.RUNNING_TIME)
        return timedelta(milliseconds=found[0][0]) if found else timedelta()

    async def clock_state(self) -> ClockState:
        """Return the stored state of the clock guard."""
        found = await self._connection.fetchall(clock_statements.CLOCK_STATE)
        return rows.clock_state(found[0]) if found else ClockState()

    async def first_sweep_at(self) -> datetime | None:
        """Return the time of the first pass, which is about the age of the database."""
        found = await self._connection.fetchall(clock_statements.FIRST_SWEEP)
        return rows.from_milliseconds(found[0][0]) if found else None

    async def expired_documents(
        self, now: datetime, limit: int, *, with_archived: bool
    ) -> list[DocumentRecord]:
        """Return ended documents whose retention is over, the oldest first."""
        statement = (
            statements.EXPIRED_DOCUMENTS if with_archived else statements.EXPIRED_NOT_ARCHIVED
        )
        return await self._documents(statement, {"now": rows.to_milliseconds(now), "limit": limit})

    async def count_expirable(self) -> int:
        """Return the number of ended documents that will expire."""
        found = await self._connection.fetchall(statements.COUNT_EXPIRABLE)
        return int(found[0][0])

    async def documents_to_erase(self, limit: int) -> list[DocumentRecord]:
        """Return removed documents whose bytes are not recorded as erased."""
        return await self._documents(statements.DOCUMENTS_TO_ERASE, {"limit": limit})

    async def unfinished_documents(
        self, before: datetime, after: DocumentRecord | None, limit: int
    ) -> list[DocumentRecord]:
        """Return documents submitted ``before`` then that have not ended, oldest first.

        ``after`` is the last one of the previous portion. Those from the future, of a clock that
        was ahead, come last.
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

    async def overdue_documents(self, now: datetime, limit: int) -> list[DocumentRecord]:
        """Return unfinished documents whose deadline has passed, the earliest first."""
        wanted = {"now": rows.to_milliseconds(now), "limit": limit}
        return await self._documents(statements.OVERDUE_DOCUMENTS, wanted)

    async def lookup(self, names: Iterable[tuple[str, str]]) -> list[DocumentRecord]:
        """Return the existing documents of these (tenant, id)."""
        wanted = {"names": msgspec.json.encode(list(names)).decode()}
        return await self._documents(statements.DOCUMENTS_BY_ID, wanted)

    async def _documents(
        self, statement: str, wanted: Mapping[str, object]
    ) -> list[DocumentRecord]:
        found = await self._connection.fetchall(statement, wanted)
        return [rows.document_record(row) for row in found]
