"""Work on many documents at once, within a bound."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

from msgspec import Struct

_T = TypeVar("_T")
_R = TypeVar("_R")


class Outcome(Struct, Generic[_T, _R], frozen=True):
    """What came of one item: ``result``, or the ``error`` that was raised."""

    item: _T
    result: _R | None = None
    error: Exception | None = None


async def in_parallel(
    items: Iterable[_T], work: Callable[[_T], Awaitable[_R]], concurrency: int
) -> AsyncGenerator[Outcome[_T, _R], None]:
    """Yield what comes of each item as soon as it is there; items are taken when their turn comes.

    Work that is not done is cancelled when the iteration ends early.
    """
    if concurrency < 1:
        raise ValueError("concurrency must be 1 or more")
    waiting, done = iter(items), asyncio.Queue[Outcome[_T, _R] | None](concurrency)
    tasks = [asyncio.create_task(_work_on(waiting, work, done)) for _ in range(concurrency)]
    try:
        for _ in tasks:
            while (outcome := await done.get()) is not None:
                yield outcome
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _work_on(
    waiting: Iterator[_T],
    work: Callable[[_T], Awaitable[_R]],
    done: asyncio.Queue[Outcome[_T, _R] | None],
) -> None:
    try:
        for item in waiting:
            try:
                outcome: Outcome[_T, _R] = Outcome(item, result=await work(item))
            except Exception as error:  # noqa: BLE001  # the caller decides about it
                outcome = Outcome(item, error=error)
            await done.put(outcome)
    except Exception:  # of the iterator
        await done.put(None)
        raise
    await done.put(None)
