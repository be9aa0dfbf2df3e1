"""What the log says of each document, worked out twice: by the database, and without one."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writes import Entry
from ilios.rebuilding.expected import UNFINISHED, Expected
from schemas.documents import AnyDocumentEvent
from tests import batch_events, events
from tests.ilios.database.books import history, opened
from tests.ilios.database.test_histories import EVENTS, SUBMISSIONS, plausible


async def states(entries: list[Entry]) -> dict[str, str]:
    """Return how each document stands in a database all of this was written to."""
    return {name: state for name, (state, _) in (await attempts(entries)).items()}


async def attempts(entries: list[Entry]) -> dict[str, tuple[str, int]]:
    """Return also how often each was requeued."""
    with TemporaryDirectory() as directory:
        async with opened(Path(directory) / "ilios.db") as books:
            await books.connection.execute("PRAGMA synchronous = OFF")
            await books.apply(*entries)
            found = await books.connection.execute_fetchall(
                "SELECT id, state, requeues FROM documents"
            )
            return {name: (state, requeues) for name, state, requeues in found}


def expected(entries: list[Entry]) -> Expected:
    """Return what hears all of this."""
    heard = Expected()
    for entry in entries:
        heard.hear(entry.sequence, entry.event)
    return heard


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=25))
def test_both_agree_on_every_history(said: list[AnyDocumentEvent]) -> None:
    entries = history(*SUBMISSIONS, *said)
    told = expected(entries).documents
    assert {name: one.state for (_, name), one in told.items() if one.state} == asyncio.run(
        states(entries)
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENTS, max_size=12), st.integers(0, 12))
def test_of_what_began_before_this_log_only_an_end_is_told(
    said: list[AnyDocumentEvent], forgotten: int
) -> None:
    entries = history(*SUBMISSIONS, *plausible(said))
    there = asyncio.run(attempts(entries))
    for (_, name), one in expected(entries[forgotten:]).documents.items():
        if one.ended and one.state is None and name in there:
            state, requeues = there[name]
            assert state not in UNFINISHED or one.requeues < requeues


def test_a_late_end_of_an_attempt_before_this_log_began_ends_nothing() -> None:
    requeued = msgspec.structs.replace(events.submitted(1), requeues=1)
    entries = history(events.submitted(1), requeued, events.converted(1))
    assert asyncio.run(attempts(entries)) == {events.name(1): ("pending", 1)}
    told = expected(entries[2:]).documents["default", events.name(1)]
    assert (told.ended, told.requeues) == (True, 0), "of the first attempt"


def test_the_documents_of_a_batch_begin_with_it() -> None:
    batch = batch_events.submitted(2)
    told = expected(history(batch, batch, events.cancelled()))
    names = {("default", document.document_id) for document in batch.documents}
    assert {name for name, one in told.documents.items() if one.state == "pending"} == names
    assert told.submitted_batches == {("default", batch.batch_id)}
