"""Being told to stop in the midst of what forgets that one was.

The client's own waits catch a cancellation while they clear up, and those of Python before 3.12
lose one that comes in the moment of an answer: whoever was told to stop would go on.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reraise_swallowed_cancellation() -> Iterator[None]:
    """Raise what was caught in the body of the context, if the task was told to stop meanwhile."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
