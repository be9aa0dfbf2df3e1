"""A process that works is told from one that does nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ilios.process_work import Work
from tests.waiting import until


@asynccontextmanager
async def python(code: str) -> AsyncIterator[int]:
    """Run ``code`` in a process of its own and lend its id."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


async def test_a_busy_process_goes_on() -> None:
    async with python("while True: pass") as pid:
        before = Work.of(pid)
        await until(lambda: Work.of(pid).cpu > before.cpu)
        assert Work.of(pid).goes_on(before)


async def test_an_idle_process_does_not() -> None:
    async with python("print(flush=True); import signal; signal.pause()") as pid:
        before = Work.of(pid)

        def rests() -> bool:
            nonlocal before
            now = Work.of(pid)
            if now.cpu > before.cpu:  # it was still starting
                before = now
            return now.at - before.at > 0.3

        await until(rests)
        assert not Work.of(pid).goes_on(before)


def test_one_that_waits_for_a_disk_goes_on() -> None:
    assert Work(9.0, 0.0, waits_for_disk=True).goes_on(Work(0.0, 0.0, waits_for_disk=False))


async def test_one_that_is_gone_has_done_nothing() -> None:
    async with python("") as pid:
        pass
    assert Work.of(pid).cpu == 0.0
