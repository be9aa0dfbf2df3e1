"""Which blobs must be in the store: those of a few documents, found without reading through all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiosqlite

from ilios.database import rows, statements
from ilios.database.blob_names import OF_EACH, BlobNames
from tests.ilios.database.books import opened

BORN = datetime(2026, 1, 15, tzinfo=UTC)
INSERT = """
INSERT INTO documents (
    tenant, id, state, file_name, content_type, priority, retention_days, operation, submitted_at,
    submitted_sequence, expires_at, original_key, markdown_key, removed_at
) VALUES ('default', :id, :state, 'a.pdf', 'application/pdf', 5, 1, 'convert', :at, 1, :at,
    :original, :markdown, :removed)
"""


async def add(
    connection: aiosqlite.Connection, number: int, state: str, *, removed: bool = False
) -> None:
    is_done = state in ("completed", "archived")
    values = {
        "id": f"d{number}",
        "state": state,
        "at": rows.milliseconds(BORN + timedelta(hours=number)),
        "original": None if state == "pending" else f"original-{number}",
        "markdown": f"markdown-{number}" if is_done else None,
        "removed": rows.milliseconds(BORN) if removed else None,
    }
    await connection.execute(INSERT, values)


async def test_the_oldest_and_the_newest_are_named_and_no_removed_ones(tmp_path: Path) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        names = BlobNames(books.connection)
        assert await names.some() == []
        await add(books.connection, 0, "pending")  # whose bytes may lie elsewhere yet
        await add(books.connection, 1, "deleted", removed=True)
        assert await names.some() == []
        for number in range(2, 12):
            await add(books.connection, number, "completed")
        await add(books.connection, 12, "processing")
        found = await names.some()
        completed = [2, 3, 11, 10]
        assert found[: 2 * len(completed)] == [
            f"{kind}-{number}" for number in completed for kind in ("original", "markdown")
        ]
        assert found[2 * len(completed) :] == ["original-12"]
        assert len(completed) == 2 * OF_EACH
        since = await names.some(BORN + timedelta(hours=10))
        assert since == ["original-11", "markdown-11", "original-12"]


async def test_they_are_found_by_an_index(tmp_path: Path) -> None:
    async with opened(tmp_path / "ilios.db") as books:
        plan = await books.connection.execute_fetchall(
            f"EXPLAIN QUERY PLAN {statements.SAMPLED_BLOBS}", {"since": 0, "limit": 1}
        )
    lines = [line for *_, line in plan if "documents" in line]
    assert len(lines) == 4
    assert all("USING INDEX" in line and "TEMP B-TREE" not in line for line in lines), lines
