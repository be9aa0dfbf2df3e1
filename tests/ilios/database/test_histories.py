"""However a history is grouped and repeated, the rows are those of one by one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.writes import (
    LogEntry,
    ResetCursor,
)
from schemas.documents import (
    AnyDocumentEvent,
    DocumentArchived,
    DocumentConverted,
    DocumentDeleted,
    DocumentFailed,
)
from tests import events
from tests.ilios.database.db import history, open_database

DOCUMENTS = 3
EVENTS = st.sampled_from(
    [
        event
        for number in range(1, DOCUMENTS + 1)
        for event in (
            events.fetched(number, key="one"),
            events.fetched(number, key="two"),
            events.converted(number, pages=1),
            events.converted(number, pages=2),
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
SUBMISSIONS = tuple(events.submitted(number) for number in range(1, DOCUMENTS + 1))
REMOVED = ("cancelled", "deleted")


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
            tables = [await db.table("documents"), await db.table("usage")]
            columns = "id, state, pages IS NOT NULL"
            states = await db.connection.execute_fetchall(f"SELECT {columns} FROM documents")
            ended_well = {name for name, _, paged in states if paged}
            assert {row[1] for row in tables[1]} == ended_well
            assert {name for name, state, _ in states if state == "completed"} <= ended_well
            # Of what was removed in the same breath it need not be said that it was completed.
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
        # A reader begins again anywhere before where it was, and reads on from there.
        begin = data.draw(st.integers(0, at) | st.just(at))
        at = data.draw(st.integers(at + 1, len(entries)))
        groups.append(entries[begin:at])
    grouped, announced = asyncio.run(all_rows(groups))
    single, announced_singly = asyncio.run(all_rows([[entry] for entry in entries]))
    assert grouped == single
    assert announced == announced_singly


@settings(max_examples=25, deadline=None)
@given(st.lists(EVENTS, max_size=15))
def test_reading_the_whole_log_again_changes_nothing(said: list[AnyDocumentEvent]) -> None:
    entries = history(*SUBMISSIONS, *plausible(said))
    once, _ = asyncio.run(all_rows([entries]))
    twice, _ = asyncio.run(again(entries))
    assert once == twice


def plausible(published: list[AnyDocumentEvent]) -> list[AnyDocumentEvent]:
    """Leave out what the janitor never says: that something expired before it had ended."""
    ended: set[str] = set()
    result = []
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
    """Apply a history, forget the cursor, and apply it anew one by one."""
    with TemporaryDirectory() as directory:
        async with open_database(Path(directory) / "ilios.db") as db:
            await db.apply(*entries)
            await db.store.commit([ResetCursor("test")])  # type: ignore[list-item]
            for entry in entries:
                await db.apply(entry)
            return [await db.table("documents"), await db.table("usage")], set()
