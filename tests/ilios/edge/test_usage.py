"""`/api/usage`: one's own usage, in the time asked for, and no date that is a surprise."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from actors.writes import LogEntry
from ilios.api_keys import tenant_of
from ilios.database.connection import open_reader, open_writer
from ilios.database.queries import SqliteUsageQueries
from ilios.database.store import SqliteTransactionStore
from ilios.edge.usage import cents, dollars
from schemas.documents import Operation
from tests import events
from tests.fakes import FakeUsage
from tests.ilios.database.db import apply_write
from tests.ilios.edge.world import World

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
SUMMARY, BREAKDOWN = "/api/usage/summary", "/api/usage/breakdown"


class Account:
    """A real database in which documents are completed, beside the edge."""

    def __init__(self, ledger: SqliteTransactionStore) -> None:
        self._ledger = ledger
        self._sequence = 0

    async def convert(
        self, pages: int, *, tenant: str = "default", operation: Operation = "convert"
    ) -> None:
        number = self._sequence
        submitted = events.submitted(number, tenant=tenant)
        story = (
            msgspec.structs.replace(submitted, operation=operation),
            msgspec.structs.replace(events.fetched(number), tenant=tenant),
            msgspec.structs.replace(events.converted(number, pages=pages), tenant=tenant),
        )
        entries = []
        for event in story:
            self._sequence += 1
            entries.append(LogEntry(self._sequence, MOMENT, event))
        (answer,) = await self._ledger.commit([apply_write(*entries)])
        assert isinstance(answer, tuple), answer


@pytest.fixture
async def account(world: World, tmp_path: Path) -> AsyncIterator[Account]:
    path = tmp_path / "ilios.db"
    async with open_writer(path) as writing, open_reader(path) as reading:
        world.usage = SqliteUsageQueries(reading)
        yield Account(SqliteTransactionStore(writing))
        await world.close()


async def ask(client: ClientSession, path: str = SUMMARY, **query: str) -> Any:
    key = query.pop("key", None)
    headers = {"X-Api-Key": key} if key else {}
    async with client.get(path, params=query, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_the_summary_is_flat_and_exact(world: World, account: Account) -> None:
    client = await world.serve()
    await account.convert(999)
    await account.convert(1, operation="convert-immediate")
    assert await ask(client) == {
        "totalDocuments": 2,
        "totalOperations": 2,
        "totalPages": 1_000,
        "totalInputTokens": 24,
        "totalOutputTokens": 68,
        "totalCostCents": 130,
        "totalCostMicros": 1_300_000,
        "totalCostUSD": "1.30",
    }


async def test_the_breakdown_has_a_line_for_each_operation(world: World, account: Account) -> None:
    client = await world.serve()
    await account.convert(999)
    await account.convert(1, operation="convert-immediate")
    assert await ask(client, BREAKDOWN) == {
        "breakdown": [
            {
                "operation": "convert",
                "count": 1,
                "totalPages": 999,
                "totalInputTokens": 12,
                "totalOutputTokens": 34,
                "totalCostCents": 130,
                "totalCostMicros": 1_298_700,
                "totalCostUSD": "1.30",
            },
            {
                "operation": "convert-immediate",
                "count": 1,
                "totalPages": 1,
                "totalInputTokens": 12,
                "totalOutputTokens": 34,
                "totalCostCents": 0,
                "totalCostMicros": 1_300,
                "totalCostUSD": "0.00",
            },
        ]
    }


async def test_no_usage_is_nothing_and_not_an_error(world: World, account: Account) -> None:
    assert account
    client = await world.serve()
    assert await ask(client, BREAKDOWN) == {"breakdown": []}
    summary = await ask(client)
    assert summary.pop("totalCostUSD") == "0.00"
    assert set(summary.values()) == {0}


async def test_another_tenants_usage_is_not_counted(world: World, account: Account) -> None:
    client = await world.serve("key-1", "key-2", "key-3")
    await account.convert(1, tenant=tenant_of("key-1"))
    await account.convert(2, tenant=tenant_of("key-2"))
    await account.convert(4)
    for key, pages in (("key-1", [1]), ("key-2", [2]), ("key-3", [])):
        assert (await ask(client, key=key))["totalPages"] == sum(pages)
        lines = (await ask(client, BREAKDOWN, key=key))["breakdown"]
        assert [line["totalPages"] for line in lines] == pages
    async with client.get(SUMMARY) as answer:
        assert answer.status == 401


RANGES: list[tuple[dict[str, str], int]] = [
    ({}, 1),
    ({"startDate": "2026-03-01"}, 1),
    ({"endDate": "2026-03-01"}, 1),
    ({"startDate": "2026-03-01", "endDate": "2026-03-01"}, 1),
    ({"startDate": "2026-03-02"}, 0),
    ({"endDate": "2026-02-28"}, 0),
    ({"startDate": "2026-03-01T12:00:00.500Z", "endDate": "2026-03-01T12:00:00.500Z"}, 1),
    ({"startDate": "2026-03-01T12:00:00.501Z"}, 0),
    ({"endDate": "2026-03-01T12:00:00.499Z"}, 0),
    ({"endDate": "2026-03-01T12:00:00.499999Z"}, 0),
    ({"startDate": "2026-03-01T12:00:00.500999999Z"}, 1),
    ({"startDate": "2026-03-01T14:00:00.500+02:00"}, 1),
    ({"startDate": "2026-03-01T14:00:00.501 02:00"}, 0),
    ({"endDate": "2026-03-01T07:00:00.500-0500"}, 1),
    ({"endDate": "2026-03-01t12:00z"}, 0),
    ({"startDate": "0001-01-01", "endDate": "9999-12-31"}, 1),
]


@pytest.mark.parametrize(("query", "counts"), RANGES)
async def test_a_range_includes_both_its_ends(
    world: World, account: Account, query: dict[str, str], counts: int
) -> None:
    client = await world.serve()
    await account.convert(1)
    assert (await ask(client, **query))["totalDocuments"] == counts
    assert len((await ask(client, BREAKDOWN, **query))["breakdown"]) == counts


async def test_the_counted_range_is_returned(world: World) -> None:
    client = await world.serve()
    summary = await ask(client, startDate="2026-01-15T12:30:00+02:00", endDate="2026-01-31")
    assert summary["startDate"] == "2026-01-15T10:30:00.000Z"
    assert summary["endDate"] == "2026-01-31T23:59:59.999Z"


BAD = [
    "",
    "yesterday",
    "NaN",
    "1768473000",
    "-1",
    "2026-02-30",
    "2026-13-01",
    "0000-01-01",
    "10000-01-01",
    "99999999999999999999-01-01",
    "2026-1-5",
    "20260115",
    "2026-W03-4",
    "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0661\u0665",
    "²026-01-15",
    "2026-01-15T10:30:00",
    "2026-01-15T24:00:00Z",
    "2026-01-15T10:30:60Z",
    "2026-01-15T10:30:00+24:00",
    "2026-01-15T10:30:00+99:99",
    "2026-01-15T10:30:00.Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-01-15\n",
    "2026-01-15\x00",
    "2026-01-15' OR 1=1 --",
    "9" * 4_000,
]


@pytest.mark.parametrize("name", ["startDate", "endDate"])
async def test_what_is_no_date_is_named(world: World, name: str) -> None:
    client = await world.serve()
    for text in BAD:
        for path in (SUMMARY, BREAKDOWN):
            async with client.get(path, params={name: text}) as answer:
                problem = await answer.json()
            assert (answer.status, problem["code"]) == (400, "invalid_date"), text
            assert problem["error"] == (
                f"{name} must be a date, as 2026-01-15, or a time with Z or an offset, as "
                "2026-01-15T10:30:00Z"
            )


@pytest.mark.parametrize(
    "query",
    [
        "startDate=2026-01-02&endDate=2026-01-01",
        "startDate=2026-01-01T00:00:00.001Z&endDate=2026-01-01T00:00:00Z",
        "startDate=2026-01-01&startDate=2026-01-01",
        "endDate=2026-01-01&endDate=x",
        "startDate=%ff%fe",
    ],
)
async def test_a_range_that_cannot_be_meant_is_refused(world: World, query: str) -> None:
    client = await world.serve()
    async with client.get(f"{SUMMARY}?{query}") as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"]) == (400, "invalid_date")
    assert "startDate" in problem["error"] or "endDate" in problem["error"]


async def test_the_database_is_asked_for_the_range_in_utc(world: World) -> None:
    usage = world.usage = FakeUsage()
    client = await world.serve()
    await ask(client, startDate="2026-01-15T12:30:00.1239+02:00")
    ((first, last),) = usage.queried_ranges
    assert first == datetime(2026, 1, 15, 10, 30, 0, 123_000, tzinfo=UTC)
    assert last is None


async def test_usage_is_not_cacheable(world: World) -> None:
    client = await world.serve()
    async with client.get(SUMMARY) as answer:
        assert answer.headers["Cache-Control"] == "private, no-store"


@given(st.integers(0, 10**15))
def test_cents_and_dollars_are_rounded_half_up_and_agree(micros: int) -> None:
    assert -5_000 < cents(micros) * 10_000 - micros <= 5_000
    whole, _, rest = dollars(micros).partition(".")
    assert len(rest) == 2
    assert int(whole) * 100 + int(rest) == cents(micros)
