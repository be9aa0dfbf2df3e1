"""A conversion is billed once to its tenant, at the price of its day."""

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from actors.pricing import Pricing, pricing
from actors.writes import LogEntry, ResetCursor
from ilios.database import migrations, usage_statements
from ilios.database.connection import open_reader, open_writer
from ilios.database.queries import SqliteUsageQueries
from ilios.database.store import SqliteTransactionStore
from schemas.events import AnyEvent
from schemas.records import OperationUsage, UsageTotal
from tests import events
from tests.ilios.database.db import apply_write

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
NOTHING = UsageTotal(
    documents=0, operations=0, pages=0, input_tokens=0, output_tokens=0, total_micros=0
)


class Account:
    """A database of its own in which documents are completed."""

    def __init__(self, transactions: SqliteTransactionStore, usage: SqliteUsageQueries) -> None:
        self.transactions = transactions
        self.usage = usage
        self.entries: list[LogEntry] = []

    async def convert(
        self,
        number: int,
        *,
        at: datetime = MOMENT,
        tenant: str = "default",
        operation: str = "convert",
        **published_at: Any,
    ) -> list[LogEntry]:
        """Complete a document by events; returns them as log entries."""
        story: list[AnyEvent] = [
            msgspec.structs.replace(events.submitted(number, tenant=tenant), operation=operation),
            msgspec.structs.replace(events.fetched(number), tenant=tenant),
            msgspec.structs.replace(events.converted(number), tenant=tenant, **published_at),
        ]
        first = len(self.entries) + 1
        entries = [LogEntry(sequence, at, event) for sequence, event in enumerate(story, first)]
        self.entries += entries
        await self.commit(*entries)
        return entries

    async def commit(self, *entries: LogEntry, created: str = "once") -> None:
        (answer,) = await self.transactions.commit([apply_write(*entries, created=created)])
        assert isinstance(answer, tuple), answer

    async def micros(self, *within: datetime | None) -> int:
        first, last = within or (None, None)
        return (await self.usage.total("default", (first, last))).total_micros


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    path = tmp_path / "ilios.db"
    async with open_writer(path) as writing, open_reader(path) as reading:
        yield Account(SqliteTransactionStore(writing), SqliteUsageQueries(reading))


async def test_a_thousand_documents_of_one_page_cost_a_dollar_thirty(account: Account) -> None:
    for number in range(1_000):
        await account.convert(number, pages=1)
    total = await account.usage.total("default")
    assert (total.documents, total.operations, total.pages) == (1_000, 1_000, 1_000)
    assert total.total_micros == 1_300_000


async def test_a_redelivered_event_is_not_billed_twice(account: Account) -> None:
    await account.convert(1, pages=10)
    for created in ("once", "the log was created again"):
        await account.commit(*account.entries, created=created)
        await account.transactions.commit([ResetCursor("test")])  # type: ignore[list-item]
        await account.commit(*account.entries, created=created)
    assert await account.micros() == 13_000


async def test_a_failed_document_costs_nothing(account: Account) -> None:
    story: list[AnyEvent] = [events.submitted(), events.fetched(), events.failed()]
    story.append(events.converted())
    await account.commit(*(LogEntry(place, MOMENT, event) for place, event in enumerate(story, 1)))
    assert await account.usage.total("default") == NOTHING
    assert await account.usage.by_operation("default") == []


async def test_a_deleted_document_stays_on_the_bill(account: Account) -> None:
    await account.convert(1, pages=10)
    await account.commit(LogEntry(99, MOMENT, events.deleted()))
    assert await account.micros() == 13_000


async def test_each_tenant_has_a_bill_of_its_own(account: Account) -> None:
    await account.convert(1, pages=1)
    await account.convert(2, pages=2, tenant="other")
    assert await account.micros() == 1_300
    assert (await account.usage.total("other")).pages == 2
    assert await account.usage.total("nobody") == NOTHING


async def test_usage_is_separate_by_operation_and_adds_up(account: Account) -> None:
    await account.convert(1, pages=1)
    await account.convert(2, pages=2)
    await account.convert(3, pages=4, operation="convert-immediate")
    lines = await account.usage.by_operation("default")
    assert lines == [
        OperationUsage(
            operation="convert",
            operations=2,
            pages=3,
            input_tokens=24,
            output_tokens=68,
            total_micros=3_900,
        ),
        OperationUsage(
            operation="convert-immediate",
            operations=1,
            pages=4,
            input_tokens=12,
            output_tokens=34,
            total_micros=5_200,
        ),
    ]
    assert await account.micros() == sum(line.total_micros for line in lines)


async def test_a_document_counts_once_whatever_was_done_with_it(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    async with open_writer(path) as writing, open_reader(path) as reading:
        account = Account(SqliteTransactionStore(writing), SqliteUsageQueries(reading))
        await account.convert(1, pages=1)
        await writing.execute(ANOTHER_OPERATION)
        total = await account.usage.total("default")
    assert (total.documents, total.operations) == (1, 2)


RANGES = [
    (None, None, 1),
    (MOMENT, MOMENT, 1),
    (None, MOMENT - MILLISECOND, 0),
    (MOMENT + MILLISECOND, None, 0),
    (MOMENT - MILLISECOND, MOMENT + MILLISECOND, 1),
    (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), 1),
]


@pytest.mark.parametrize(("first", "last", "counts"), RANGES)
async def test_both_ends_of_a_range_count(
    account: Account, first: datetime | None, last: datetime | None, counts: int
) -> None:
    await account.convert(1, pages=1)
    assert await account.micros(first, last) == 1_300 * counts
    assert len(await account.usage.by_operation("default", (first, last))) == counts


async def test_a_price_is_that_of_the_day_the_conversion_ended(account: Account) -> None:
    before = datetime(2026, 6, 22, 23, 59, 59, tzinfo=UTC)
    model: dict[str, Any] = {"engine": "mistral", "model": "mistral-ocr-latest", "pages": 1}
    await account.convert(1, at=before, **model)
    assert await account.micros() == 2_600
    await account.convert(2, at=before + timedelta(seconds=1), **model)
    assert await account.micros() == 2_600 + 5_200


async def test_a_later_price_changes_no_history(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    cheaper = pricing(local_micros=50, margin_percent=0)
    published: list[LogEntry] = []
    for number, (prices, micros) in enumerate(((Pricing(), 1_300), (cheaper, 1_350))):
        async with open_writer(path) as writing, open_reader(path) as reading:
            account = Account(SqliteTransactionStore(writing, prices), SqliteUsageQueries(reading))
            account.entries = published
            await account.convert(number, pages=1)
            await account.commit(*published, created="the log was created again")
            assert await account.micros() == micros


async def test_a_model_without_a_price_is_complained_of_once_and_not_free(
    account: Account,
) -> None:
    with capture_logs() as logs:
        await account.convert(1, pages=1, engine="mistral", model="mistral-ocr-99")
        await account.convert(2, pages=1, engine="mistral", model="mistral-ocr-99")
    (line,) = logs
    assert (line["log_level"], line["model"]) == ("warning", "mistral-ocr-99")
    assert await account.micros() == 2 * 6_500


async def test_a_range_is_added_up_from_its_index_alone(account: Account, tmp_path: Path) -> None:
    assert account
    connection = sqlite3.connect(tmp_path / "ilios.db")
    try:
        parameters = {"tenant": "default", "first": 0, "last": 1}
        plan = connection.execute("EXPLAIN QUERY PLAN " + usage_statements.USAGE_TOTAL, parameters)
        steps = [row[3] for row in plan]
    finally:
        connection.close()
    used = "COVERING INDEX usage_by_time (tenant=? AND created_at>? AND created_at<?)"
    assert any(used in step for step in steps), steps


async def test_conversions_before_the_first_price_are_billed_as_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ilios.db"
    existing = migrations.scripts()
    with monkeypatch.context() as first_release:
        first_release.setattr(migrations, "scripts", lambda: existing[:1])
        async with open_writer(path) as writing:
            await writing.execute(OLD_DOCUMENT)
            await writing.execute(OLD_USAGE)
    async with open_writer(path), open_reader(path) as reading:
        total = await SqliteUsageQueries(reading).total("default")
        price = Pricing().price("local", "none", 7, MOMENT.date())
        found = await reading.fetchall(
            "SELECT unit_micros, base_micros, margin_percent, total_micros FROM usage"
        )
    assert (total.pages, total.total_micros) == (7, price.total_micros)
    expected = (price.unit_micros, price.base_micros, price.margin_percent, price.total_micros)
    assert [tuple(row) for row in found] == [expected]


ANOTHER_OPERATION = """
INSERT INTO usage (
    tenant, document_id, operation, engine, model, pages, input_tokens, output_tokens, created_at
) SELECT tenant, document_id, 'another', engine, model, 1, 1, 1, created_at FROM usage
"""
OLD_DOCUMENT = """
INSERT INTO documents (
    tenant, id, state, file_name, content_type, priority, retention_days, operation, submitted_at,
    submitted_sequence
) VALUES ('default', 'd', 'completed', 'f', 't', 5, 365, 'convert', 1, 1)
"""
OLD_USAGE = "INSERT INTO usage VALUES ('default', 'd', 'convert', 'local', 'none', 7, 12, 34, 2)"
