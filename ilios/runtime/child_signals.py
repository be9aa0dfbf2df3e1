"""Signals to child processes of asyncio that leave their exit codes true."""

import asyncio
import os
import signal
from asyncio.subprocess import Process
from contextlib import suppress


def send_signal(process: Process, number: signal.Signals) -> None:
    """Send a signal to a child; do nothing when it has ended.

    ``Process.send_signal``, ``terminate`` and ``kill`` poll the child first. Of one that has just
    ended this takes the exit code before asyncio reads it, which then reports 255. The pid stays
    its own until asyncio has read the code; the kernel gives out all others before it again.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def stop(process: Process, within: float) -> int:
    """Send SIGTERM, after ``within`` seconds SIGKILL; return the exit code once it has ended."""
    send_signal(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            return await process.wait()
    send_signal(process, signal.SIGKILL)
    return await process.wait()
