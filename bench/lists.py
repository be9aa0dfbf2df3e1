"""Pages of lists over a generated table: how long each filter takes, however rarely it matches."""

import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ilios.database.connection import open_reader, open_writer
from ilios.database.lists import SqliteListQueries
from schemas.lists import BatchListRequest, DocumentListRequest, Page, Place
from schemas.states import EXPIRABLE_STATES, UNFINISHED_STATES, DocumentState

TENANT, OTHER = "default", "other"
OTHERS_EVERY = 10  # one document of so many is another tenant's
FAILED_EVERY, PENDING, DELETED_EVERY = 1000, 20, 3  # the oldest third is deleted by its retention
BATCH_SIZE, BATCHED_EVERY = 100, 2
REFERENCES = 5000  # different ones
SECONDS_APART = 8
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = 50
SHOWN: tuple[DocumentState, ...] = (*UNFINISHED_STATES, *EXPIRABLE_STATES)
CHUNK = 50_000  # rows of one transaction

_DOCUMENT = """
INSERT INTO documents (
    tenant, id, state, file_name, content_type, file_size, priority, retention_days, operation,
    submitted_at, submitted_sequence, expires_at, original_key, original_sha256, finished_at,
    markdown_key, markdown_size, markdown_sha256, pages, engine, model, seconds, input_tokens,
    output_tokens, code, batch_id, reference, metadata, removed_at
) VALUES (?, ?, ?, ?, 'application/pdf', 1000, 5, 365, 'convert', ?, ?, ?, ?, ?, ?, ?, 1000, ?, 3,
    'local', 'local', 0.1, 1000, 0, ?, ?, ?, ?, ?)
"""
_BATCH = """
INSERT INTO batches (
    tenant, id, priority, retention_days, submitted_at, submitted_sequence, completed_at
) VALUES (?, ?, 5, 365, ?, ?, ?)
"""

Query = Callable[[Place | None], Awaitable[Page[Any]]]


async def measure(documents: int = 1_000_000, times: int = 300) -> None:
    """Generate documents, and get pages of their lists: the first, the next, and others deep down.

    A page that a filter fills rarely examines a bounded number of rows, and may be empty.
    """
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        path = Path(name) / "ilios.db"
        async with open_writer(path):
            pass
        began = time.perf_counter()
        generate(path, documents)
        size, indexes = path.stat().st_size / 1024**2, _index_size(path)
        print(f"{documents} documents generated in {time.perf_counter() - began:.0f} s, "
              f"database {size:.0f} MB, indexes of lists {indexes:.0f} MB", flush=True)  # fmt: skip
        async with open_reader(path) as connection:
            lists = SqliteListQueries(connection)
            print(f"\n{'list':<44}{'p50 ms':>9}{'p99 ms':>9}{'items':>7}{'pages of all':>14}")
            for label, query in _queries(lists, documents).items():
                await _measured(label, query, times, documents)


def generate(path: Path, documents: int) -> None:
    """Fill a database: all states, two tenants, half of the documents in batches."""
    shuffled = random.Random(1)  # it is to be repeatable, not secret
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("PRAGMA synchronous = OFF")
        for first in range(0, documents, CHUNK):
            numbers = range(first, min(first + CHUNK, documents))
            database.execute("BEGIN")
            database.executemany(_DOCUMENT, (_row(n, documents, shuffled) for n in numbers))
            database.executemany(
                _BATCH,
                (
                    (TENANT, _batch(n), _at(n), n, _at(n) + 1)
                    for n in numbers
                    if n % (BATCH_SIZE * BATCHED_EVERY) == 0
                ),
            )
            database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _row(number: int, documents: int, shuffled: random.Random) -> tuple[Any, ...]:
    tenant = OTHER if number % OTHERS_EVERY == 1 else TENANT
    batch = _batch(number) if number // BATCH_SIZE % BATCHED_EVERY == 0 else None
    state, code, removed = "completed", None, None
    if number < documents // DELETED_EVERY:
        state, removed = "deleted", _at(number) + 1
    elif number >= documents - PENDING:
        state = "pending"
    elif number % FAILED_EVERY == 0:
        state, code = "failed", "corrupt"
    has_labels = removed is None
    digest = f"{shuffled.getrandbits(256):064x}"
    return (
        tenant, _id(number), state, f"invoice {number % 997} of {number % 89}.pdf", _at(number),
        number, _at(number) + 1, f"originals/{tenant}/{_id(number)}.abcdefgh", digest, _at(number),
        f"markdown/{tenant}/{_id(number)}.abcdefgh", digest, code,
        batch if tenant == TENANT else None,
        f"case {number % REFERENCES}" if has_labels else None,
        f'{{"case":{number}}}' if has_labels else None, removed,
    )  # fmt: skip


def _id(number: int) -> str:
    return f"m{number:09d}abcdefghijklmn"


def _batch(number: int) -> str:
    return _id(number - number % BATCH_SIZE)[:-1] + "b"


def _at(number: int) -> int:
    # Of a batch, all at the same time.
    seconds = (number - number % BATCH_SIZE) * SECONDS_APART
    return round(1000 * (BEGIN + timedelta(seconds=seconds)).timestamp())


def _queries(lists: SqliteListQueries, documents: int) -> dict[str, Query]:
    every = DocumentListRequest(tenant=TENANT, states=SHOWN, limit=LIMIT)
    day = BEGIN + timedelta(seconds=documents // 2 * SECONDS_APART)
    wanted: dict[str, DocumentListRequest | BatchListRequest] = {
        "documents": every,
        "documents, the oldest first": replace(every, order="asc"),
        "documents of a day": replace(every, since=day, until=day + timedelta(days=1)),
        "failed documents, 0.1 %": replace(every, states=("failed",)),
        "pending documents, 20": replace(every, states=("pending",)),
        "deleted documents": replace(every, states=("deleted",)),
        "documents of another tenant": replace(every, tenant=OTHER),
        "documents with a reference": replace(every, reference="case 17"),
        "failed documents with a reference": replace(every, reference="case 0", states=("failed",)),
        "documents of a batch": replace(every, batch_id=_batch(documents // 2)),
        "documents, a part of a common name": replace(every, name="invoice 9"),
        "documents, a part of no name": replace(every, name="no such name"),
        "failed documents, a part of no name": replace(every, name="no such", states=("failed",)),
        "batches": BatchListRequest(tenant=TENANT, limit=LIMIT),
        "failed batches, none": BatchListRequest(tenant=TENANT, limit=LIMIT, states=("failed",)),
    }
    return {label: _query(lists, one) for label, one in wanted.items()}


def _query(lists: SqliteListQueries, wanted: DocumentListRequest | BatchListRequest) -> Query:
    async def query(after: Place | None) -> Page[Any]:
        if isinstance(wanted, DocumentListRequest):
            return await lists.documents(replace(wanted, after=after))
        return await lists.batches(replace(wanted, after=after))

    return query


async def _measured(label: str, query: Query, times: int, documents: int) -> None:
    durations: list[float] = []
    items, after = 0, None
    for turn in range(times):
        deep = Place(_at(turn * documents // times), _id(turn * documents // times))
        begun = time.perf_counter()
        page = await query(after)
        durations.append(1000 * (time.perf_counter() - begun))
        items = max(items, len(page.items))
        # In turns: on from where this one ended, and from anywhere.
        after = page.next if turn % 2 else deep
    pages, after = 1, (await query(None)).next
    while after is not None and pages < times:
        after, pages = (await query(after)).next, pages + 1
    durations.sort()
    p50, p99 = durations[len(durations) // 2], durations[len(durations) * 99 // 100]
    shown = f"{pages}" if after is None else f"> {pages}"
    print(f"{label:<44}{p50:>9.2f}{p99:>9.2f}{items:>7}{shown:>14}", flush=True)


def _index_size(path: Path) -> float:
    """Return the size of the indexes of lists in MB, by a copy without them."""
    names = ("documents_listed", "documents_by_reference", "batches_listed", "batches_by_reference")
    copy = path.with_name("without.db")
    with sqlite3.connect(path) as database:
        database.execute("VACUUM INTO ?", (str(copy),))
    with sqlite3.connect(copy, isolation_level=None) as database:
        before = copy.stat().st_size
        for name in names:
            database.execute(f"DROP INDEX {name}")
        database.execute("VACUUM")
    after = copy.stat().st_size
    copy.unlink()
    return (before - after) / 1024**2
