"""A failed document that is requeued begins anew; of before, nothing counts any more."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.documents import AnyDocumentEvent, DocumentArchived
from tests import events
from tests.ilios.database.books import Books, history, opened


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with opened(tmp_path / "ilios.db") as books:
        yield books


@pytest.mark.parametrize(
    "again",
    [
        [events.submitted(), events.fetched(), events.converted()],
        [events.fetched(), events.converted()],
        [events.converted()],
    ],
    ids=["from its beginning", "from the engine on", "from its result on"],
)
@pytest.mark.parametrize("grouped", ["in one group", "one by one"])
async def test_a_failed_document_that_is_requeued_completes_and_is_billed_once(
    books: Books, again: list[AnyDocumentEvent], grouped: str
) -> None:
    said = [events.requeued(event) for event in again]
    entries = history(events.submitted(), events.fetched(), events.failed(), *said, *said)
    for group in [entries] if grouped == "in one group" else [[entry] for entry in entries]:
        await books.apply(*group)
    record = await books.reads.document("default", events.name(1))
    assert record
    assert (record.state, record.code, record.reason, record.requeues) == (
        "completed",
        None,
        None,
        1,
    )
    assert len(await books.table("usage")) == 1


async def test_what_was_said_before_a_document_was_requeued_counts_no_more(books: Books) -> None:
    late: list[AnyDocumentEvent] = [events.failed(code="late"), events.converted(pages=99)]
    late.insert(1, events.fetched(key="late"))
    await books.apply(*history(events.submitted(), events.failed()))
    await books.apply(*history(events.requeued(events.fetched()), *late, first=3))
    record = await books.reads.document("default", events.name(1))
    assert record
    assert (record.state, record.code, record.finished_at) == ("processing", None, None)
    assert record.original == events.fetched().original
    assert await books.table("usage") == []


@pytest.mark.parametrize("end", [events.converted(), events.cancelled(), events.archived()])
async def test_only_what_has_failed_can_be_requeued(books: Books, end: AnyDocumentEvent) -> None:
    ended = [events.failed(), end] if isinstance(end, DocumentArchived) else [end]
    await books.apply(*history(events.submitted(), events.fetched(), *ended))
    before = await books.table("documents"), await books.table("usage")
    again: list[AnyDocumentEvent] = [events.submitted(), events.fetched(), events.converted()]
    await books.apply(*history(*map(events.requeued, again), first=6))
    assert (await books.table("documents"), await books.table("usage")) == before
