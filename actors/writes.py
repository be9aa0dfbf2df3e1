"""Writes to the database, and the writer: the only task that commits them, in groups.

Each write is a transaction as a value, with the type of its result. All writes that wait when a
commit ends are part of the next one, which makes them fast.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, Protocol, TypeVar, cast

import structlog
from msgspec import Struct

from schemas.documents import DocumentCompleted, DocumentRejected
from schemas.events import AnyEvent

ResultT = TypeVar("ResultT")


class Write(Struct, Generic[ResultT], frozen=True):
    """A transaction: stored whole or not at all, with a result after the commit."""


class Cursor(Struct, frozen=True):
    """The position of a reader on a log; ``created`` distinguishes logs with the same name."""

    stream: str
    created: str
    sequence: int


class LogEntry(Struct, frozen=True):
    """An event with its position on the log and the time at which it was stored."""

    sequence: int
    stored_at: datetime
    event: AnyEvent


Announcement = DocumentCompleted | DocumentRejected
"""What is published once it is committed."""


class ApplyEvents(Write[tuple[Announcement, ...]], frozen=True):
    """Apply entries of the log to the rows and move the cursor in the same transaction.

    Entries up to the stored cursor are applied already and have no effect. The result is what is to
    be published: the completion of every document whose conversion is among the entries, and the
    rejections among them that are the state of their document.
    """

    reader: str
    entries: tuple[LogEntry, ...]
    cursor: Cursor


class ResetCursor(Write[None], frozen=True):
    """Delete the cursor of a reader, which then reads the log from its beginning."""

    reader: str


class DocumentRef(Struct, frozen=True, array_like=True):
    """The tenant and the id that identify a document."""

    tenant: str
    document_id: str


class MarkErased(Write[None], frozen=True):
    """Record that the bytes of removed documents are erased."""

    names: tuple[DocumentRef, ...]
    at: datetime


class MarkSweep(Write[None], frozen=True):
    """Record the wall time of a pass of the janitor."""

    at: datetime


class MarkRunningTime(Write[None], frozen=True):
    """Record the running time of the service; a shorter one has no effect."""

    ran: timedelta


class ClockReading(Struct, frozen=True):
    """A moment as wall time and as running time of the service."""

    wall_time: datetime
    running_time: timedelta


class Hold(Struct, frozen=True):
    """A detected jump: the running time at its detection, and its size."""

    since: timedelta
    ahead: timedelta


class ClockState(Struct, frozen=True):
    """State over restarts: the last pass that trusted the clock, the last pass, and the hold."""

    trusted: ClockReading | None = None
    latest: ClockReading | None = None
    hold: Hold | None = None


class MarkClock(Write[None], frozen=True):
    """Record the state of the clock guard; ``MarkSweep`` records its last trusted wall time."""

    state: ClockState


class Ping(Write[None], frozen=True):
    """Commit without a change: a check of the writer."""


class WriteRefused(Exception):
    """The database refuses this write; it has no effect, and others are not affected."""


class DatabaseUnavailable(Exception):
    """The database cannot be written at the moment (full volume, I/O error)."""


class TransactionStore(Protocol):
    """Stores writes, several in one commit."""

    async def commit(self, writes: "list[Write[object]]") -> "list[object | WriteRefused]":
        """Store or refuse each write; the results are in the order of the writes.

        :raises DatabaseUnavailable: none was stored.
        """
        ...

    async def cursor(self, reader: str) -> Cursor | None:
        """Return the cursor of a reader, or None without one."""
        ...


CommitObserver = Callable[[int, float, bool], None]
"""Called after each commit with its number of writes, its seconds, and whether it was stored."""

QUEUE_SIZE = 1024  # waiting writes; further callers wait
GROUP_SIZE = 256  # writes in one commit

log = structlog.get_logger("writer")


class _PendingWrite(NamedTuple):
    write: Write[object]
    future: asyncio.Future[object]


class Writer:
    """Owns the transaction store. ``commit`` may be called at any time; ``run`` runs once.

    Cancelling a caller does not undo its write. A cancelled writer finishes the group in progress.
    """

    def __init__(self, store: TransactionStore, observe: CommitObserver | None = None) -> None:
        self._store = store
        self._observe = observe
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
        began = time.perf_counter()
        stored = await self._store_group(group)
        if self._observe is not None:
            self._observe(len(group), time.perf_counter() - began, stored)

    async def _store_group(self, group: list[_PendingWrite]) -> bool:
        """Store a group and give each caller its result; returns whether it was stored."""
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
            return True
        return False


def _set_exception(future: asyncio.Future[object], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # retrieved, or asyncio would log it for a cancelled caller
