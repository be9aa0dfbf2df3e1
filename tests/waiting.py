"""Waiting for facts, never for time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

LOOK_EVERY = 0.01  # seconds


async def wait_until(condition: Callable[[], bool | Awaitable[bool]], within: float = 60.0) -> None:
    """Return as soon as ``fact`` holds; fail when it does not ``within`` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        assert time.monotonic() < deadline, "this did not become true in time"
        await asyncio.sleep(LOOK_EVERY)
