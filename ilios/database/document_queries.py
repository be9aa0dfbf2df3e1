"""What the edge asks of the database. Every question names the tenant."""

from ilios.database import rows, statements
from ilios.database.sqlite import Database
from schemas.records import DocumentRecord


class SqliteDocumentQueries:
    """Questions over a read-only connection; never in the writer's way."""

    def __init__(self, connection: Database) -> None:
        self._connection = connection

    async def document(self, tenant: str, document_id: str) -> DocumentRecord | None:
        """Return the tenant's document, or None: unknown and somebody else's look the same."""
        found = await self._connection.fetchall(
            statements.DOCUMENT, {"tenant": tenant, "id": document_id}
        )
        return rows.document_record(found[0]) if found else None

    async def ping(self) -> None:
        """Ask the database anything.

        :raises sqlite3.Error: it does not answer.
        """
        await self._connection.fetchall(statements.PING)
