"""Frequent queries use an index and never scan all documents."""

import re
from pathlib import Path
from typing import get_args

import pytest

from ilios.database import changes, rows, statements
from schemas.events import AnyEvent
from schemas.states import (
    EXPIRABLE_STATES,
    REMOVED_STATES,
    UNFINISHED_STATES,
    DocumentState,
)
from tests.ilios.database.db import open_database

FOUND_BY = {
    "BATCH": "d USING COVERING INDEX documents_of_batch (tenant=? AND batch_id=?)",
    "DOCUMENTS_OF_BATCH": "d USING INDEX documents_of_batch (tenant=? AND batch_id=?)",
    "OPEN_BATCHES": "d USING COVERING INDEX documents_of_batch (tenant=? AND batch_id=?)",
    "EXPIRED_DOCUMENTS": "d USING INDEX documents_expiring (state=? AND expires_at<?)",
    "EXPIRED_NOT_ARCHIVED": "d USING INDEX documents_expiring (state=? AND expires_at<?)",
    "COUNT_EXPIRABLE": "documents USING COVERING INDEX documents_expiring (state=?)",
    "DOCUMENTS_TO_ERASE": "d USING INDEX documents_to_erase",
    "UNFINISHED_DOCUMENTS": "d USING INDEX documents_unfinished",
    "OVERDUE_DOCUMENTS": "d USING INDEX documents_due (deadline<?)",
    "DOCUMENTS_BY_ID": "d USING PRIMARY KEY (tenant=? AND id=?)",
    "COMPLETED_BY_ID": "d USING PRIMARY KEY (tenant=? AND id=?)",
    "SET_ERASED": "documents USING PRIMARY KEY (tenant=? AND id=?)",
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


async def test_every_state_is_in_the_schema_and_either_unfinished_or_terminal(
    tmp_path: Path,
) -> None:
    states = UNFINISHED_STATES + EXPIRABLE_STATES + REMOVED_STATES
    assert sorted(states) == sorted(get_args(DocumentState))
    async with open_database(tmp_path / "ilios.db") as db:
        ((schema,),) = await db.connection.fetchall(
            "SELECT sql FROM sqlite_schema WHERE name = 'documents'"
        )
    (states,) = re.findall(r"CHECK \(state IN \((.*?)\)\)", schema, re.DOTALL)
    assert set(re.findall(r"'(\w+)'", states)) == set(get_args(DocumentState))


def test_every_type_of_event_is_declared_once() -> None:
    assert set(changes._RULES) == set(get_args(AnyEvent))  # it is the declaration
