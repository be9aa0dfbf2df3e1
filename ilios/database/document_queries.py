"""Queries about documents and batches."""

import aiosqlite

from actors.ports import OpenBatch
from ilios.database import rows, statements
from schemas.records import BatchRecord, DocumentRecord


class SqliteDocumentQueries:
    """Queries about documents on a read-only connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def document(self, tenant: str, document_id: str) -> DocumentRecord | None:
        """Return a document of the tenant, or None."""
        found = list(
            await self._connection.execute_fetchall(
                statements.DOCUMENT, {"tenant": tenant, "id": document_id}
            )
        )
        return rows.document_record(found[0]) if found else None

    async def ping(self) -> None:
        """Check that the database answers.

        :raises sqlite3.Error: it does not.
        """
        await self._connection.execute_fetchall(statements.PING)


BEFORE_ALL_IDS = ""
"""Sorts before every id."""


class SqliteBatchQueries:
    """Queries about batches on a read-only connection, for ``actors.ports.BatchQueries``."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return a batch of the tenant with its progress, or None."""
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
        """Return documents that wait for a batch of their engine, batch by batch."""
        found = await self._connection.execute_fetchall(statements.HELD_DOCUMENTS, {"limit": limit})
        return [rows.document_record(row) for row in found]

    async def engine_jobs(self) -> list[tuple[str, str]]:
        """Return the tenant and id of every batch whose engine batch has not ended."""
        found = await self._connection.execute_fetchall(statements.ENGINE_JOBS)
        return [(str(tenant), str(batch_id)) for tenant, batch_id in found]

    async def open_batches(self) -> list[OpenBatch]:
        """Return every batch that is not complete."""
        batches: dict[tuple[str, str], set[str]] = {}
        for tenant, batch_id, document_id, ended in await self._connection.execute_fetchall(
            statements.OPEN_BATCHES
        ):
            unfinished = batches.setdefault((tenant, batch_id), set())
            if not ended:
                unfinished.add(document_id)
        return [OpenBatch(*name, frozenset(ids)) for name, ids in batches.items()]
