"""Being told to stop in the midst of what forgets that one was.

The client's own waits catch a cancellation while they clear up, and those of Python before 3.12
lose one that comes in the moment of an answer: whoever was told to stop would go on.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cancellation_kept() -> Iterator[None]:
    """Raise what was caught in the body of the context, if the task was told to stop meanwhile."""
    me = asyncio.current_task()
    before = me.cancelling() if me else 0
    yield
    if me and me.cancelling() > before:
        raise asyncio.CancelledError
