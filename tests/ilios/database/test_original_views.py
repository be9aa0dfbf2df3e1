"""The views show our rows in the tables of the original service."""

import re
import shlex
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from ilios.database.connection import read_only_uri
from schemas.documents import DocumentCancelled
from tests import batch_events, events
from tests.ilios.database.db import Database, history, open_database

PAGE = Path(__file__).parents[3] / "docs/database.md"
EXAMPLES = re.findall(r"^sqlite3 \./data/ilios\.db .+$", PAGE.read_text(), re.MULTILINE)

ORIGINAL_COLUMNS = {
    "original_documents": (
        "id file_name mime_type file_size s3_key content metadata status error created_at "
        "processed_at archived_at retention_days user_id api_key batch_id"
    ),
    "original_usage": (
        "id document_id user_id api_key operation input_tokens output_tokens base_cost_cents "
        "margin_rate total_cost_cents created_at"
    ),
    "job_queue": (
        "id document_id type status priority attempts max_attempts payload result error worker_id "
        "scheduled_at started_at completed_at created_at"
    ),
    "original_batches": (
        "id user_id api_key total_documents completed_documents failed_documents status priority "
        "batch_type mistral_batch_job_id mistral_input_file_id mistral_output_file_id created_at "
        "completed_at metadata"
    ),
}
SUBMITTED = int(events.SUBMITTED_AT.timestamp())


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        await database.apply(
            *history(
                *(events.submitted(number) for number in range(1, 7)),
                *(events.fetched(number) for number in (1, 2, 3, 5, 6)),
                events.converted(1),
                events.failed(2),
                DocumentCancelled(document_id=events.id_of(4)),
                events.converted(5),
                events.deleted(5),
                events.failed(6),
                events.requeued(events.submitted(6)),
            )
        )
        yield database


def look(path: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
        return connection.execute(question).fetchall()


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
async def test_an_example_of_the_page_works_on_our_file(
    db: Database, tmp_path: Path, example: str
) -> None:
    _, _, question = shlex.split(example)
    assert look(tmp_path / "ilios.db", question)


async def test_both_examples_of_the_original_are_on_the_page() -> None:
    questions = {shlex.split(example)[2].rstrip(";") for example in EXAMPLES}
    assert questions >= {
        "SELECT id, status, type, attempts, error FROM job_queue",
        "SELECT id, attempts, max_attempts FROM job_queue WHERE status='processing'",
    }


@pytest.mark.parametrize(("view", "columns"), ORIGINAL_COLUMNS.items())
async def test_a_view_has_the_columns_of_the_original(
    db: Database, view: str, columns: str
) -> None:
    found = await db.connection.fetchall(f"SELECT name FROM pragma_table_info('{view}')")
    assert [name for (name,) in found] == columns.split()


async def test_a_job_has_the_state_the_attempts_and_the_times_of_its_document(
    db: Database,
) -> None:
    rows = await db.connection.fetchall(
        "SELECT id, status, attempts, max_attempts, error FROM job_queue ORDER BY id"
    )
    assert rows == [
        (events.id_of(1), "completed", 1, 4, None),
        (events.id_of(2), "failed", 2, 4, "It is."),
        (events.id_of(3), "processing", 1, 4, None),
        (events.id_of(4), "failed", 1, 4, "The document was cancelled."),
        (events.id_of(5), "completed", 1, 4, None),
        (events.id_of(6), "retrying", 0, 4, None),
    ]
    ((created, scheduled, started, completed),) = await db.connection.fetchall(
        "SELECT created_at, scheduled_at, started_at, completed_at FROM job_queue WHERE id = ?",
        (events.id_of(1),),
    )
    assert created == scheduled == SUBMITTED
    assert created <= started <= completed


async def test_documents_and_usage_are_in_seconds_and_cents_and_name_no_key(db: Database) -> None:
    rows = await db.connection.fetchall(
        "SELECT id, status, created_at, api_key, json_extract(metadata, '$.extractedPages') "
        "FROM original_documents ORDER BY id"
    )
    statuses = ["completed", "failed", "processing", "failed", "archived", "pending"]
    pages = [3, None, None, None, 3, None]
    assert rows == [
        (events.id_of(number), status, SUBMITTED, "default", count)
        for number, status, count in zip(range(1, 7), statuses, pages, strict=True)
    ]
    # Three pages at 0.1 cents and 30 percent are 0.39 cents.
    assert await db.connection.fetchall(
        "SELECT document_id, operation, input_tokens, base_cost_cents, margin_rate, "
        "total_cost_cents FROM original_usage ORDER BY id"
    ) == [(events.id_of(number), "convert", 12, 0, 30, 0) for number in (1, 5)]


async def test_a_batch_is_counted_from_its_documents(db: Database) -> None:
    await db.apply(
        *history(
            batch_events.submitted(documents=3, priority=9),
            batch_events.of(events.fetched(), 1),
            batch_events.of(events.converted(), 1),
            batch_events.of(events.failed(), 2),
            first=100,
        )
    )
    counted = (
        "SELECT total_documents, completed_documents, failed_documents, status, priority, "
        "batch_type FROM original_batches"
    )
    assert await db.connection.fetchall(counted) == [(3, 1, 1, "processing", 9, "local")]
    await db.apply(*history(batch_events.of(events.failed(), 3), first=200))
    assert await db.connection.fetchall(counted) == [(3, 1, 2, "completed", 9, "local")]
