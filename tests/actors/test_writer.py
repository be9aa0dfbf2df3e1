"""One writes for all: in groups, after which everybody has an answer of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors import writer as module
from actors.writer import Writer
from actors.writes import ApplyEntries, Cursor, LedgerUnavailable, Ping, Write, WriteRefused
from tests import events
from tests.actors.fakes import FakeLedger
from tests.waiting import until


class Say(Write[object], frozen=True):
    """Answers with itself."""

    word: str


@asynccontextmanager
async def running(writer: Writer) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(writer.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def poison() -> ApplyEntries:
    event = events.submitted(13)
    return ApplyEntries("test", (events.entry(1, event),), Cursor("s", "c", 1))


@pytest.fixture
def ledger() -> FakeLedger:
    ledger = FakeLedger()
    ledger.refused.add(events.name(13))
    return ledger


async def test_everybody_gets_their_own_answer(ledger: FakeLedger) -> None:
    writer = Writer(ledger)
    async with running(writer):
        words = [Say(str(number)) for number in range(1000)]
        assert list(await asyncio.gather(*map(writer.keep, words))) == words


async def test_what_waits_during_a_commit_goes_into_the_next_one(ledger: FakeLedger) -> None:
    writer = Writer(ledger)
    ledger.may_commit.clear()
    async with running(writer):
        keeping = [asyncio.create_task(writer.keep(Say("first")))]
        await ledger.begun.wait()
        keeping += [asyncio.create_task(writer.keep(Say(str(n)))) for n in range(600)]
        await until(lambda: writer._mailbox.qsize() == 600)
        assert not any(task.done() for task in keeping), "answered before the commit"
        ledger.may_commit.set()
        await asyncio.gather(*keeping)
    assert [len(group) for group in ledger.groups] == [1, module.GROUP, module.GROUP, 88]


async def test_one_bad_write_fails_alone(ledger: FakeLedger) -> None:
    writer = Writer(ledger)
    async with running(writer):
        writes: list[Write[object]] = [Say("a"), poison(), Say("b")]  # type: ignore[list-item]
        one, two, three = await asyncio.gather(*map(writer.keep, writes), return_exceptions=True)
    assert (one, three) == (Say("a"), Say("b"))
    assert isinstance(two, WriteRefused)
    assert len(ledger.groups) == 1


@pytest.mark.parametrize("error", [LedgerUnavailable("full"), RuntimeError("a defect")])
async def test_a_ledger_that_cannot_write_is_everybodys_error_and_it_goes_on_after(
    ledger: FakeLedger, error: Exception
) -> None:
    writer = Writer(ledger)
    ledger.unavailable = error  # type: ignore[assignment]
    async with running(writer) as task:
        with pytest.raises(type(error)):
            await writer.keep(Ping())
        ledger.unavailable = None
        assert await writer.keep(Say("b")) == Say("b")
        assert not task.done()


async def test_a_cancelled_caller_harms_nobody_and_undoes_nothing(ledger: FakeLedger) -> None:
    writer = Writer(ledger)
    ledger.may_commit.clear()
    async with running(writer):
        impatient = [asyncio.create_task(writer.keep(Say("gone"))) for _ in range(3)]
        refused = asyncio.create_task(writer.keep(poison()))
        patient = asyncio.create_task(writer.keep(Say("here")))
        await asyncio.sleep(0)
        for task in (*impatient, refused):
            task.cancel()
        await asyncio.gather(*impatient, refused, return_exceptions=True)
        ledger.may_commit.set()
        assert await patient == Say("here")
    assert sum(len(group) for group in ledger.groups) == 5


async def test_a_cancelled_writer_finishes_the_group_it_has_begun(ledger: FakeLedger) -> None:
    writer = Writer(ledger)
    ledger.may_commit.clear()
    task = asyncio.create_task(writer.run())
    begun = asyncio.create_task(writer.keep(Say("begun")))
    await ledger.begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done(), "it left in the middle of a commit"
    ledger.may_commit.set()
    assert await begun == Say("begun")
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_writer_that_runs_again_takes_what_waited_meanwhile(ledger: FakeLedger) -> None:
    writer = Writer(ledger)
    waiting = asyncio.create_task(writer.keep(Say("patient")))
    await until(lambda: writer._mailbox.qsize() == 1)
    async with running(writer):
        assert await waiting == Say("patient")


async def test_a_full_mailbox_makes_callers_wait(
    ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAILBOX", 2)
    writer = Writer(ledger)
    keeping = [asyncio.create_task(writer.keep(Say(str(n)))) for n in range(10)]
    await until(writer._mailbox.full)
    assert writer._mailbox.qsize() == 2
    async with running(writer):
        assert len(await asyncio.gather(*keeping)) == 10
