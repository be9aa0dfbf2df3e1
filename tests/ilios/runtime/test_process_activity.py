"""A process that works is told from one that does nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ilios.runtime.process_activity import ProcessActivity
from tests.waiting import wait_until


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
        before = ProcessActivity.of(pid)
        await wait_until(lambda: ProcessActivity.of(pid).cpu > before.cpu)
        assert ProcessActivity.of(pid).progressed_since(before)


async def test_an_idle_process_does_not() -> None:
    async with python("print(flush=True); import signal; signal.pause()") as pid:
        before = ProcessActivity.of(pid)

        def rests() -> bool:
            nonlocal before
            now = ProcessActivity.of(pid)
            if now.cpu > before.cpu:  # it was still starting
                before = now
            return now.at - before.at > 0.3

        await wait_until(rests)
        assert not ProcessActivity.of(pid).progressed_since(before)


def test_one_that_waits_for_a_disk_goes_on() -> None:
    assert ProcessActivity(9.0, 0.0, waits_for_disk=True).progressed_since(
        ProcessActivity(0.0, 0.0, waits_for_disk=False)
    )


async def test_one_that_is_gone_has_done_nothing() -> None:
    async with python("") as pid:
        pass
    assert ProcessActivity.of(pid).cpu == 0.0
