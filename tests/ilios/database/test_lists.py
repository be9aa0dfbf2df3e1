"""Lists: bounded by an index for every filter, and complete while documents come and go."""

import random
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from actors.writes import LogEntry
from ilios.database import list_statements, lists
from ilios.database.lists import SqliteListQueries
from schemas.documents import DocumentSubmitted
from schemas.events import AnyEvent
from schemas.lists import BatchListRequest, DocumentListRequest, Order, Page
from schemas.records import DocumentRecord
from schemas.states import REMOVED_STATES, BatchState, DocumentState
from tests import batch_events, events
from tests.ilios.database.db import Database, history, open_database

ORDERS: tuple[Order, ...] = ("asc", "desc")
STATES: tuple[DocumentState, ...] = get_args(DocumentState)
LISTED = tuple(state for state in STATES if state not in REMOVED_STATES)
EVERY = DocumentListRequest(tenant="default", states=LISTED, limit=100)
EVERY_BATCH = BatchListRequest(tenant="default", limit=100)
PARAMETERS = {
    "tenant": "default", "at": 0, "id": "", "bound": 0, "examined": 1, "name": "a",
    "reference": "a", "batch": "a", "names": "[]", "ids": "[]",
}  # fmt: skip


def submission(number: int, **changes: Any) -> DocumentSubmitted:
    """Return the submission of a document, each a second after the one before."""
    at = events.SUBMITTED_AT + timedelta(seconds=number)
    return replace(events.submitted(number), submitted_at=at, **changes)


def ids(*numbers: int) -> list[str]:
    return [events.id_of(number) for number in numbers]


async def found(db: Database, wanted: DocumentListRequest) -> list[str]:
    """Return the ids of all pages of a list."""
    queries, listed, after = SqliteListQueries(db.connection), list[str](), wanted.after
    while True:
        page = await queries.documents(replace(wanted, after=after))
        listed += [one.document_id for one in page.items]
        if (after := page.next) is None:
            return listed


async def plan(path: Path, statement: str) -> list[str]:
    async with open_database(path) as db:
        rows = await db.connection.fetchall(f"EXPLAIN QUERY PLAN {statement}", PARAMETERS)
    return [str(row[3]) for row in rows]


def is_ordered(step: str, order: Order) -> bool:
    """Whether an index is searched from a place on."""
    return f"(submitted_at,id){'>' if order == 'asc' else '<'}(?,?)" in step


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("states", [STATES[:1], LISTED, STATES])
async def test_documents_of_some_states_are_merged_in_the_order_of_their_index(
    tmp_path: Path,
    states: tuple[DocumentState, ...],
    named: bool,  # noqa: FBT001
    order: Order,
) -> None:
    steps = await plan(
        tmp_path / "a.db", list_statements.documents_by_state(states, order, named=named)
    )
    searches = [step for step in steps if step.startswith(("SEARCH", "SCAN"))]
    assert len(searches) == len(states)
    for step in searches:
        assert step.startswith("SEARCH documents USING INDEX documents_listed (tenant=? AND <expr>")
        assert is_ordered(step, order)
    assert not any("TEMP B-TREE" in step for step in steps)


@pytest.mark.parametrize(("order", "named"), list(product(ORDERS, [True, False])))
async def test_a_reference_is_found_in_the_order_of_its_index(
    tmp_path: Path,
    order: Order,
    named: bool,  # noqa: FBT001
) -> None:
    (step,) = await plan(
        tmp_path / "a.db", list_statements.documents_by_reference(LISTED, order, named=named)
    )
    assert step.startswith(
        "SEARCH documents USING INDEX documents_by_reference (tenant=? AND reference=?"
    )
    assert is_ordered(step, order)


@pytest.mark.parametrize(
    ("order", "named", "referenced"), list(product(ORDERS, [True, False], [True, False]))
)
async def test_only_the_documents_of_one_batch_are_sorted(
    tmp_path: Path,
    order: Order,
    named: bool,  # noqa: FBT001
    referenced: bool,  # noqa: FBT001
) -> None:
    statement = list_statements.documents_of_batch(
        LISTED, order, named=named, referenced=referenced
    )
    assert await plan(tmp_path / "a.db", statement) == [
        "SEARCH documents USING INDEX documents_of_batch (tenant=? AND batch_id=?)",
        "USE TEMP B-TREE FOR ORDER BY",
    ]


@pytest.mark.parametrize(
    ("states", "order", "referenced"),
    list(product([(), ("failed",), get_args(BatchState)], ORDERS, [True, False])),
)
async def test_batches_are_found_in_the_order_of_an_index(
    tmp_path: Path,
    states: tuple[BatchState, ...],
    order: Order,
    referenced: bool,  # noqa: FBT001
) -> None:
    statement = list_statements.batches(states, order, referenced=referenced)
    first, *others = await plan(tmp_path / "a.db", statement)
    index = "batches_by_reference" if referenced else "batches_listed"
    assert first.startswith(f"SEARCH batches USING COVERING INDEX {index} (tenant=?")
    assert is_ordered(first, order)
    for step in others:
        assert "SUBQUERY" in step or step.startswith(
            "SEARCH d USING COVERING INDEX documents_of_batch (tenant=? AND batch_id=?"
        )


@pytest.mark.parametrize(
    "statement", [list_statements.BATCHES_BY_ID, list_statements.listed_documents(LISTED)]
)
async def test_items_are_read_by_their_keys(tmp_path: Path, statement: str) -> None:
    steps = await plan(tmp_path / "a.db", statement)
    assert any("USING PRIMARY KEY (tenant=? AND id=?)" in step for step in steps)
    assert not any(step.startswith("SCAN") and "VIRTUAL TABLE" not in step for step in steps)


async def test_a_filter_that_never_matches_examines_a_bounded_number_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_EXAMINED", 6)
    monkeypatch.setattr(lists, "_PORTION", 3)
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(*history(*(submission(number) for number in range(1, 11))))
        queries = SqliteListQueries(db.connection)
        page = await queries.documents(replace(EVERY, name="no such"))
        assert (page.items, page.next and page.next.id) == ([], events.id_of(5))
        page = await queries.documents(replace(EVERY, name="no such", after=page.next))
        assert page == Page([], None)
        assert await found(db, replace(EVERY, name="HELLO", limit=2)) == ids(*range(10, 0, -1))


async def test_every_filter_finds_its_documents(tmp_path: Path) -> None:
    second = events.SUBMITTED_AT + timedelta(seconds=2)
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(
            *history(
                submission(1, reference="a", file_name="Größe 100%.pdf"),
                submission(2, reference="b"),
                submission(3, reference="a"),
                submission(4, tenant="other", reference="a"),
                submission(5),
                events.failed(2),
                events.cancelled(5),
                batch_events.submitted(documents=2),
            )
        )
        batched = [f"{batch_events.id_of()}{number:03d}" for number in (1, 2)]
        assert await found(db, EVERY) == [*ids(3, 2, 1), *reversed(batched)]
        assert await found(db, replace(EVERY, order="asc")) == [*batched, *ids(1, 2, 3)]
        assert await found(db, replace(EVERY, states=("failed",))) == ids(2)
        assert await found(db, replace(EVERY, states=("cancelled", "failed"))) == ids(5, 2)
        assert await found(db, replace(EVERY, reference="a")) == ids(3, 1)
        assert await found(db, replace(EVERY, reference="b", states=("pending",))) == []
        assert await found(db, replace(EVERY, name="GRößE 100%")) == ids(1)
        assert await found(db, replace(EVERY, since=second)) == ids(3, 2)
        assert await found(db, replace(EVERY, until=second, order="asc", reference="a")) == ids(1)
        assert await found(db, replace(EVERY, since=second, until=second)) == ids(2)
        batch = replace(EVERY, batch_id=batch_events.id_of(), limit=1)
        assert await found(db, batch) == batched[::-1]
        assert await found(db, replace(batch, name="2.txt", order="asc")) == batched[1:]
        assert await found(db, replace(batch, reference="a")) == []
        assert await found(db, replace(EVERY, tenant="other")) == ids(4)
        assert await found(db, replace(batch, tenant="other")) == []


async def test_an_archived_document_that_had_failed_is_listed_as_failed(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        converted: list[AnyEvent] = [events.fetched(2), events.converted(2), events.archived(2)]
        await db.apply(
            *history(submission(1), submission(2), events.failed(1), events.archived(1), *converted)
        )
        assert await found(db, replace(EVERY, states=("failed",))) == ids(1)
        assert await found(db, replace(EVERY, states=("archived",))) == ids(2)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("filters", [{}, {"name": "hello"}, {"reference": "a"}])
async def test_a_cursor_neither_repeats_nor_leaves_out_what_exists_throughout(
    tmp_path: Path, order: Order, filters: dict[str, str]
) -> None:
    chosen = random.Random(f"{order}{filters}")
    numbers = chosen.sample(range(1, 400), 100)
    # Some at the same time, so that the id decides.
    at = {number: events.SUBMITTED_AT + timedelta(seconds=number // 5) for number in numbers}
    submissions = [
        replace(events.submitted(number), submitted_at=at[number], reference="a")
        for number in numbers
    ]
    throughout, removed, added = submissions[:40], submissions[40:70], submissions[70:]
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(*history(*throughout, *removed))
        queries = SqliteListQueries(db.connection)
        wanted = replace(EVERY, order=order, limit=7, **filters)
        listed, after, sequence = list[DocumentRecord](), None, 1000
        while True:
            page = await queries.documents(replace(wanted, after=after))
            listed += page.items
            if (after := page.next) is None:
                break
            for _ in range(3):
                gone, come = removed.pop(), added.pop()
                deleted = replace(events.cancelled(), document_id=gone.document_id)
                await db.apply(*history(deleted, come, first=sequence))
                sequence += 2
    names = [one.document_id for one in listed]
    assert len(set(names)) == len(names)
    assert {one.document_id for one in throughout} <= set(names)
    places = [(one.submitted_at, one.document_id) for one in listed]
    assert places == sorted(places, reverse=order == "desc")


async def test_batches_are_listed_with_the_states_of_their_documents(tmp_path: Path) -> None:
    batches = [
        replace(
            batch_events.submitted(number, documents=2),
            submitted_at=events.SUBMITTED_AT + timedelta(seconds=number),
            reference="odd" if number % 2 else None,
        )
        for number in (1, 2, 3, 4)
    ]
    ends: list[AnyEvent] = [
        batch_events.of(events.failed(), 1, 2),
        *(batch_events.of(events.failed(), place, 3) for place in (1, 2)),
        batch_events.of(events.fetched(), 1, 4),
        batch_events.of(events.converted(), 1, 4),
        batch_events.of(events.failed(), 2, 4),
    ]
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(*history(*batches, *ends))
        queries = SqliteListQueries(db.connection)

        async def named(**filters: Any) -> list[int]:
            page = await queries.batches(replace(EVERY_BATCH, **filters))
            return [int(one.batch_id[-2:]) for one in page.items]

        assert await named() == [4, 3, 2, 1]
        for number, state in enumerate(get_args(BatchState), 1):
            (one,) = (await queries.batches(replace(EVERY_BATCH, states=(state,)))).items
            assert one.progress.state == state, number
        assert await named(states=("pending", "failed")) == [3, 1]
        assert await named(reference="odd", order="asc") == [1, 3]
        assert await named(tenant="other") == []
        page = await queries.batches(replace(EVERY_BATCH, limit=3))
        assert await named(after=page.next) == [1]


class InterruptedQueries(SqliteListQueries):
    """Applies an event between finding documents and reading them."""

    def __init__(self, db: Database, event: LogEntry) -> None:
        super().__init__(db.connection)
        self._db, self._event = db, event

    async def _read_documents(
        self, wanted: DocumentListRequest, ids: list[str]
    ) -> dict[str, DocumentRecord]:
        await self._db.apply(self._event)
        return await super()._read_documents(wanted, ids)


async def test_a_document_that_is_removed_meanwhile_is_left_out(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        await db.apply(*history(submission(1), submission(2)))
        (cancelled,) = history(events.cancelled(2), first=3)
        page = await InterruptedQueries(db, cancelled).documents(EVERY)
    assert [one.document_id for one in page.items] == ids(1)
