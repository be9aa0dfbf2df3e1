"""Look-ups in the thread of the event loop: the newest commit, and never a wait for a lock."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ilios.database import inline
from ilios.database.connection import open_inline_reader, open_reader, open_writer
from ilios.database.sqlite import DamageMonitor, Database, DatabaseDamaged, Parameters, Row
from ilios.runtime import inline_calls
from tests import events
from tests.ilios.database.db import history, open_database


class CountingDatabase(Database):
    """A reader with a thread that counts its queries."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.queries = 0

    async def fetchall(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        self.queries += 1
        return await self._inner.fetchall(statement, parameters)


async def test_a_look_up_finds_what_was_committed_last(tmp_path: Path) -> None:
    async with open_database(tmp_path / "ilios.db") as db:
        document_id = events.id_of(1)
        assert await db.reads.document("default", document_id) is None
        await db.apply(*history(events.submitted(1)))
        found = await db.reads.document("default", document_id)
        assert found is not None
        assert found.state == "pending"
        await db.apply(*history(events.cancelled(1), first=2))
        found = await db.reads.document("default", document_id)
        assert found is not None
        assert found.state == "cancelled"


async def test_no_query_occupies_a_thread_unless_it_must(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    async with open_writer(path), open_reader(path) as reading:
        threaded = CountingDatabase(reading)
        async with open_inline_reader(path, threaded) as reader:
            assert await reader.fetchall("SELECT 1") == [(1,)]
        assert threaded.queries == 0


async def test_a_locked_database_is_left_to_the_thread(tmp_path: Path) -> None:
    path, locked = tmp_path / "ilios.db", tmp_path / "locked.db"
    async with open_writer(path), open_reader(path) as reading:
        threaded = CountingDatabase(reading)
        with closing(sqlite3.connect(locked, isolation_level=None)) as holder:
            holder.execute("CREATE TABLE documents (number)")
            holder.execute("BEGIN EXCLUSIVE")
            connecting = inline.connect_inline(
                f"file:{locked}?mode=ro", (), threaded, DamageMonitor(path)
            )
            async with connecting as reader:
                assert await reader.fetchall("SELECT count(*) FROM documents") == [(0,)]
        assert threaded.queries == 1


@pytest.mark.parametrize("slow_queries", [1, inline_calls.MOST_SLOW])
async def test_slow_queries_in_a_row_are_left_to_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow_queries: int
) -> None:
    path = tmp_path / "ilios.db"
    async with open_writer(path), open_reader(path) as reading:
        threaded = CountingDatabase(reading)
        async with open_inline_reader(path, threaded) as reader:
            monkeypatch.setattr(inline_calls, "SLOW_SECONDS", -1.0)
            for _ in range(slow_queries):
                await reader.fetchall("SELECT 1")
            monkeypatch.setattr(inline_calls, "SLOW_SECONDS", 60.0)
            await reader.fetchall("SELECT 1")
        assert threaded.queries == (slow_queries == inline_calls.MOST_SLOW)


async def test_damage_of_another_connection_stops_look_ups(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    damage = DamageMonitor(path)
    async with (
        open_writer(path, damage),
        open_reader(path, damage) as reading,
        open_inline_reader(path, reading, damage) as reader,
    ):
        with pytest.raises(DatabaseDamaged):
            damage.record_and_raise("a page is broken")
        with pytest.raises(DatabaseDamaged):
            await reader.fetchall("SELECT 1")


async def test_look_ups_go_on_beside_a_checkpoint_of_a_large_log(tmp_path: Path) -> None:
    path = tmp_path / "ilios.db"
    async with (
        open_writer(path) as writing,
        open_reader(path) as reading,
        open_inline_reader(path, reading) as reader,
    ):
        await writing.execute("PRAGMA wal_autocheckpoint = 0")
        await writing.execute("CREATE TABLE large (number INTEGER PRIMARY KEY, bytes)")
        for number in range(20):
            await writing.execute("INSERT INTO large VALUES (?, randomblob(1000000))", (number,))
        checkpoint = asyncio.create_task(writing.fetchall("PRAGMA wal_checkpoint(TRUNCATE)"))
        while not checkpoint.done():
            assert await reader.fetchall("SELECT number FROM large WHERE number = 7") == [(7,)]
            await asyncio.sleep(0)
        assert (await checkpoint)[0][0] == 0
