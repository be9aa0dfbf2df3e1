"""Signals to children that run, that have just ended, and that have been waited for."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from ilios.runtime import child_signals

IGNORING = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture(autouse=True)
async def _children_are_waited_for_by_the_loop() -> AsyncIterator[None]:
    """Elsewhere a thread may be faster: whether the code gets lost is then left to chance."""
    if sys.version_info >= (3, 12):  # the default
        yield
    else:
        watcher, before = asyncio.PidfdChildWatcher(), asyncio.get_child_watcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.set_child_watcher(watcher)
        yield
        asyncio.set_child_watcher(before)


async def _shell(code: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec("sh", "-c", code, stdout=asyncio.subprocess.PIPE)


def _wait_until_ended(pid: int) -> None:
    """Wait while the loop does not run, so that asyncio cannot have read the exit code."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_child_that_has_just_ended_has_its_own_exit_code(number: signal.Signals) -> None:
    process = await _shell("exit 7")
    _wait_until_ended(process.pid)
    child_signals.send_signal(process, number)
    assert await process.wait() == 7


async def test_stopping_a_child_that_has_just_ended_returns_its_own_exit_code() -> None:
    process = await _shell("exit 7")
    _wait_until_ended(process.pid)
    assert await child_signals.stop(process, 60) == 7
    assert await child_signals.stop(process, 60) == 7


async def test_a_child_is_stopped_by_sigterm() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "600")
    assert await child_signals.stop(process, 60) == -signal.SIGTERM


async def test_a_child_that_does_not_end_in_time_is_killed() -> None:
    process = await _shell(IGNORING)
    assert process.stdout is not None
    await process.stdout.readline()
    assert await child_signals.stop(process, 0.1) == -signal.SIGKILL
