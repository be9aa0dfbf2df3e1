"""Rows of the original become events, whatever SQLite let it store; or they are refused."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from ilios.api_keys import tenant_of
from ilios.database.original import NotTheOriginal, OriginalBill, OriginalDocument, open_original
from ilios.former_documents import NotImportable, batch_event, document_event
from schemas.documents import Blob
from tests.events import SHA256
from tests.ilios.database.originals import CREATED, Original, make_original

NAME = "cm5x00000000000000000000"
MARKDOWN = Blob("markdown", 3, SHA256)
ROW = OriginalDocument(
    bill=OriginalBill(1, "convert", 100, 0, 7, 30, 10, CREATED + 9),
    row=1,
    id=NAME,
    file_name="paper.pdf",
    mime_type="application/pdf",
    s3_key="documents/1-paper.pdf",
    content="one\n\n---\n\ntwo",
    metadata=None,
    status="completed",
    error=None,
    created_at=CREATED,
    processed_at=CREATED + 60,
    retention_days=365,
    api_key=None,
    batch_id=None,
)


def test_a_bill_has_its_cents_and_pages_are_counted_where_none_are_noted() -> None:
    event = document_event(ROW, None, MARKDOWN)
    assert event.pages == 2
    assert event.usage is not None
    assert (event.usage.base_micros, event.usage.total_micros) == (70_000, 100_000)
    assert event.usage.created_at == datetime.fromtimestamp(CREATED + 9, UTC)
    assert event.tenant == "default"
    assert document_event(replace(ROW, api_key="a key"), None, MARKDOWN).tenant == tenant_of(
        "a key"
    )


def test_times_in_milliseconds_are_those_in_seconds() -> None:
    row = replace(ROW, created_at=CREATED * 1000, processed_at=None)
    event = document_event(row, None, MARKDOWN)
    assert event.submitted_at == event.finished_at == datetime.fromtimestamp(CREATED, UTC)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "short"},
        {"created_at": "yesterday"},
        {"created_at": 10**30},
        {"batch_id": "a batch"},
        {"retention_days": "long"},
        {"bill": replace(ROW.bill, total_cents=-1)},
    ],
    ids=str,
)
def test_a_row_that_no_event_can_have_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(NotImportable):
        document_event(replace(ROW, **change), None, MARKDOWN)


@pytest.mark.parametrize(
    "metadata", ["no JSON", "[1]", '{"extractedPages": "many"}', '{"pages": -1}']
)
def test_metadata_that_mean_nothing_are_ignored(metadata: str) -> None:
    assert document_event(replace(ROW, metadata=metadata), None, MARKDOWN).pages == 2


def test_all_rows_are_read_page_by_page_with_all_their_bills(tmp_path: Path) -> None:
    original = Original(tmp_path)
    names = [
        original.add(f"cm5x{number:020d}", "completed", None, bills=2) for number in range(120)
    ]
    original.add_batch("cm5xbatch000000000000000", None)
    with open_original(original.database) as database:
        rows = list(database.documents())
        (batch,) = database.batches()
    assert [row.id for row in rows] == names
    assert {(row.bill.count, row.bill.total_cents) for row in rows} == {(2, 6)}
    assert batch_event(batch).priority == 8


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    for path in (tmp_path / "missing", tmp_path / "text", tmp_path):
        with pytest.raises(NotTheOriginal), open_original(path):
            pass
    make_original(tmp_path / "early.db")  # without columns that are needed
    with pytest.raises(NotTheOriginal), open_original(tmp_path / "early.db") as database:
        list(database.documents())
