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


async def _just_ended(code: int) -> asyncio.subprocess.Process:
    """Return a child that has ended since the loop ran last: asyncio has not read its code."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"read line; exit {code}", stdin=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(b"\n")
    _wait_until_ended(process.pid)
    return process


def _wait_until_ended(pid: int) -> None:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_child_that_has_just_ended_has_its_own_exit_code(number: signal.Signals) -> None:
    process = await _just_ended(7)
    child_signals.send_signal(process, number)
    assert await process.wait() == 7


async def test_stopping_a_child_that_has_just_ended_returns_its_own_exit_code() -> None:
    process = await _just_ended(7)
    assert await child_signals.stop(process, 60) == 7
    assert await child_signals.stop(process, 60) == 7


async def test_a_child_is_stopped_by_sigterm() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "600")
    assert await child_signals.stop(process, 60) == -signal.SIGTERM


async def test_a_child_that_does_not_end_in_time_is_killed() -> None:
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", IGNORING, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    assert await child_signals.stop(process, 0.1) == -signal.SIGKILL
