"""An audit has every document with its bills, and the findings of SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from ilios.database.recovery import audit
from schemas.documents import Blob
from tests import batch_events, events
from tests.ilios.database.db import history, open_database

FIRST, SECOND = events.id_of(1), events.id_of(2)


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """A database with a completed document, a failed one, and a batch."""
    path = tmp_path / "ilios.db"
    async with open_database(path) as db:
        await db.apply(
            *history(
                events.submitted(1),
                events.fetched(1),
                events.converted(1),
                events.submitted(2),
                events.failed(2),
                batch_events.submitted(),
            )
        )
    return path


def _doctor(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


async def test_a_document_is_seen_with_its_bill(database: Path) -> None:
    found = audit.read_audit(database).documents[FIRST]
    assert (found.state, found.pages, found.bills, found.billed_pages) == ("completed", 3, 1, 3)
    assert found.keys == {"original", "markdown"}
    assert found.sha256 == events.SHA256


async def test_a_document_is_seen_with_its_result_and_the_pages_its_engine_billed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ilios.db"
    result = Blob("result", 3, events.SHA256)
    converted = structs.replace(events.converted(1), result=result, billed_pages=2)
    async with open_database(path) as db:
        await db.apply(*history(events.submitted(1), events.fetched(1), converted))
    found = audit.read_audit(path).documents[FIRST]
    assert found.keys == {"original", "markdown", "result"}
    assert (found.pages, found.pages_to_bill, found.billed_pages) == (3, 2, 2)


async def test_a_failed_document_is_seen_with_its_reason_and_without_a_bill(
    database: Path,
) -> None:
    found = audit.read_audit(database).documents[SECOND]
    assert (found.state, found.code, found.bills) == ("failed", "corrupt", 0)


async def test_a_batch_is_seen_with_its_documents_and_whether_it_is_closed(database: Path) -> None:
    found = audit.read_audit(database)
    assert list(found.batches.values()) == [False]
    assert {one.batch for one in found.documents.values()} == {None, *found.batches}


async def test_a_sound_database_has_no_damage(database: Path) -> None:
    found = audit.read_audit(database)
    assert found.damage == ()
    assert found.billed_for_nothing == ()


async def test_a_second_bill_under_another_operation_is_counted(database: Path) -> None:
    _doctor(
        database,
        "INSERT INTO usage (tenant, document_id, operation, engine, model, pages, input_tokens, "
        "output_tokens, created_at) SELECT tenant, document_id, 'convert-immediate', engine, "
        "model, pages, input_tokens, output_tokens, created_at FROM usage",
    )
    found = audit.read_audit(database).documents[FIRST]
    assert (found.bills, found.billed_pages) == (2, 6)


async def test_a_bill_that_is_gone_is_missed(database: Path) -> None:
    _doctor(database, "DELETE FROM usage")
    assert audit.read_audit(database).documents[FIRST].bills == 0


async def test_a_bill_of_no_document_is_found(database: Path) -> None:
    _doctor(database, f"DELETE FROM documents WHERE id = '{FIRST}'")
    found = audit.read_audit(database)
    assert found.billed_for_nothing == (FIRST,)
    assert any("usage" in complaint for complaint in found.damage)


async def test_an_index_that_differs_from_its_table_is_damage(database: Path) -> None:
    _doctor(
        database,
        "PRAGMA writable_schema = ON",
        # The index is declared to leave out what it contains.
        "UPDATE sqlite_schema SET sql = replace(sql, 'batch_id IS NOT NULL', 'batch_id IS NULL') "
        "WHERE name = 'documents_of_batch'",
    )
    assert audit.read_audit(database).damage


async def test_documents_of_two_tenants_with_one_id_are_distinct(
    database: Path,
) -> None:
    _doctor(database, "UPDATE documents SET tenant = 'other' WHERE pages IS NULL")
    found = audit.read_audit(database).documents
    assert f"other/{SECOND}" in found
    assert SECOND not in found
