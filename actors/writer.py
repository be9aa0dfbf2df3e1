"""The writer: the only task that writes to the database, in groups.

All writes that wait when a commit ends are part of the next one, which makes them fast.
"""

import asyncio
from typing import NamedTuple, TypeVar, cast

import structlog

from actors.writes import DatabaseUnavailable, TransactionStore, Write, WriteRefused

QUEUE_SIZE = 1024  # waiting writes; further callers wait
GROUP_SIZE = 256  # writes in one commit

ResultT = TypeVar("ResultT")

log = structlog.get_logger("writer")


class _PendingWrite(NamedTuple):
    write: Write[object]
    future: asyncio.Future[object]


class Writer:
    """Owns the transaction store. ``commit`` may be called at any time; ``run`` runs once.

    Cancelling a caller does not undo its write. A cancelled writer finishes the group in progress.
    """

    def __init__(self, store: TransactionStore) -> None:
        self._store = store
        self._queue: asyncio.Queue[_PendingWrite] = asyncio.Queue(QUEUE_SIZE)

    async def commit(self, write: Write[ResultT]) -> ResultT:
        """Return the result of a write after its commit.

        :raises WriteRefused: this write cannot be stored.
        :raises DatabaseUnavailable: nothing can be stored at the moment.
        """
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        await self._queue.put(_PendingWrite(cast("Write[object]", write), future))
        return cast("ResultT", await asyncio.shield(future))

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            group = [await self._queue.get()]
            while len(group) < GROUP_SIZE and not self._queue.empty():
                group.append(self._queue.get_nowait())
            committing = asyncio.ensure_future(self._commit_group(group))
            try:
                await asyncio.shield(committing)
            except asyncio.CancelledError:
                await committing
                raise

    async def _commit_group(self, group: list[_PendingWrite]) -> None:
        try:
            results = await self._store.commit([waiting.write for waiting in group])
        except DatabaseUnavailable as error:
            log.warning("database not writable", error=str(error))
            for waiting in group:
                _set_exception(waiting.future, error)
        except Exception as error:
            log.exception("unexpected error of the writer")
            for waiting in group:
                _set_exception(waiting.future, error)
        else:
            for waiting, answer in zip(group, results, strict=True):
                if isinstance(answer, WriteRefused):
                    _set_exception(waiting.future, answer)
                elif not waiting.future.done():
                    waiting.future.set_result(answer)


def _set_exception(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # retrieved, or asyncio would log it for a cancelled caller
