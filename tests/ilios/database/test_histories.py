"""Generated histories: grouping and repetition change no row, and a second interpreter agrees."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writes import LogEntry, ResetCursor
from schemas.documents import (
    AnyDocumentEvent,
    DocumentArchived,
    DocumentConverted,
    DocumentDeleted,
    DocumentFailed,
)
from schemas.events import AnyEvent
from schemas.quality import ConversionWarnings
from tests import batch_events, events
from tests.ilios.database.db import history, open_database
from tests.ilios.database.state_machine import UNFINISHED, ExpectedState

DOCUMENTS = 3
EVENTS = st.sampled_from(
    [
        event
        for number in range(1, DOCUMENTS + 1)
        for event in (
            events.fetched(number, key="one"),
            events.fetched(number, key="two"),
            events.converted(number, pages=1),
            events.converted(number, pages=2, unreadable=True),
            events.failed(number, code="a"),
            events.failed(number, code="b"),
            events.submitted(number, file_name="again"),
            events.submitted(number + DOCUMENTS),
            events.cancelled(number),
            events.archived(number),
            events.deleted(number),
            events.deleted(number, cause="expired"),
            events.requeued(events.submitted(number)),
            events.requeued(events.fetched(number, key="three")),
            events.requeued(events.converted(number, pages=4)),
            events.requeued(events.failed(number, code="c")),
            events.requeued(events.failed(number, code="d"), 2),
        )
    ]
)
SUBMISSIONS = tuple(
    msgspec.structs.replace(events.submitted(number), reference=f"case {number}")
    for number in range(1, DOCUMENTS + 1)
)
REMOVED = ("cancelled", "deleted")
TABLES = ("documents", "usage", "history")


async def all_rows(groups: Sequence[Sequence[LogEntry]]) -> tuple[list[object], set[object]]:
    """Apply groups to a database of their own; returns its rows and what was announced."""
    with TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "ilios.db") as db:
            await db.connection.execute("PRAGMA synchronous = OFF")
            announced: set[object] = set()
            for group in groups:
                answer = await db.apply(*group)
                assert isinstance(answer, tuple)
                announced |= {event.document_id for event in answer}
            tables = [await db.table(name) for name in TABLES]
            columns = "id, state, pages IS NOT NULL"
            states = await db.connection.fetchall(f"SELECT {columns} FROM documents")
            ended_well = {name for name, _, paged in states if paged}
            assert {row[1] for row in tables[1]} == ended_well
            assert {name for name, state, _ in states if state == "completed"} <= ended_well
            # A document that was removed in the same group need not be announced as completed.
            removed = {name for name, state, _ in states if state in REMOVED}
            return [*tables], announced - removed


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_grouping_and_repetition_gives_the_rows_of_one_by_one(data: st.DataObject) -> None:
    published = data.draw(st.lists(EVENTS, max_size=25))
    entries = history(*SUBMISSIONS, *published)
    groups: list[list[LogEntry]] = []
    at = 0
    while at < len(entries):
        # A reader may start again anywhere before its cursor.
        begin = data.draw(st.integers(0, at) | st.just(at))
        at = data.draw(st.integers(at + 1, len(entries)))
        groups.append(entries[begin:at])
    grouped, announced = asyncio.run(all_rows(groups))
    single, announced_singly = asyncio.run(all_rows([[entry] for entry in entries]))
    assert grouped == single
    assert announced == announced_singly


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(EVENTS, max_size=15))
def test_reading_the_whole_log_again_changes_nothing(published: list[AnyDocumentEvent]) -> None:
    entries = history(*SUBMISSIONS, *plausible(published))
    once, _ = asyncio.run(all_rows([entries]))
    twice, _ = asyncio.run(again(entries))
    assert once == twice


def plausible(published: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Leave out what the janitor never publishes: the expiry of an unfinished document."""
    ended: set[str] = set()
    result: list[AnyEvent] = []
    for event in published:
        match event:
            case DocumentConverted() | DocumentFailed():
                ended.add(event.document_id)
            case DocumentArchived() | DocumentDeleted(cause="expired"):
                if event.document_id not in ended:
                    continue
        result.append(event)
    return result


async def again(entries: list[LogEntry]) -> tuple[list[object], set[object]]:
    """Apply a history, reset the cursor, and apply the history again one by one."""
    with TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "ilios.db") as db:
            await db.apply(*entries)
            await db.store.commit([ResetCursor("test")])  # type: ignore[list-item]
            for entry in entries:
                await db.apply(entry)
            return [await db.table(name) for name in TABLES], set()


async def attempts(entries: list[LogEntry]) -> dict[str, tuple[str, int]]:
    """Return state and requeues of each document in a database that the entries are applied to."""
    with TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "ilios.db") as db:
            await db.connection.execute("PRAGMA synchronous = OFF")
            await db.apply(*entries)
            found = await db.connection.fetchall("SELECT id, state, requeues FROM documents")
            return {name: (state, requeues) for name, state, requeues in found}


async def warned(entries: list[LogEntry]) -> dict[str, ConversionWarnings]:
    """Return the warnings of each document that has any, from its row."""
    with TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "ilios.db") as db:
            await db.connection.execute("PRAGMA synchronous = OFF")
            await db.apply(*entries)
            names = [name for (name,) in await db.connection.fetchall("SELECT id FROM documents")]
            records = [await db.reads.document("default", name) for name in names]
            assert all(bool(one.warnings) == bool(one.quality) for one in records if one)
            return {one.document_id: one.warnings for one in records if one and one.warnings}


def expected(entries: list[LogEntry]) -> ExpectedState:
    """Return what the second interpreter makes of the entries."""
    interpreter = ExpectedState()
    for entry in entries:
        interpreter.apply(entry.sequence, entry.event)
    return interpreter


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=25))
def test_a_second_interpreter_reaches_the_same_states(published: list[AnyDocumentEvent]) -> None:
    entries = history(*SUBMISSIONS, *published)
    documents = expected(entries).documents
    assert {
        name: (one.state, one.requeues) for (_, name), one in documents.items() if one.state
    } == asyncio.run(attempts(entries))
    assert {name: one.warnings for (_, name), one in documents.items() if one.warnings} == (
        asyncio.run(warned(entries))
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(EVENTS, max_size=12), st.integers(0, 12))
def test_for_documents_older_than_the_log_only_an_end_is_expected(
    published: list[AnyDocumentEvent], forgotten: int
) -> None:
    entries = history(*SUBMISSIONS, *plausible(published))
    there = asyncio.run(attempts(entries))
    for (_, name), one in expected(entries[forgotten:]).documents.items():
        if one.ended and one.state is None and name in there:
            state, requeues = there[name]
            assert state not in UNFINISHED or one.requeues < requeues


def test_a_late_end_of_an_attempt_before_this_log_began_ends_nothing() -> None:
    requeued = msgspec.structs.replace(events.submitted(1), requeues=1)
    entries = history(events.submitted(1), requeued, events.converted(1))
    assert asyncio.run(attempts(entries)) == {events.id_of(1): ("pending", 1)}
    found = expected(entries[2:]).documents["default", events.id_of(1)]
    assert (found.ended, found.requeues) == (True, 0), "of the first attempt"


def test_the_documents_of_a_batch_begin_with_it() -> None:
    batch = batch_events.submitted(2)
    found = expected(history(batch, batch, events.cancelled()))
    names = {("default", document.document_id) for document in batch.documents}
    assert {name for name, one in found.documents.items() if one.state == "pending"} == names
    assert found.submitted_batches == {("default", batch.batch_id)}
