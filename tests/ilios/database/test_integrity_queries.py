"""Which blobs must be in the store: those of a few documents, found without reading through all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ilios.database import rows, statements
from ilios.database.queries import SAMPLES_PER_KIND, SqliteBlobSamples
from ilios.database.sqlite import Database
from tests.ilios.database.db import open_database

BORN = datetime(2026, 1, 15, tzinfo=UTC)
INSERT = """
INSERT INTO documents (
    tenant, id, state, file_name, content_type, priority, retention_days, operation, submitted_at,
    submitted_sequence, expires_at, original_key, markdown_key, removed_at
) VALUES ('default', :id, :state, 'a.pdf', 'application/pdf', 5, 1, 'convert', :at, 1, :at,
    :original, :markdown, :removed)
"""


async def add(connection: Database, number: int, state: str, *, removed: bool = False) -> None:
    is_done = state in ("completed", "archived")
    values = {
        "id": f"d{number}",
        "state": state,
        "at": rows.to_milliseconds(BORN + timedelta(hours=number)),
        "original": None if state == "pending" else f"original-{number}",
        "markdown": f"markdown-{number}" if is_done else None,
        "removed": rows.to_milliseconds(BORN) if removed else None,
    }
    await connection.execute(INSERT, values)


async def test_the_oldest_and_the_newest_are_named_and_no_removed_ones(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        names = SqliteBlobSamples(db.connection)
        assert await names.sample_keys() == []
        await add(db.connection, 0, "pending")  # whose bytes may lie elsewhere yet
        await add(db.connection, 1, "deleted", removed=True)
        assert await names.sample_keys() == []
        for number in range(2, 12):
            await add(db.connection, number, "completed")
        await add(db.connection, 12, "processing")
        found = await names.sample_keys()
        completed = [2, 3, 11, 10]
        assert found[: 2 * len(completed)] == [
            f"{kind}-{number}" for number in completed for kind in ("original", "markdown")
        ]
        assert found[2 * len(completed) :] == ["original-12"]
        assert len(completed) == 2 * SAMPLES_PER_KIND
        since = await names.sample_keys(BORN + timedelta(hours=10))
        assert since == ["original-11", "markdown-11", "original-12"]


async def test_they_are_found_by_an_index(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        plan = await db.connection.fetchall(
            f"EXPLAIN QUERY PLAN {statements.SAMPLED_BLOBS}", {"since": 0, "limit": 1}
        )
    lines = [line for *_, line in plan if "documents" in line]
    assert len(lines) == 4
    assert all("USING INDEX" in line and "TEMP B-TREE" not in line for line in lines), lines
