"""Replacement of children, and the time limit between two pages."""

import asyncio
import signal
from collections.abc import Callable

import pytest

from actors.engines import SourceFile, Unconvertible
from ilios.engines.local import process, protocol
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.pool import Pool
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument
from tests.ilios.engines.local.test_pool import LONG_PAGES, hit, long, short, still_works
from tests.waiting import wait_until


@pytest.mark.parametrize(
    "limits",
    [
        EngineLimits(processes=1, recycle_after_documents=1),
        EngineLimits(processes=1, recycle_above_bytes=1),
    ],
    ids=["after-documents", "above-bytes"],
)
async def test_a_retiring_child_is_replaced_while_idle(
    place_document: PlaceDocument, limits: EngineLimits
) -> None:
    async with LocalEngine(limits) as engine:
        await still_works(engine, place_document)
        seen = set(engine.child_pids)
        for _ in range(3):
            await wait_until(
                lambda: len(engine.child_pids) == 1 and not engine.child_pids & seen, 60
            )
            seen.update(engine.child_pids)
            await still_works(engine, place_document)


async def test_a_retiring_child_serves_until_its_replacement_is_ready(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_start = asyncio.Event()
    prepare = process.ChildProcess.prepare
    prepared: list[tuple[set[str], bool]] = []

    async def slow(child: process.ChildProcess, types: set[str], *, load_ocr: bool) -> None:
        prepared.append((set(types), load_ocr))
        await may_start.wait()
        await prepare(child, types, load_ocr=load_ocr)

    monkeypatch.setattr(process.ChildProcess, "prepare", slow)
    async with LocalEngine(EngineLimits(processes=1, recycle_after_documents=1)) as engine:
        await still_works(engine, place_document)
        (worn,) = engine.child_pids
        for _ in range(3):
            await still_works(engine, place_document)
            assert worn in engine.child_pids
        await wait_until(lambda: bool(prepared), 60)
        await still_works(engine, place_document)
        assert worn in engine.child_pids
        assert prepared == [({documents.PDF}, False)]
        may_start.set()
        await wait_until(lambda: worn not in engine.child_pids, 60)
        await still_works(engine, place_document)


async def test_a_working_child_is_replaced_when_its_document_is_done(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(EngineLimits(processes=1, recycle_after_documents=1)) as engine:
        await still_works(engine, place_document)
        (worn,) = engine.child_pids
        conversion = asyncio.create_task(engine.convert(long(place_document)))
        await wait_until(lambda: len(engine.child_pids) == 2, 60)
        assert len((await conversion).pages) == LONG_PAGES
        await wait_until(lambda: worn not in engine.child_pids, 60)


async def test_a_retiring_child_continues_if_no_replacement_starts(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0

    async def fails(*_: object, **__: object) -> None:
        nonlocal failed
        failed += 1
        raise process.StartFailed("no room")

    monkeypatch.setattr(process.ChildProcess, "prepare", fails)
    async with LocalEngine(EngineLimits(processes=1, recycle_after_documents=1)) as engine:
        await still_works(engine, place_document)
        (worn,) = engine.child_pids
        await wait_until(lambda: failed == 1 and engine.child_pids == {worn}, 60)
        await still_works(engine, place_document)
        await wait_until(lambda: failed == 2 and engine.child_pids == {worn}, 60)


async def test_a_document_without_progress_fails_before_its_total_time_is_over(
    place_document: PlaceDocument,
) -> None:
    limits = EngineLimits(processes=1, wall_seconds=600, page_seconds=2)
    async with LocalEngine(limits) as engine:
        await still_works(engine, place_document)
        with pytest.raises(
            Unconvertible, match="no page of it was finished within 2 sec"
        ) as caught:
            await engine.convert(long(place_document), hit(engine, signal.SIGSTOP))
        assert caught.value.code == "timeout"
        await still_works(engine, place_document)


async def test_a_document_with_progress_has_the_total_time(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time
    ahead = 0.0
    monkeypatch.setattr(loop, "time", lambda: now() + ahead)

    class Steady:
        """A child that finishes a page within the time of one, again and again."""

        cpu_seconds = 0.0

        async def run(
            self,
            document: SourceFile,
            task: object,
            progress: object,
            heartbeat: Callable[[], None],
        ) -> process.TaskResult:
            nonlocal ahead
            for _ in range(10):
                heartbeat()
                ahead += 40
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            refused = protocol.Refused("corrupt", "It is.", protocol.Wear(0, cramped=False))
            return process.TaskResult(refused, 1.0)

        def restore_priority(self) -> None:
            """Do nothing: no document waits."""

    limits = EngineLimits(processes=1, wall_seconds=1000, page_seconds=45)
    done = await Pool(limits)._run_task(
        Steady(),  # type: ignore[arg-type]
        short(place_document),
        protocol.ToMarkdown(),
        None,
    )
    assert isinstance(done.outcome, protocol.Refused)


async def test_a_warm_child_is_not_replaced(place_document: PlaceDocument) -> None:
    async with LocalEngine(EngineLimits(processes=2)) as engine:
        await still_works(engine, place_document)
        warm = engine.child_pids
        await still_works(engine, place_document)
        assert engine.child_pids == warm
        assert len(warm) == 1
