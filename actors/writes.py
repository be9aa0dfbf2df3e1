"""Writes to the database: each is a transaction as a value, with the type of its result."""

from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from actors.clock_guard import ClockState
from schemas.documents import DocumentCompleted
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


class ApplyEvents(Write[tuple[DocumentCompleted, ...]], frozen=True):
    """Apply entries of the log to the rows and move the cursor in the same transaction.

    Entries up to the stored cursor are applied already and have no effect. The result is the
    completions to publish: of every document whose conversion is among the entries.
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
