"""The effects of events on the stream of a document are those in the database, each once."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from ilios.edge.events.progress import BatchProgress, DocumentProgress
from schemas.batches import BatchProgressed
from schemas.documents import AnyDocumentEvent, DocumentConverted
from schemas.event_replies import EventName
from tests import batch_events, events
from tests.ilios.database.db import history, open_database
from tests.ilios.database.test_histories import plausible

EVENTS = st.sampled_from(
    [
        events.fetched(),
        events.converted(),
        events.failed(),
        events.submitted(),
        events.cancelled(),
        events.deleted(),
        events.deleted(cause="expired"),
        events.requeued(events.submitted()),
        events.requeued(events.fetched()),
        events.requeued(events.converted()),
        events.requeued(events.failed(), 2),
    ]
)
STATES: dict[EventName | None, str] = {
    "document.submitted": "pending",
    "document.processing": "processing",
    "document.completed": "completed",
    "document.failed": "failed",
    "document.cancelled": "cancelled",
    "document.deleted": "deleted",
}


def names_of(published: list[AnyDocumentEvent]) -> list[EventName]:
    progress = DocumentProgress()
    return [name for event in published if (name := progress.apply(event))]


def announced(published: list[AnyDocumentEvent]) -> list[AnyDocumentEvent]:
    """Add what the persister publishes behind each conversion."""
    found: list[AnyDocumentEvent] = []
    for event in published:
        found.append(event)
        if isinstance(event, DocumentConverted):
            found.append(events.completed())
    return found


async def state_in_database(published: list[AnyDocumentEvent]) -> str:
    with TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "ilios.db") as db:
            await db.connection.execute("PRAGMA synchronous = OFF")
            await db.apply(*history(*published))
            record = await db.reads.document("default", events.id_of(1))
            assert record
            return record.state


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=12))
def test_the_last_effect_is_the_state_in_the_database(published: list[AnyDocumentEvent]) -> None:
    log = cast("list[AnyDocumentEvent]", [events.submitted(), *plausible(published)])
    found = names_of(announced(log))
    expected = asyncio.run(state_in_database(log))
    assert STATES[found[-1]] == expected


@given(st.lists(EVENTS, max_size=12), st.data())
def test_an_event_that_the_log_has_again_has_no_second_effect(
    published: list[AnyDocumentEvent], data: st.DataObject
) -> None:
    log = announced(cast("list[AnyDocumentEvent]", [events.submitted(), *plausible(published)]))
    again: list[AnyDocumentEvent] = []
    for place, event in enumerate(log):
        again.append(event)
        again += data.draw(st.lists(st.sampled_from(log[: place + 1]), max_size=2))
    once, twice = names_of(log), names_of(log + log)
    assert twice == once
    assert len(names_of(again)) <= len(log)
    progress = DocumentProgress()
    for event in again:
        name = progress.apply(event)
        if name is not None:
            assert progress.apply(event) is None


def test_an_event_of_a_slow_worker_after_the_end_is_not_shown() -> None:
    assert names_of(
        [
            events.submitted(),
            events.fetched(),
            events.converted(),
            events.failed(code="engine_crashed"),
            events.completed(),
            events.completed(),
        ]
    ) == ["document.submitted", "document.processing", "document.completed"]


def test_a_cancellation_that_was_too_late_is_a_deletion() -> None:
    assert names_of([events.submitted(), events.converted(), events.cancelled()]) == [
        "document.submitted",
        "document.deleted",
    ]


def test_a_valid_submission_follows_a_rejected_one() -> None:
    assert names_of([events.rejected(), events.rejected(), events.submitted()]) == [
        "document.rejected",
        "document.submitted",
    ]


def test_progress_of_a_batch_is_shown_where_it_is_new() -> None:
    queued = BatchProgressed(batch_id=batch_events.id_of(), job="j", status="QUEUED", total=2)
    done = structs.replace(queued, status="SUCCESS", completed=2)
    progress = BatchProgress()
    log = [
        batch_events.submitted(), queued, queued, done, queued,
        batch_events.completed(), batch_events.completed(), batch_events.submitted(),
    ]  # fmt: skip
    assert [name for event in log if (name := progress.apply(event))] == [
        "batch.submitted",
        "batch.progressed",
        "batch.progressed",
        "batch.completed",
    ]
