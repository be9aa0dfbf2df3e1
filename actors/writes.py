"""What can be written: each write is a whole transaction as a value, with what it answers."""

from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from actors.clock_guard import ClockState
from schemas.documents import DocumentCompleted
from schemas.events import AnyEvent

ResultT = TypeVar("ResultT")


class Write(Struct, Generic[ResultT], frozen=True):
    """One transaction: kept whole or not at all, answered after the commit."""


class Cursor(Struct, frozen=True):
    """How far a reader of the log has come, and on which log: ``created`` tells two apart."""

    stream: str
    created: str
    sequence: int


class LogEntry(Struct, frozen=True):
    """An event with its place on the log and the time at which the log took it."""

    sequence: int
    stored_at: datetime
    event: AnyEvent


class ApplyEvents(Write[tuple[DocumentCompleted, ...]], frozen=True):
    """Make rows of entries of the log and remember in the same transaction how far that is.

    Entries at or before the stored cursor are known already and change nothing. Answers with what
    is to be announced: the completion of every document whose conversion is among the entries.
    """

    reader: str
    entries: tuple[LogEntry, ...]
    cursor: Cursor


class ResetCursor(Write[None], frozen=True):
    """Forget how far a reader has come: it reads the log from its beginning."""

    reader: str


class DocumentRef(Struct, frozen=True, array_like=True):
    """What names a document everywhere."""

    tenant: str
    document_id: str


class MarkErased(Write[None], frozen=True):
    """Note that the bytes of these removed documents are gone."""

    names: tuple[DocumentRef, ...]
    at: datetime


class MarkSweep(Write[None], frozen=True):
    """Note when the janitor last looked at what is due, by the wall clock."""

    at: datetime


class MarkRunningTime(Write[None], frozen=True):
    """Note how long the service has run on this database; a shorter time changes nothing."""

    ran: timedelta


class MarkClock(Write[None], frozen=True):
    """Note what is believed of the wall clock; when it was believed last, ``MarkSweep`` notes."""

    state: ClockState


class Ping(Write[None], frozen=True):
    """Write nothing, but commit: shows that the writer lives."""


class WriteRefused(Exception):
    """The database refuses this one write; it left no trace and others are not affected."""


class DatabaseUnavailable(Exception):
    """The database cannot be written at the moment (full volume, I/O error); nothing was kept."""


class TransactionStore(Protocol):
    """Keeps writes, several in one commit."""

    async def commit(self, writes: "list[Write[object]]") -> "list[object | WriteRefused]":
        """Keep each write or refuse it; answers stand in the order of the writes.

        :raises LedgerUnavailable: none was kept.
        """
        ...

    async def cursor(self, reader: str) -> Cursor | None:
        """Return how far ``reader`` has come, or None if it never wrote anything."""
        ...
