"""The proof of a rebuilt database passes for every history, and fails for each kind of fault."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.persister import NAME
from actors.writes import ApplyEvents, Cursor, LogEntry, Write
from bus.reader import LogExtent
from ilios.database.recovery.replay import LogIndex
from ilios.database.recovery.verify import check_against_log, find_faults
from schemas.events import AnyEvent
from tests import batch_events, events
from tests.ilios.database.db import CREATED, STREAM, history, open_database
from tests.ilios.database.test_histories import EVENTS, SUBMISSIONS, plausible

BATCH = msgspec.structs.replace(
    batch_events.submitted(2),
    reference="all",
    metadata={"case": 17, "a": [1]},
    deadline=events.COMPLETED_AT,
)
MIXED_EVENTS = EVENTS | st.sampled_from(
    [
        BATCH,
        *(
            batch_events.of(event, position, 2)
            for position in (1, 2)
            for event in (events.fetched(), events.converted(), events.failed(), events.cancelled())
        ),
        batch_events.of(events.requeued(events.submitted()), 1, 2),
    ]
)
ENDS = (events.converted(1), batch_events.submitted(2), events.failed(3))
HISTORY = history(*SUBMISSIONS, events.fetched(2), *ENDS)


async def write(path: Path, entries: list[LogEntry]) -> None:
    async with open_database(path) as db:
        await db.connection.execute("PRAGMA synchronous = OFF")
        cursor = Cursor(STREAM, CREATED, entries[-1].sequence)
        events_write: Write[object] = ApplyEvents(NAME, tuple(entries), cursor)  # type: ignore[assignment]
        await db.store.commit([events_write])


def index_of(entries: list[LogEntry]) -> LogIndex:
    index = LogIndex()
    for entry in entries:
        index.add(entry.sequence, entry.event)
    return index


@settings(max_examples=40, deadline=None)
@given(st.lists(MIXED_EVENTS, max_size=25))
def test_the_database_of_every_history_agrees_with_its_log(
    published: list[AnyEvent],
) -> None:
    entries = history(*SUBMISSIONS, BATCH, *published)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "ilios.db"
        asyncio.run(write(path, entries))
        assert check_against_log(path, index_of(entries), None) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(MIXED_EVENTS, max_size=15), st.integers(1, 15))
def test_a_log_that_begins_after_the_snapshot_agrees_as_well(
    published: list[AnyEvent], forgotten: int
) -> None:
    entries = history(*SUBMISSIONS, BATCH, *plausible(published))
    with TemporaryDirectory() as directory:
        base, path = Path(directory) / "base.db", Path(directory) / "ilios.db"
        asyncio.run(write(base, entries[:forgotten]))
        asyncio.run(write(path, entries))
        assert check_against_log(path, index_of(entries[forgotten:]), base) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE documents SET state = 'pending' WHERE id = :failed", "its end is on the log"),
        ("DELETE FROM documents WHERE id = :failed", "it is missing"),
        ("UPDATE documents SET id = 'other' WHERE id = :failed", "neither on the log nor in"),
        ("DELETE FROM usage", "completed and not billed"),
        ("UPDATE usage SET document_id = 'other'", "completed and not billed"),
        ("UPDATE documents SET pages = 3 WHERE id = :failed", "the log has no conversion"),
        ("DELETE FROM batches", "the batch is missing"),
    ],
)
async def test_a_row_that_contradicts_the_log_is_found(
    tmp_path: Path, change: str, why: str
) -> None:
    path = tmp_path / "ilios.db"
    await write(path, HISTORY)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change, {"failed": events.id_of(3)} if ":failed" in change else {})
        connection.commit()
    assert [one for one in check_against_log(path, index_of(HISTORY), None) if why in one.why]


async def test_a_difference_between_two_rebuilds_a_short_cursor_and_damage_are_found(
    tmp_path: Path,
) -> None:
    new, control = tmp_path / "new.db", tmp_path / "control.db"
    await write(new, HISTORY)
    shutil.copyfile(new, control)
    whole = LogExtent(STREAM, CREATED, 1, len(HISTORY))
    assert find_faults(new, control, whole) == []
    assert "cursor" in find_faults(new, control, LogExtent(STREAM, CREATED, 1, 99))[0]
    assert "another log" in find_faults(new, control, LogExtent(STREAM, "later", 1, 2))[0]
    with closing(sqlite3.connect(control)) as connection:
        connection.execute("UPDATE documents SET file_name = 'other' WHERE state = 'failed'")
        connection.commit()
    assert find_faults(new, control, whole) == ["a second rebuild has other rows of documents"]
    with closing(sqlite3.connect(new)) as connection:
        connection.execute("DELETE FROM documents WHERE state = 'completed'")
        connection.commit()
    assert "a row refers to one that does not exist" in find_faults(new, control, whole)
