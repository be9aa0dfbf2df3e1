"""Reading of the database of the service that ilios replaces; it is never written."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from ilios.database.connection import read_only_uri

PAGE_ROWS = 50  # documents in memory at a time, each with its content
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_COLUMNS = "SELECT name FROM pragma_table_info(:table)"
_DOCUMENTS = """
SELECT
    d.rowid, d.id, d.file_name, d.mime_type, d.s3_key, d.content, d.metadata, d.status, d.error,
    d.created_at, d.processed_at, d.retention_days, d.api_key, {batch_id},
    count(u.id), min(u.operation), ifnull(sum(u.input_tokens), 0), ifnull(sum(u.output_tokens), 0),
    ifnull(sum(u.base_cost_cents), 0), max(u.margin_rate), ifnull(sum(u.total_cost_cents), 0),
    min(u.created_at)
FROM documents AS d LEFT JOIN usage AS u ON u.document_id = d.id
WHERE d.rowid > :after
GROUP BY d.rowid ORDER BY d.rowid LIMIT :limit
"""
_BATCHES = """
SELECT id, api_key, priority, created_at, completed_at FROM batches ORDER BY rowid
"""


def _decode(text: bytes) -> str:
    return text.decode(errors="replace")


class NotTheOriginal(Exception):
    """The file is no database of that service; the message has the reason."""


class OriginalBill(Struct, frozen=True):
    """All bills of a document, added up; ``margin`` is the highest. Costs are in cents."""

    count: int
    operation: str | None
    input_tokens: int
    output_tokens: int
    base_cents: int
    margin: int | None
    total_cents: int
    created_at: int | None


class OriginalDocument(Struct, frozen=True):
    """A row of a document with its bills. Times are seconds, or milliseconds, since 1970."""

    bill: OriginalBill
    row: int
    id: str
    file_name: str
    mime_type: str
    s3_key: str
    content: str | None
    metadata: str | None
    status: str
    error: str | None
    created_at: int
    processed_at: int | None
    retention_days: int | None
    api_key: str | None
    batch_id: str | None


class OriginalBatch(Struct, frozen=True):
    """A row of a batch."""

    id: str
    api_key: str | None
    priority: int | None
    created_at: int
    completed_at: int | None


class OriginalDatabase:
    """The open database of the original."""

    def __init__(self, connection: sqlite3.Connection, tables: set[str]) -> None:
        self._connection = connection
        self._tables = tables
        named = connection.execute(_COLUMNS, {"table": "documents"})
        has_batches = "batch_id" in {name for (name,) in named}
        self._documents = _DOCUMENTS.format(batch_id="d.batch_id" if has_batches else "NULL")

    def batches(self) -> list[OriginalBatch]:
        """Return all batches; early versions have none."""
        if "batches" not in self._tables:
            return []
        return [OriginalBatch(*row) for row in self._connection.execute(_BATCHES)]

    def documents(self) -> Iterator[OriginalDocument]:
        """Yield all documents in the order of their submission."""
        after = -1
        while True:
            page = {"after": after, "limit": PAGE_ROWS}
            rows = self._connection.execute(self._documents, page).fetchall()
            for row in rows:
                yield OriginalDocument(OriginalBill(*row[14:]), *row[:14])
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1][0]


@contextmanager
def open_original(path: Path) -> Iterator[OriginalDatabase]:
    """Open the file for reading, also while its service runs.

    :raises NotTheOriginal: it is another file, or cannot be read.
    """
    if not path.is_file():
        raise NotTheOriginal(f"{path} is not a file")
    try:
        with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
            connection.text_factory = _decode
            tables = {str(name) for (name,) in connection.execute(_TABLES)}
            if not tables >= {"documents", "usage", "job_queue"}:
                found = ", ".join(sorted(tables)[:5]) or "none"
                raise NotTheOriginal(
                    f"{path} is no database of the original service: its tables are {found}"
                )
            yield OriginalDatabase(connection, tables)
    except sqlite3.Error as error:
        raise NotTheOriginal(f"{path} cannot be read: {error}") from error
