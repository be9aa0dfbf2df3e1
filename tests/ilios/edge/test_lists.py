"""Lists by HTTP: pages of a tenant's documents and batches, and what is refused."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace

from ilios.api_keys import tenant_of
from ilios.database.lists import SqliteListQueries
from schemas.documents import DocumentSubmitted
from tests import batch_events, events
from tests.ilios.database.db import Database, history, open_database
from tests.ilios.edge.world import World

DOCUMENTS, BATCHES = "/v1/documents", "/v1/batch"
KEY, OTHER_KEY = "a" * 20, "b" * 20


@pytest.fixture
async def db(tmp_path: Path, world: World) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "lists.db") as opened:
        world.lists = SqliteListQueries(opened.connection)
        yield opened


def submission(number: int, **changes: Any) -> DocumentSubmitted:
    at = events.SUBMITTED_AT + timedelta(seconds=number)
    return replace(events.submitted(number), submitted_at=at, **changes)


async def get(client: ClientSession, path: str, **query: Any) -> dict[str, Any]:
    async with client.get(path, params=query) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


def numbers(body: dict[str, Any]) -> list[int]:
    return [int(one["id"][-4:]) for one in body["documents"]]


async def test_a_list_has_the_statuses_of_documents_page_by_page(
    world: World, db: Database
) -> None:
    labels = {"reference": "case 3", "metadata": {"a": 1}}
    await db.apply(
        *history(submission(1), submission(2), submission(3, **labels), events.failed(2))
    )
    client = await world.serve()
    first = await get(client, DOCUMENTS, limit=2)
    assert numbers(first) == [3, 2]
    newest, failed = first["documents"]
    assert (newest["status"], newest["reference"]) == ("pending", "case 3")
    assert newest["clientMetadata"] == {"a": 1}
    record = await db.reads.document("default", events.id_of(2))
    assert record
    world.reads.add(record)
    async with client.get(f"{DOCUMENTS}/{record.document_id}") as status:
        assert failed == await status.json()
    rest = await get(client, DOCUMENTS, limit=2, cursor=first["next"])
    assert numbers(rest) == [1]
    assert "next" not in rest


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ([], [4, 3, 1]),
        ([("state", "failed,cancelled")], [3, 2]),
        ([("state", "failed"), ("state", "cancelled")], [3, 2]),
        ([("state", " pending , ")], [4, 1]),
        ([("order", "asc")], [1, 3, 4]),
        ([("reference", "case 1")], [1]),
        ([("name", "HELLO")], [4, 3, 1]),
        ([("name", "100%")], []),
        ([("since", "2026-01-15T10:30:03Z")], [4, 3]),
        ([("until", "2026-01-14")], []),
        ([("until", "2026-01-15"), ("reference", "")], [4, 3, 1]),
        ([("batch", batch_events.id_of())], []),
    ],
)
async def test_a_list_has_what_its_filters_ask_for(
    world: World, db: Database, query: list[tuple[str, str]], found: list[int]
) -> None:
    await db.apply(
        *history(
            submission(1, reference="case 1"),
            submission(2),
            submission(3),
            submission(4),
            events.cancelled(2),
            events.failed(3),
        )
    )
    client = await world.serve()
    async with client.get(DOCUMENTS, params=query) as answer:
        assert numbers(await answer.json()) == found


async def test_batches_are_listed_with_their_progress(world: World, db: Database) -> None:
    await db.apply(
        *history(
            replace(batch_events.submitted(1), reference="first"),
            replace(batch_events.submitted(2), submitted_at=submission(9).submitted_at),
            batch_events.of(events.failed(), 1, 1),
        )
    )
    client = await world.serve()
    found = await get(client, BATCHES, limit=1)
    assert [one["batchId"] for one in found["batches"]] == [batch_events.id_of(2)]
    rest = await get(client, BATCHES, limit=1, cursor=found["next"])
    (one,) = rest["batches"]
    assert (one["status"], one["reference"], one["progress"]["failed"]) == (
        "processing",
        "first",
        1,
    )
    assert "documents" not in one
    assert (await get(client, BATCHES, state="processing"))["batches"] == [one]
    assert (await get(client, BATCHES, reference="second")) == {"batches": []}


async def test_a_list_has_nothing_of_other_tenants(world: World, db: Database) -> None:
    mine, theirs = tenant_of(KEY), tenant_of(OTHER_KEY)
    await db.apply(
        *history(
            submission(1, tenant=mine, reference="a"),
            submission(2, tenant=theirs, reference="a"),
            submission(3, tenant=mine),
            replace(batch_events.submitted(1), tenant=theirs),
        )
    )
    client = await world.serve(KEY, OTHER_KEY)
    me, them = ({"Authorization": f"Bearer {key}"} for key in (KEY, OTHER_KEY))
    for query, wanted in (({}, [3, 1]), ({"reference": "a"}, [1])):
        async with client.get(DOCUMENTS, params=query, headers=me) as answer:
            assert numbers(await answer.json()) == wanted
    of_their_batch = {"batch": batch_events.id_of(1)}
    async with client.get(DOCUMENTS, params=of_their_batch, headers=me) as answer:
        assert await answer.json() == {"documents": []}
    async with client.get(BATCHES, headers=me) as answer:
        assert await answer.json() == {"batches": []}
    async with client.get(DOCUMENTS, params={"limit": 1}, headers=me) as answer:
        cursor = (await answer.json())["next"]
    async with client.get(DOCUMENTS, params={"cursor": cursor}, headers=them) as answer:
        assert 3 not in numbers(await answer.json())  # a place, and no right to anything
    async with client.get(DOCUMENTS) as answer:
        assert answer.status == 401


@pytest.mark.parametrize("path", [DOCUMENTS, BATCHES])
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"state": "lost"}, "invalid_state"),
        ({"state": "completed,lost"}, "invalid_state"),
        ({"limit": "0"}, "invalid_limit"),
        ({"limit": "201"}, "invalid_limit"),
        ({"limit": "many"}, "invalid_limit"),
        ({"order": "newest"}, "invalid_order"),
        ({"since": "yesterday"}, "invalid_date"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "invalid_date"),
        ({"reference": "two\nlines"}, "invalid_reference"),
        ({"cursor": "abc"}, "invalid_cursor"),
        ({"cursor": "a" * 501}, "invalid_cursor"),
        ({"cursor": "WzFd"}, "invalid_cursor"),
        ({"page": "2"}, "unknown_field"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(
    world: World, db: Database, path: str, query: dict[str, str], code: str
) -> None:
    await db.apply(*history(submission(1)))
    client = await world.serve()
    async with client.get(path, params=query) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, code)


@pytest.mark.parametrize(
    "changed", [{"order": "asc"}, {"state": "failed"}, {"reference": "a"}, {"name": "a"}]
)
async def test_a_cursor_is_of_one_list(world: World, db: Database, changed: dict[str, str]) -> None:
    await db.apply(*history(submission(1), submission(2)))
    client = await world.serve()
    cursor = (await get(client, DOCUMENTS, limit=1))["next"]
    assert numbers(await get(client, DOCUMENTS, limit=5, cursor=cursor)) == [1]
    async with client.get(DOCUMENTS, params={"cursor": cursor, **changed}) as answer:
        body = json.loads(await answer.text())
    assert (answer.status, body["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("batch", ["short", "A" * 24])
async def test_a_batch_that_can_be_none_is_refused(world: World, batch: str) -> None:
    client = await world.serve()
    async with client.get(DOCUMENTS, params={"batch": batch}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_batch")
