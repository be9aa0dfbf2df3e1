"""The progress of a batch equals the states of its documents, for events in any order."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writes import LogEntry, ResetCursor
from ilios.database.queries import SqliteBatchQueries
from schemas.documents import AnyDocumentEvent, DocumentArchived, DocumentCancelled, DocumentDeleted
from schemas.events import AnyEvent
from schemas.records import BatchCounts, BatchRecord, DocumentRecord
from tests import batch_events, events
from tests.ilios.database.db import Database, history, open_database

ID = batch_events.id_of()
CANCELLED = DocumentCancelled(document_id=events.id_of(1))
DELETED = DocumentDeleted(document_id=events.id_of(1))
ARCHIVED = DocumentArchived(document_id=events.id_of(1))
DOCUMENTS = 3


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        yield database


async def batch(db: Database, number: int = 1) -> BatchRecord:
    found = await SqliteBatchQueries(db.connection).batch("default", batch_events.id_of(number))
    assert found is not None
    return found


def counted(documents: Sequence[DocumentRecord]) -> BatchCounts:
    """Count what the batch's documents are, one by one."""

    def kind(document: DocumentRecord) -> str:
        if document.state in ("pending", "processing"):
            return document.state
        return "failed" if document.code else "completed"

    return BatchCounts(total=len(documents), **Counter(map(kind, documents)))


def ended(place: int, *, well: bool = True) -> list[AnyEvent]:
    """Return the events of a document of the batch up to its end."""
    end = events.converted() if well else events.failed()
    return [batch_events.of(events.fetched(), place), batch_events.of(end, place)]


async def test_a_batch_and_its_documents_are_there_together(db: Database) -> None:
    await db.apply(*history(batch_events.submitted(documents=3, priority=9)))
    record = await batch(db)
    assert record.progress == BatchCounts(total=3, pending=3)
    assert (record.priority, record.submitted_at) == (9, events.SUBMITTED_AT)
    documents = await SqliteBatchQueries(db.connection).documents("default", ID)
    assert [document.document_id for document in documents] == [f"{ID}00{n}" for n in (1, 2, 3)]
    assert {document.batch_id for document in documents} == {ID}


async def test_the_documents_of_a_batch_can_be_read_page_by_page(db: Database) -> None:
    await db.apply(*history(batch_events.submitted(documents=5)))
    reads = SqliteBatchQueries(db.connection)
    first = await reads.documents("default", ID, limit=3)
    rest = await reads.documents("default", ID, after=first[-1].document_id, limit=3)
    assert [document.document_id[-1] for document in [*first, *rest]] == list("12345")


async def test_each_tenant_has_its_own_batches(db: Database) -> None:
    other = batch_events.submitted(documents=5, tenant="other")
    failed = batch_events.of(events.failed(), 1, tenant="other")
    await db.apply(*history(batch_events.submitted(), other, failed))
    assert (await batch(db)).progress == BatchCounts(total=2, pending=2)
    assert await SqliteBatchQueries(db.connection).batch("nobody", ID) is None
    assert len(await SqliteBatchQueries(db.connection).documents("other", ID)) == 5


@pytest.mark.parametrize(
    ("later_events", "progress"),
    [
        ([], BatchCounts(total=2, pending=2)),
        ([batch_events.of(events.fetched(), 1)], BatchCounts(total=2, processing=1, pending=1)),
        (ended(1), BatchCounts(total=2, completed=1, pending=1)),
        (ended(1, well=False), BatchCounts(total=2, failed=1, pending=1)),
        ([batch_events.of(CANCELLED, 1)], BatchCounts(total=2, failed=1, pending=1)),
        ([*ended(1), batch_events.of(DELETED, 1)], BatchCounts(total=2, completed=1, pending=1)),
        (
            [*ended(1, well=False), batch_events.of(DELETED, 1)],
            BatchCounts(total=2, failed=1, pending=1),
        ),
        ([*ended(1), batch_events.of(ARCHIVED, 1)], BatchCounts(total=2, completed=1, pending=1)),
    ],
)
async def test_events_of_a_document_count_for_its_batch(
    db: Database, later_events: list[AnyEvent], progress: BatchCounts
) -> None:
    await db.apply(*history(batch_events.submitted(), *later_events))
    assert (await batch(db)).progress == progress


async def test_the_end_of_a_batch_is_written_down_once(db: Database) -> None:
    log = history(batch_events.submitted(), *ended(1), *ended(2), batch_events.completed())
    await db.apply(*log)
    assert await SqliteBatchQueries(db.connection).open_batches() == []
    record = await batch(db)
    assert record.completed_at == log[-1].stored_at
    await db.apply(*history(batch_events.completed(), first=len(log) + 1))
    assert (await batch(db)).completed_at == log[-1].stored_at


async def test_open_batches_list_their_pending_documents(db: Database) -> None:
    published = [*ended(1), batch_events.of(CANCELLED, 2)]
    second = batch_events.submitted(2, documents=1)
    await db.apply(*history(batch_events.submitted(documents=3), second, *published))
    found = await SqliteBatchQueries(db.connection).open_batches()
    assert {batch.batch_id: batch.unfinished for batch in found} == {
        ID: frozenset({f"{ID}003"}),
        batch_events.id_of(2): frozenset({f"{batch_events.id_of(2)}001"}),
    }


@pytest.mark.parametrize("together", [True, False])
async def test_a_second_batch_under_an_id_adds_nothing_to_the_first(
    db: Database, *, together: bool
) -> None:
    log = history(
        batch_events.submitted(documents=2, priority=9), batch_events.submitted(documents=5)
    )
    for group in [log] if together else [[entry] for entry in log]:
        await db.apply(*group)
    record = await batch(db)
    assert (record.progress, record.priority) == (BatchCounts(total=2, pending=2), 9)
    assert len(await SqliteBatchQueries(db.connection).documents("default", ID)) == 2


async def test_a_submission_by_the_aggregator_changes_nothing(db: Database) -> None:
    await db.apply(*history(batch_events.submitted()))
    before = await db.table("documents")
    again = batch_events.of(events.submitted(file_name="other"), 1)
    await db.apply(*history(again, first=2))
    assert await db.table("documents") == before


OF_A_DOCUMENT: tuple[AnyDocumentEvent, ...] = (
    events.submitted(file_name="again"),
    events.fetched(),
    events.converted(),
    events.failed(),
    CANCELLED,
    DELETED,
    ARCHIVED,
)
PUBLISHED: st.SearchStrategy[AnyEvent] = st.sampled_from(
    [
        *(
            batch_events.of(event, place)
            for place in range(1, DOCUMENTS + 2)
            for event in OF_A_DOCUMENT
        ),
        batch_events.submitted(documents=DOCUMENTS + 1),
        batch_events.completed(),
    ]
)


async def progress_after_each(groups: Sequence[Sequence[LogEntry]]) -> list[BatchCounts]:
    """Apply groups to a database of their own, comparing counts and documents after each."""
    with TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "ilios.db") as db:
            await db.connection.execute("PRAGMA synchronous = OFF")
            found: list[BatchCounts] = []
            for group in groups:
                await db.apply(*group)
                documents = await SqliteBatchQueries(db.connection).documents("default", ID)
                found.append((await batch(db)).progress)
                assert found[-1] == counted(documents)
            await db.store.commit([ResetCursor("test")])  # type: ignore[list-item]
            await db.apply(*(entry for group in groups for entry in group))
            assert (await batch(db)).progress == found[-1], "read again, it is the same"
            return found


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_progress_of_a_batch_equals_the_states_of_its_documents(data: st.DataObject) -> None:
    published = data.draw(st.lists(PUBLISHED, max_size=25))
    entries = history(batch_events.submitted(documents=DOCUMENTS), *published)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(entries)))) | {len(entries)})
    groups = [entries[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]
    found = asyncio.run(progress_after_each(groups))
    assert {progress.total for progress in found} == {DOCUMENTS}
    for earlier, later in pairwise(found):
        assert later.completed + later.failed >= earlier.completed + earlier.failed
        assert later.completed >= earlier.completed
        assert later.failed >= earlier.failed
