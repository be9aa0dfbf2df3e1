"""What the edge asks of the database. Every question names the tenant."""

import aiosqlite

from actors.ports import OpenBatch
from ilios.database import rows, statements
from schemas.records import BatchRecord, DocumentRecord


class SqliteDocumentQueries:
    """Questions over a read-only connection; never in the writer's way."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def document(self, tenant: str, document_id: str) -> DocumentRecord | None:
        """Return the tenant's document, or None: unknown and somebody else's look the same."""
        found = list(
            await self._connection.execute_fetchall(
                statements.DOCUMENT, {"tenant": tenant, "id": document_id}
            )
        )
        return rows.document_record(found[0]) if found else None

    async def ping(self) -> None:
        """Ask the database anything.

        :raises sqlite3.Error: it does not answer.
        """
        await self._connection.execute_fetchall(statements.PING)


BEFORE_ALL_IDS = ""
"""Sorts before every id."""


class SqliteBatchQueries:
    """Questions over a read-only connection; fits ``actors.ports.Batches``."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch with its progress, or None."""
        found = list(
            await self._connection.execute_fetchall(
                statements.BATCH, {"tenant": tenant, "id": batch_id}
            )
        )
        return rows.batch_record(found[0]) if found else None

    async def documents(
        self, tenant: str, batch_id: str, after: str = BEFORE_ALL_IDS, limit: int = 100
    ) -> list[DocumentRecord]:
        """Return documents of a batch in its order, those whose ids come after ``after``."""
        wanted = {"tenant": tenant, "id": batch_id, "after": after, "limit": limit}
        found = await self._connection.execute_fetchall(statements.DOCUMENTS_OF_BATCH, wanted)
        return [rows.document_record(row) for row in found]

    async def held_documents(self, limit: int) -> list[DocumentRecord]:
        """Return documents that wait for a batch of their engine's, batch by batch."""
        found = await self._connection.execute_fetchall(statements.HELD_DOCUMENTS, {"limit": limit})
        return [rows.document_record(row) for row in found]

    async def engine_jobs(self) -> list[tuple[str, str]]:
        """Return the tenant and id of every batch whose engine batch has not ended."""
        found = await self._connection.execute_fetchall(statements.ENGINE_JOBS)
        return [(str(tenant), str(batch_id)) for tenant, batch_id in found]

    async def open_batches(self) -> list[OpenBatch]:
        """Return every batch that is not known to be complete."""
        batches: dict[tuple[str, str], set[str]] = {}
        for tenant, batch_id, document_id, ended in await self._connection.execute_fetchall(
            statements.OPEN_BATCHES
        ):
            unfinished = batches.setdefault((tenant, batch_id), set())
            if not ended:
                unfinished.add(document_id)
        return [OpenBatch(*name, frozenset(ids)) for name, ids in batches.items()]
