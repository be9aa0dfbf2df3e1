"""Children that have had enough are replaced, documents that stand still are given up."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from actors.engines import SourceFile, Unconvertible
from ilios.engines import process, protocol
from ilios.engines.limits import EngineLimits
from ilios.engines.local import LocalEngine
from ilios.engines.pool import Pool
from tests import documents
from tests.ilios.engines.conftest import Placed
from tests.ilios.engines.test_pool import LONG_PAGES, hit, long, short, still_works
from tests.waiting import until


@pytest.mark.parametrize(
    "limits",
    [
        EngineLimits(processes=1, recycle_after_documents=1),
        EngineLimits(processes=1, recycle_above_bytes=1),
    ],
    ids=["after-documents", "above-bytes"],
)
async def test_a_worn_child_is_replaced_without_being_asked(
    placed: Placed, limits: EngineLimits
) -> None:
    async with LocalEngine(limits) as engine:
        await still_works(engine, placed)
        seen = set(engine.child_pids)
        for _ in range(3):
            await until(lambda: len(engine.child_pids) == 1 and not engine.child_pids & seen, 60)
            seen.update(engine.child_pids)
            await still_works(engine, placed)


async def test_a_worn_child_serves_on_until_its_successor_is_up(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_start = asyncio.Event()
    prepare = process.ChildProcess.prepare
    prepared: list[tuple[set[str], bool]] = []

    async def slow(child: process.ChildProcess, types: set[str], *, recognising: bool) -> None:
        prepared.append((set(types), recognising))
        await may_start.wait()
        await prepare(child, types, recognising=recognising)

    monkeypatch.setattr(process.ChildProcess, "prepare", slow)
    async with LocalEngine(EngineLimits(processes=1, recycle_after_documents=1)) as engine:
        await still_works(engine, placed)
        (worn,) = engine.child_pids
        for _ in range(3):
            await still_works(engine, placed)
            assert worn in engine.child_pids
        await until(lambda: bool(prepared), 60)
        await still_works(engine, placed)
        assert worn in engine.child_pids
        assert prepared == [({documents.PDF}, False)]
        may_start.set()
        await until(lambda: worn not in engine.child_pids, 60)
        await still_works(engine, placed)


async def test_a_child_at_work_is_succeeded_when_it_is_done(placed: Placed) -> None:
    async with LocalEngine(EngineLimits(processes=1, recycle_after_documents=1)) as engine:
        await still_works(engine, placed)
        (worn,) = engine.child_pids
        conversion = asyncio.create_task(engine.convert(long(placed)))
        await until(lambda: len(engine.child_pids) == 2, 60)
        assert len((await conversion).pages) == LONG_PAGES
        await until(lambda: worn not in engine.child_pids, 60)


async def test_a_worn_child_serves_on_when_no_successor_comes_up(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0

    async def fails(*_: object, **__: object) -> None:
        nonlocal failed
        failed += 1
        raise process.NotStarting("no room")

    monkeypatch.setattr(process.ChildProcess, "prepare", fails)
    async with LocalEngine(EngineLimits(processes=1, recycle_after_documents=1)) as engine:
        await still_works(engine, placed)
        (worn,) = engine.child_pids
        await until(lambda: failed == 1 and engine.child_pids == {worn}, 60)
        await still_works(engine, placed)
        await until(lambda: failed == 2 and engine.child_pids == {worn}, 60)


async def test_a_document_that_stands_still_is_given_up_long_before_its_time_is_over(
    placed: Placed,
) -> None:
    limits = EngineLimits(processes=1, wall_seconds=600, page_seconds=2)
    async with LocalEngine(limits) as engine:
        await still_works(engine, placed)
        with pytest.raises(
            Unconvertible, match="no page of it was finished within 2 sec"
        ) as caught:
            await engine.convert(long(placed), hit(engine, signal.SIGSTOP))
        assert caught.value.code == "timeout"
        await still_works(engine, placed)


async def test_a_document_that_goes_on_page_by_page_has_its_whole_time(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time
    ahead = 0.0
    monkeypatch.setattr(loop, "time", lambda: now() + ahead)

    class Steady:
        """A child that finishes a page within the time of one, again and again."""

        async def ask(
            self, document: SourceFile, task: object, progress: object, alive: Callable[[], None]
        ) -> protocol.Refused:
            nonlocal ahead
            for _ in range(10):
                alive()
                ahead += 40
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return protocol.Refused("corrupt", "It is.", protocol.Wear(0, cramped=False))

        def go_ahead(self) -> None:
            """Nobody had it stand back."""

    limits = EngineLimits(processes=1, wall_seconds=1000, page_seconds=45)
    answer = await Pool(limits)._ask(Steady(), short(placed), protocol.ToMarkdown(), None)  # type: ignore[arg-type]
    assert isinstance(answer, protocol.Refused)


async def test_a_warm_child_is_kept(placed: Placed) -> None:
    async with LocalEngine(EngineLimits(processes=2)) as engine:
        await still_works(engine, placed)
        warm = engine.child_pids
        await still_works(engine, placed)
        assert engine.child_pids == warm
        assert len(warm) == 1
