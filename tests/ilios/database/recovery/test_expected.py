"""What the log says of each document, worked out twice: by the database, and without one."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writes import LogEntry
from ilios.database.recovery.expected import UNFINISHED, ExpectedState
from schemas.documents import AnyDocumentEvent
from tests import batch_events, events
from tests.ilios.database.db import history, open_database
from tests.ilios.database.test_histories import EVENTS, SUBMISSIONS, plausible


async def states(entries: list[LogEntry]) -> dict[str, str]:
    """Return how each document stands in a database all of this was written to."""
    return {name: state for name, (state, _) in (await attempts(entries)).items()}


async def attempts(entries: list[LogEntry]) -> dict[str, tuple[str, int]]:
    """Return also how often each was requeued."""
    with TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "ilios.db") as db:
            await db.connection.execute("PRAGMA synchronous = OFF")
            await db.apply(*entries)
            found = await db.connection.execute_fetchall(
                "SELECT id, state, requeues FROM documents"
            )
            return {name: (state, requeues) for name, state, requeues in found}


def expected(entries: list[LogEntry]) -> ExpectedState:
    """Return what hears all of this."""
    replayed = ExpectedState()
    for entry in entries:
        replayed.apply(entry.sequence, entry.event)
    return replayed


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=25))
def test_both_agree_on_every_history(said: list[AnyDocumentEvent]) -> None:
    entries = history(*SUBMISSIONS, *said)
    expected_states = expected(entries).documents
    assert {
        name: one.state for (_, name), one in expected_states.items() if one.state
    } == asyncio.run(states(entries))


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENTS, max_size=12), st.integers(0, 12))
def test_for_documents_older_than_the_log_only_an_end_is_expected(
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
    assert asyncio.run(attempts(entries)) == {events.id_of(1): ("pending", 1)}
    expected_states = expected(entries[2:]).documents["default", events.id_of(1)]
    assert (expected_states.ended, expected_states.requeues) == (True, 0), "of the first attempt"


def test_the_documents_of_a_batch_begin_with_it() -> None:
    batch = batch_events.submitted(2)
    expected_states = expected(history(batch, batch, events.cancelled()))
    names = {("default", document.document_id) for document in batch.documents}
    assert {
        name for name, one in expected_states.documents.items() if one.state == "pending"
    } == names
    assert expected_states.submitted_batches == {("default", batch.batch_id)}
