"""Waiting for facts, never for time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

FIRST_PAUSE, LONGEST_PAUSE, LONGER = 0.01, 0.05, 1.25
"""Seconds between two looks, and how much longer each pause is: looking costs what is awaited."""


async def wait_until(condition: Callable[[], bool | Awaitable[bool]], within: float = 60.0) -> None:
    """Return as soon as ``condition`` holds; fail when it does not ``within`` seconds."""
    pause = FIRST_PAUSE
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        assert time.monotonic() < deadline, "this did not become true in time"
        await asyncio.sleep(pause)
        pause = min(LONGER * pause, LONGEST_PAUSE)
