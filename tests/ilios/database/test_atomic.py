"""Rows, bills and cursor are written together or not at all, after an interruption anywhere."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus import failpoints
from bus.failpoints import Failpoint
from tests import events
from tests.ilios.database.db import Database, history, open_database

TABLES = ("documents", "usage", "cursors")
FIRST = history(events.submitted(), events.fetched())
SECOND = history(events.converted(), events.submitted(2), first=3)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "ilios.db") as database:
        await database.apply(*FIRST)
        yield database


async def everything(db: Database) -> list[list[tuple[object, ...]]]:
    return [await db.table(name) for name in TABLES]


class Interrupted(BaseException):
    """A kill, as an exception."""


@pytest.mark.parametrize(
    ("point", "left"), [("ledger.applied", "nothing"), ("ledger.committed", "all of it")]
)
async def test_a_group_that_is_broken_off_is_there_whole_or_not_at_all(
    db: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: Failpoint, left: str
) -> None:
    def break_off() -> None:
        raise Interrupted

    before = await everything(db)
    with monkeypatch.context() as armed:
        armed.setitem(failpoints._armed, point, break_off)
        with pytest.raises(Interrupted):
            await db.apply(*SECOND)
    found = await everything(db)
    async with open_database(tmp_path / "whole.db") as whole:
        await whole.apply(*FIRST)
        await whole.apply(*SECOND)
        after = await everything(whole)
    assert found == (after if left == "all of it" else before)
    await db.apply(*SECOND)
    assert await everything(db) == after
