"""Children shared between urgent and ordinary documents, and between tenants."""

import asyncio
import os
import signal
import time

import msgspec
import pytest

from ilios.engines.local import work_timer
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.work_timer import WorkTimer
from ilios.engines.sandbox import confinement
from ilios.runtime.fair_semaphore import FairSemaphore
from tests.ilios.engines.conftest import PlaceDocument
from tests.ilios.engines.local.test_pool import ONE, hit, long, short
from tests.waiting import wait_until


async def test_an_urgent_document_does_not_wait_for_a_slow_one(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        document = long(place_document)
        strike = hit(engine, signal.SIGSTOP)
        at_work = asyncio.Event()

        def stop(done: int, total: int) -> None:
            if not at_work.is_set():
                strike(done, total)
            at_work.set()

        slow = asyncio.create_task(engine.convert(document, stop))
        await at_work.wait()
        ordinary = asyncio.create_task(engine.convert(short(place_document)))
        for _ in range(2):
            urgent = msgspec.structs.replace(short(place_document), urgent=True)
            assert (await engine.convert(urgent)).pages == ("A short text.",)
        assert len(engine.child_pids) == 2
        assert not slow.done()
        assert not ordinary.done()
        slow.cancel()
        await asyncio.wait([slow])
        await ordinary


class YieldingChild:
    """A child that uses a share of the CPU, none unless a test changes that."""

    def __init__(self, share: float = 0.0) -> None:
        self._share = share

    @property
    def cpu_seconds(self) -> float:
        return self._share * time.monotonic()

    def lower_priority(self) -> None: ...
    def restore_priority(self) -> None: ...


@pytest.mark.parametrize(
    "limits",
    [
        EngineLimits(wall_seconds=0.2),
        EngineLimits(page_seconds=0.2),
    ],
    ids=["in all", "of a page"],
)
async def test_time_in_which_the_engine_is_shared_does_not_count_for_the_limit(
    limits: EngineLimits,
) -> None:
    slots = FairSemaphore(1)
    deadline, page = asyncio.timeout(None), asyncio.timeout(None)
    async with slots.slot(tenant="a"):

        async def work() -> None:
            async with asyncio.timeout(30), deadline, page:
                with WorkTimer(
                    YieldingChild(),  # type: ignore[arg-type]
                    slots,
                    limits,
                    deadline,
                    page,
                    lambda: None,
                ) as timer:
                    async with slots.slot(tenant="b"):
                        timer.heartbeat()
                        assert slots.oversubscribed
                        await asyncio.sleep(0.6)
                        assert not deadline.expired()
                        assert not page.expired()
                    await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await work()
    assert deadline.expired() == (limits.wall_seconds < 1)
    assert page.expired() == (limits.page_seconds < 1)


async def test_a_hanging_document_frees_its_slot_while_the_engine_is_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work_timer, "MAX_EXTENSION", 2)
    monkeypatch.setattr(work_timer, "CHECK_INTERVAL", 0.01)
    slots = FairSemaphore(1)
    deadline, page = asyncio.timeout(None), asyncio.timeout(None)
    limits = EngineLimits(page_seconds=0.1)
    async with slots.slot(tenant="a"), slots.slot(tenant="b"):

        async def work() -> None:
            async with asyncio.timeout(30), deadline, page:
                with WorkTimer(YieldingChild(), slots, limits, deadline, page, lambda: None) as its:  # type: ignore[arg-type]
                    its.heartbeat()
                    await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            await work()
    assert page.expired()
    assert not deadline.expired()


async def test_time_in_which_a_document_has_the_cpu_counts_while_the_engine_is_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work_timer, "CHECK_INTERVAL", 0.01)
    slots = FairSemaphore(1)
    limits = EngineLimits(page_seconds=0.2)
    ended = asyncio.timeout(None)

    async def work(child: YieldingChild, page: asyncio.Timeout) -> None:
        deadline = asyncio.timeout(None)
        with WorkTimer(child, slots, limits, deadline, page, lambda: None) as timer:  # type: ignore[arg-type]
            timer.heartbeat()
            await asyncio.Event().wait()

    async with slots.slot(tenant="a"), slots.slot(tenant="b"):
        others = asyncio.timeout(None)

        async def starve() -> None:
            async with others:
                await work(YieldingChild(), others)

        starved = asyncio.create_task(starve())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30), ended:
                await work(YieldingChild(share=0.8), ended)
        assert ended.expired()
        assert not others.expired(), "it had no CPU"
        starved.cancel()
        await asyncio.wait([starved])


@pytest.mark.slow
async def test_a_slow_document_has_lower_priority_while_another_tenant_works(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_timer, "LOWER_PRIORITY_AFTER", 0.0)
    async with LocalEngine(ONE) as engine:
        at_work = asyncio.Event()
        strike = hit(engine, signal.SIGSTOP)

        def stop(done: int, total: int) -> None:
            if not at_work.is_set():
                strike(done, total)
            at_work.set()

        document = msgspec.structs.replace(long(place_document), tenant="a")
        slow = asyncio.create_task(engine.convert(document, stop))
        await at_work.wait()
        (pid,) = engine.child_pids
        await wait_until(lambda: len(engine.child_pids) == 2, 30)  # it has been started ahead
        assert not _yields(pid)
        other = msgspec.structs.replace(short(place_document), tenant="b")
        yielded = asyncio.create_task(wait_until(lambda: _yields(pid), 30))
        while not yielded.done():
            assert (await engine.convert(other)).pages == ("A short text.",)
        await yielded
        assert len(engine.child_pids) == 2
        if os.geteuid() == 0:  # others may not undo it: the child is replaced after its document
            await wait_until(lambda: not _yields(pid), 30)
        slow.cancel()
        await asyncio.wait([slow])


def _yields(pid: int) -> bool:
    ours, its = (os.getpriority(os.PRIO_PROCESS, number) for number in (0, pid))
    return its == min(ours + confinement.LOW_PRIORITY_NICENESS, confinement.LOWEST)


async def test_the_extra_child_is_gone_when_it_is_no_longer_needed(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        at_work = asyncio.Event()
        slow = asyncio.create_task(engine.convert(long(place_document), lambda *_: at_work.set()))
        await at_work.wait()
        await engine.convert(msgspec.structs.replace(short(place_document), urgent=True))
        assert len(engine.child_pids) == 2
        await slow
        await wait_until(lambda: len(engine.child_pids) == 1, 30)
