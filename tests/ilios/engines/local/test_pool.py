"""The pool of children: killed at any moment, hung, cancelled, replaced."""

import asyncio
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.engines import Conversion, EngineCrashed, SourceFile, Unconvertible
from ilios.engines.local import process, ranges
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.sandbox import confinement
from tests import documents
from tests.ilios.engines.conftest import PlaceDocument

ONE = EngineLimits(processes=1)
LONG_PAGES = 400
"""Pages enough for a test to act while the child is at work."""


def short(place_document: PlaceDocument) -> SourceFile:
    return place_document(documents.pdf("A short text."), documents.PDF)


def long(place_document: PlaceDocument) -> SourceFile:
    pages = [f"Page {number}\n" + "some words to lay out\n" * 30 for number in range(LONG_PAGES)]
    return place_document(documents.pdf(*pages), documents.PDF)


def hit(engine: LocalEngine, number: signal.Signals) -> Callable[[int, int], None]:
    """Return a progress callback that signals the one child as soon as it is at work."""

    def strike(done: int, _: int) -> None:
        if done == 0:
            (pid,) = engine.child_pids
            os.kill(pid, number)

    return strike


async def still_works(engine: LocalEngine, place_document: PlaceDocument) -> None:
    conversion = await engine.convert(short(place_document))
    assert conversion.pages == ("A short text.",)


async def test_a_hung_child_is_a_timeout_and_is_replaced(place_document: PlaceDocument) -> None:
    async with LocalEngine(EngineLimits(processes=1, wall_seconds=3)) as engine:
        await still_works(engine, place_document)
        (hung,) = engine.child_pids
        with pytest.raises(Unconvertible) as caught:
            await engine.convert(long(place_document), hit(engine, signal.SIGSTOP))
        assert caught.value.code == "timeout"
        await still_works(engine, place_document)
        assert hung not in engine.child_pids


@pytest.mark.parametrize(
    ("number", "blame"),
    [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGSEGV, True)],
)
async def test_a_child_death_is_attributed_to_its_cause(
    place_document: PlaceDocument, number: signal.Signals, *, blame: bool
) -> None:
    async with LocalEngine(ONE) as engine:
        with pytest.raises(EngineCrashed) as caught:
            await engine.convert(long(place_document), hit(engine, number))
        assert caught.value.document_blamed is blame
        await still_works(engine, place_document)


async def test_a_child_killed_between_documents_costs_nothing(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        for _ in range(3):
            await still_works(engine, place_document)
            (pid,) = engine.child_pids
            os.kill(pid, signal.SIGKILL)


async def test_a_stopped_child_killed_between_documents_costs_nothing(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        await still_works(engine, place_document)
        (pid,) = engine.child_pids
        os.kill(pid, signal.SIGSTOP)
        conversion = asyncio.create_task(engine.convert(short(place_document)))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        assert (await conversion).pages == ("A short text.",)


@pytest.mark.slow
async def test_exhausted_cpu_time_is_a_timeout(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A range must not end by time before its CPU time is used up, however busy the machine is.
    monkeypatch.setattr(ranges, "RANGE_SECONDS", 300.0)
    first, *more = (documents.text_image(*[f"words {page}"] * 30) for page in range(24))
    scans = documents.image_file(first, "TIFF", more)
    async with LocalEngine(EngineLimits(processes=1, cpu_seconds=1)) as engine:
        with pytest.raises(Unconvertible) as caught:
            await engine.convert(place_document(scans, documents.TIFF))
        assert caught.value.code == "timeout"
        await still_works(engine, place_document)


async def test_a_memory_bomb_is_refused_and_its_neighbour_finishes(
    place_document: PlaceDocument,
) -> None:
    limits = EngineLimits(processes=2, memory_bytes=400 * MIB)
    bomb = place_document(documents.bomb_pdf(300 * MIB), documents.PDF)
    async with LocalEngine(limits) as engine:
        refused, *good = await asyncio.gather(
            engine.convert(bomb),
            engine.convert(long(place_document)),
            engine.convert(short(place_document)),
            return_exceptions=True,
        )
        await still_works(engine, place_document)
    assert isinstance(refused, Unconvertible)
    assert refused.code == "out_of_memory"
    assert [len(done.pages) for done in good if isinstance(done, Conversion)] == [LONG_PAGES, 1]


async def test_a_cancelled_conversion_frees_its_slot_and_ends_its_child(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        at_work = asyncio.Event()
        task = asyncio.create_task(engine.convert(long(place_document), lambda *_: at_work.set()))
        await at_work.wait()
        (busy,) = engine.child_pids
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await still_works(engine, place_document)
        assert busy not in engine.child_pids


async def test_a_conversion_cancelled_while_its_child_starts_leaves_nothing(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        for turns in range(12):
            task = asyncio.create_task(engine.convert(short(place_document)))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await still_works(engine, place_document)


async def test_closing_the_engine_ends_running_and_waiting_documents(
    place_document: PlaceDocument,
) -> None:
    async with LocalEngine(ONE) as engine:
        at_work = asyncio.Event()
        document = long(place_document)
        tasks = [
            asyncio.create_task(engine.convert(document, lambda *_: at_work.set()))
            for _ in range(3)
        ]
        await at_work.wait()
    assert not engine.child_pids
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(ended, EngineCrashed)
        assert not ended.document_blamed


async def test_a_child_that_cannot_start_is_reported_after_a_few_attempts(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named liteparse' >&2\nexit 1\n")
    broken.chmod(0o700)
    async with LocalEngine(ONE) as engine:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(broken))
            with pytest.raises(process.StartFailed, match="No module named liteparse") as caught:
                await engine.convert(short(place_document))
        assert not caught.value.document_blamed
        await still_works(engine, place_document)


async def test_a_child_sees_no_secret_of_the_environment(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "a-secret")
    monkeypatch.setenv("PGPASSWORD", "a-secret")
    async with LocalEngine(ONE) as engine:
        await still_works(engine, place_document)
        (pid,) = engine.child_pids
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        status = Path(f"/proc/{pid}/status").read_text()
        bounds = Path(f"/proc/{pid}/limits").read_text()
        scratch = Path(f"/proc/{pid}/cwd").readlink()
        assert os.getsid(pid) == pid
    assert b"a-secret" not in environment
    assert "NoNewPrivs:\t1" in status
    assert str(ONE.memory_bytes + confinement.RESERVE_BYTES) in bounds
    assert not scratch.exists()


def test_the_children_of_a_killed_service_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "document"
    path.write_bytes(documents.pdf("A short text."))
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert service.stdout
    with service, open(os.devnull):
        child = os.pidfd_open(int(service.stdout.readline()))
        try:
            service.kill()
            assert select.select([child], [], [], 10)[0], "the child outlives the service"
        finally:
            os.close(child)


SERVICE = f"""
import asyncio, sys
from pathlib import Path
from actors.engines import SourceFile
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local import ranges
from ilios.engines.local.engine import LocalEngine

async def main():
    async with LocalEngine(EngineLimits(processes=1)) as engine:
        await engine.convert(SourceFile(Path(sys.argv[1]), "{documents.PDF}"))
        print(*engine.child_pids, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_service_itself_loads_no_parser() -> None:
    heavy = {"liteparse", "pypdfium2", "numpy", "PIL", "lxml", "cv2", "rapidocr"}
    listing = subprocess.run(
        [sys.executable, "-c", "import ilios.engines.local.engine, sys; print(*sys.modules)"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert not heavy & set(listing.split())


@pytest.mark.slow
async def test_children_killed_at_random_never_block_the_pool(
    place_document: PlaceDocument,
) -> None:
    dice = random.Random(7)
    document = place_document(documents.pdf(*["Some words on a page."] * 20), documents.PDF)
    good = 0
    blamed: list[bool] = []

    async with LocalEngine(EngineLimits(processes=2)) as engine:

        async def convert_often() -> None:
            nonlocal good
            for _ in range(6):
                try:
                    good += len((await engine.convert(document)).pages) == 20
                except EngineCrashed as crash:
                    blamed.append(crash.document_blamed)

        async def strike(until: asyncio.Future[list[None]]) -> None:
            while not until.done():
                await asyncio.wait([until], timeout=dice.uniform(0, 0.15))
                for pid in dice.sample(sorted(engine.child_pids), len(engine.child_pids) // 2):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue

        work = asyncio.gather(*(convert_often() for _ in range(4)))
        await strike(work)
        await work
        await still_works(engine, place_document)
    assert good
    assert not any(blamed)
