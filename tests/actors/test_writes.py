"""The writer commits in groups, and each caller gets its own result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors import writes as module
from actors.writes import (
    ApplyEvents,
    Cursor,
    DatabaseUnavailable,
    Ping,
    Write,
    Writer,
    WriteRefused,
)
from tests import events
from tests.actors.fakes import FakeTransactionStore
from tests.waiting import wait_until


class EchoWrite(Write[object], frozen=True):
    """Answers with itself."""

    text: str


@asynccontextmanager
async def running_writer(writer: Writer) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(writer.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def rejected_write() -> ApplyEvents:
    event = events.submitted(13)
    return ApplyEvents("test", (events.entry(1, event),), Cursor("s", "c", 1))


@pytest.fixture
def transactions() -> FakeTransactionStore:
    transactions = FakeTransactionStore()
    transactions.rejected.add(events.id_of(13))
    return transactions


async def test_each_caller_gets_the_result_of_its_write(transactions: FakeTransactionStore) -> None:
    writer = Writer(transactions)
    async with running_writer(writer):
        words = [EchoWrite(str(number)) for number in range(1000)]
        assert list(await asyncio.gather(*map(writer.commit, words))) == words


async def test_writes_that_wait_during_a_commit_are_in_the_next_one(
    transactions: FakeTransactionStore,
) -> None:
    writer = Writer(transactions)
    transactions.may_commit.clear()
    async with running_writer(writer):
        keeping = [asyncio.create_task(writer.commit(EchoWrite("first")))]
        await transactions.commit_started.wait()
        keeping += [asyncio.create_task(writer.commit(EchoWrite(str(n)))) for n in range(600)]
        await wait_until(lambda: writer._queue.qsize() == 600)
        assert not any(task.done() for task in keeping), "answered before the commit"
        transactions.may_commit.set()
        await asyncio.gather(*keeping)
    assert [len(group) for group in transactions.groups] == [
        1,
        module.GROUP_SIZE,
        module.GROUP_SIZE,
        88,
    ]


async def test_a_refused_write_fails_alone(transactions: FakeTransactionStore) -> None:
    writer = Writer(transactions)
    async with running_writer(writer):
        writes: list[Write[object]] = [EchoWrite("a"), rejected_write(), EchoWrite("b")]  # type: ignore[list-item]
        one, two, three = await asyncio.gather(*map(writer.commit, writes), return_exceptions=True)
    assert (one, three) == (EchoWrite("a"), EchoWrite("b"))
    assert isinstance(two, WriteRefused)
    assert len(transactions.groups) == 1


@pytest.mark.parametrize("error", [DatabaseUnavailable("full"), RuntimeError("a defect")])
async def test_a_failed_commit_fails_its_writes_and_later_writes_succeed(
    transactions: FakeTransactionStore, error: Exception
) -> None:
    writer = Writer(transactions)
    transactions.unavailable = error  # type: ignore[assignment]
    async with running_writer(writer) as task:
        with pytest.raises(type(error)):
            await writer.commit(Ping())
        transactions.unavailable = None
        assert await writer.commit(EchoWrite("b")) == EchoWrite("b")
        assert not task.done()


async def test_a_cancelled_caller_affects_no_other_write(
    transactions: FakeTransactionStore,
) -> None:
    writer = Writer(transactions)
    transactions.may_commit.clear()
    async with running_writer(writer):
        impatient = [asyncio.create_task(writer.commit(EchoWrite("gone"))) for _ in range(3)]
        refused = asyncio.create_task(writer.commit(rejected_write()))
        patient = asyncio.create_task(writer.commit(EchoWrite("here")))
        await asyncio.sleep(0)
        for task in (*impatient, refused):
            task.cancel()
        await asyncio.gather(*impatient, refused, return_exceptions=True)
        transactions.may_commit.set()
        assert await patient == EchoWrite("here")
    assert sum(len(group) for group in transactions.groups) == 5


async def test_a_cancelled_writer_finishes_the_group_it_has_begun(
    transactions: FakeTransactionStore,
) -> None:
    writer = Writer(transactions)
    transactions.may_commit.clear()
    task = asyncio.create_task(writer.run())
    begun = asyncio.create_task(writer.commit(EchoWrite("begun")))
    await transactions.commit_started.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done(), "it left in the middle of a commit"
    transactions.may_commit.set()
    assert await begun == EchoWrite("begun")
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_restarted_writer_commits_the_waiting_writes(
    transactions: FakeTransactionStore,
) -> None:
    writer = Writer(transactions)
    waiting = asyncio.create_task(writer.commit(EchoWrite("patient")))
    await wait_until(lambda: writer._queue.qsize() == 1)
    async with running_writer(writer):
        assert await waiting == EchoWrite("patient")


async def test_a_full_queue_makes_callers_wait(
    transactions: FakeTransactionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_SIZE", 2)
    writer = Writer(transactions)
    keeping = [asyncio.create_task(writer.commit(EchoWrite(str(n)))) for n in range(10)]
    await wait_until(writer._queue.full)
    assert writer._queue.qsize() == 2
    async with running_writer(writer):
        assert len(await asyncio.gather(*keeping)) == 10
