"""What is asked often is found by an index: nothing reads through all documents there are."""

from pathlib import Path

import pytest

from ilios.database import rows, statements
from tests.ilios.database.db import open_database

FOUND_BY = {
    "BATCH": "d USING COVERING INDEX documents_of_batch (tenant=? AND batch_id=?)",
    "DOCUMENTS_OF_BATCH": "d USING INDEX documents_of_batch (tenant=? AND batch_id=?)",
    "OPEN_BATCHES": "d USING COVERING INDEX documents_of_batch (tenant=? AND batch_id=?)",
    "EXPIRED": "d USING INDEX documents_expiring (state=? AND expires_at<?)",
    "EXPIRED_YET_KEPT": "d USING INDEX documents_expiring (state=? AND expires_at<?)",
    "CAN_EXPIRE": "documents USING COVERING INDEX documents_expiring (state=?)",
    "TO_ERASE": "d USING INDEX documents_to_erase",
    "UNFINISHED": "d USING INDEX documents_unfinished",
    "DOCUMENTS_AMONG": "d USING PRIMARY KEY (tenant=? AND id=?)",
    "COMPLETED_AMONG": "d USING PRIMARY KEY (tenant=? AND id=?)",
    "ERASED": "documents USING PRIMARY KEY (tenant=? AND id=?)",
}
PARAMETERS = {
    "tenant": "default", "id": "a", "after": rows.EARLIEST, "after_tenant": "", "after_id": "",
    "before": rows.LATEST, "future": rows.LATEST, "now": 0, "limit": 1, "names": "[]", "at": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND_BY)
async def test_documents_are_found_by_an_index(tmp_path: Path, name: str) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        plan = await db.connection.fetchall(
            f"EXPLAIN QUERY PLAN {getattr(statements, name)}", PARAMETERS
        )
    assert [line for *_, line in plan if f"SEARCH {FOUND_BY[name]}" in line], list(plan)
