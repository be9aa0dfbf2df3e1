"""Replaying the log into new databases, as the persister applies it but without publishing."""

from pathlib import Path

from msgspec import Struct

from actors.persister import GROUP_SIZE, HANDLED_EVENTS, NAME
from actors.pricing import Pricing
from actors.writes import ApplyEvents, Cursor, LogEntry, Write, WriteRefused
from bus import codec, subjects
from bus.connection import Connection
from bus.delivery import Delivery
from bus.reader import LogExtent, replay
from ilios.database.connection import open_writer
from ilios.database.recovery import snapshots
from ilios.database.sqlite import Database
from ilios.database.store import SqliteTransactionStore
from schemas.batches import BatchEvent, BatchSubmitted
from schemas.documents import (
    DocumentArchived,
    DocumentCancelled,
    DocumentConverted,
    DocumentDeleted,
    DocumentEvent,
    DocumentFailed,
    DocumentRejected,
    DocumentSubmitted,
)
from schemas.events import AnyEvent
from schemas.imports import BatchImported, DocumentImported

CONTROL_GROUP_SIZE = 16
"""Events in one transaction of the control database. How events are grouped must not matter."""

_END_EVENTS = (DocumentConverted, DocumentFailed, DocumentCancelled, DocumentImported)

Ref = tuple[str, str]
"""Tenant and id, of a document or a batch."""


class LogIndex:
    """Which documents and batches the log mentions, without what its events do to them.

    ``documents`` and ``batches`` hold the sequence of the last event about each. ``ends`` holds the
    latest attempt of a document that has an end on the log, as its number of requeues.
    """

    def __init__(self) -> None:
        self.documents: dict[Ref, int] = {}
        self.batches: dict[Ref, int] = {}
        self.submitted: set[Ref] = set()
        self.rejected: set[Ref] = set()
        self.submitted_batches: set[Ref] = set()
        self.converted: set[Ref] = set()
        self.ends: dict[Ref, int] = {}

    def add(self, sequence: int, event: AnyEvent) -> None:
        """Add an event that was not refused."""
        if isinstance(event, BatchEvent):
            self._add_batch_event(sequence, event)
        elif isinstance(event, DocumentEvent):
            self._add_document_event(sequence, event)

    def _add_batch_event(self, sequence: int, event: BatchEvent) -> None:
        batch = (event.tenant, event.batch_id)
        self.batches[batch] = sequence
        if isinstance(event, BatchImported):
            self.submitted_batches.add(batch)
        elif isinstance(event, BatchSubmitted) and batch not in self.submitted_batches:
            self.submitted_batches.add(batch)
            documents = [(event.tenant, document.document_id) for document in event.documents]
            for document in documents:
                self._submit(document)
            self.documents.update(dict.fromkeys(documents, sequence))

    def _add_document_event(self, sequence: int, event: DocumentEvent) -> None:
        document = (event.tenant, event.document_id)
        self.documents[document] = sequence
        if isinstance(event, DocumentSubmitted):
            self._submit(document)
        elif isinstance(event, DocumentRejected):
            self.rejected.add(document)
        elif isinstance(event, DocumentConverted):
            self.converted.add(document)
        elif isinstance(event, DocumentImported):
            self._submit(document)
            if event.markdown is not None:
                self.converted.add(document)
        if isinstance(event, _END_EVENTS) or self._removes(document, event):
            self.ends[document] = max(event.requeues, self.ends.get(document, 0))

    def _submit(self, document: Ref) -> None:
        if document in self.rejected and document not in self.submitted:
            self.ends.pop(document, None)  # the end of the rejected one
        self.submitted.add(document)

    def _removes(self, document: Ref, event: DocumentEvent) -> bool:
        if isinstance(event, DocumentDeleted) and event.cause == "requested":
            return True
        # Only what has ended is archived or expires. The projection ignores either for a document
        # that has not, so this counts only where the end may lie before the log.
        removes = isinstance(event, DocumentArchived | DocumentDeleted)
        return removes and document not in self.submitted


class BuildResult(Struct, frozen=True):
    """Sources of a new database.

    ``applied`` events are in it. ``refused`` events could not be applied, now or the first time.
    ``malformed`` messages are no events.
    """

    index: LogIndex
    applied: int
    refused: int
    malformed: int


async def build(
    target: Path,
    control: Path,
    base: Path | None,
    connection: Connection,
    extent: LogExtent | None,
    pricing: Pricing,
) -> BuildResult:
    """Make the same database twice, from the snapshot ``base`` and the later events of the log.

    There is no file at either path. ``control`` gets the events in smaller transactions, without
    waiting for the disk. The whole log is read; events that the snapshot contains are only indexed.

    :raises BusUnavailable: the log cannot be read to its end.
    :raises DatabaseUnavailable: a database cannot be written.
    """
    if base is not None:
        for path in (target, control):
            snapshots.copy_snapshot(base, path)
    async with open_writer(target) as target_database, open_writer(control) as control_database:
        await control_database.execute("PRAGMA synchronous = OFF")
        replayed = _Replay(
            _Projection(target_database, pricing, GROUP_SIZE),
            _Projection(control_database, pricing, CONTROL_GROUP_SIZE),
        )
        if extent is not None:
            await replayed.run(connection, extent)
        return BuildResult(
            replayed.index,
            replayed.target.applied,
            replayed.target.refused,
            replayed.malformed,
        )


class _Replay:
    def __init__(self, target: "_Projection", control: "_Projection") -> None:
        self.target, self._control = target, control
        self.index = LogIndex()
        self.malformed = 0

    async def run(self, connection: Connection, extent: LogExtent) -> None:
        applied_up_to = await self.target.applied_up_to(extent)
        async for group in replay(connection, extent.first - 1, extent.last, GROUP_SIZE):
            entries = [entry for delivery in group if (entry := self._decode(delivery))]
            fresh = [entry for entry in entries if entry.sequence > applied_up_to]
            refused = await self.target.apply(extent, fresh)
            await self._control.apply(extent, fresh)
            for entry in entries:
                if entry.sequence not in refused:
                    self.index.add(entry.sequence, entry.event)
        # The last messages may be none of these events: the persister continues after them.
        if extent.last > applied_up_to:
            for projection in (self.target, self._control):
                await projection.move_cursor(extent)

    def _decode(self, delivery: Delivery) -> LogEntry | None:
        if delivery.subject.startswith(f"{subjects.JANITOR}."):
            return None  # about the service itself; nothing in the database depends on it
        try:
            event = codec.decode(delivery.subject, delivery.body)
        except codec.MalformedEvent as error:
            self.malformed += 1
            rejected = codec.rejection(delivery.subject, delivery.sequence, error, delivery.body)
            return LogEntry(delivery.sequence, delivery.stored_at, rejected) if rejected else None
        if not isinstance(event, HANDLED_EVENTS):
            return None
        return LogEntry(delivery.sequence, delivery.stored_at, event)


class _Projection:
    """One database that events are applied to, at most ``group_size`` in a transaction."""

    def __init__(self, database: Database, pricing: Pricing, group_size: int) -> None:
        self._store = SqliteTransactionStore(database, pricing)
        self._group_size = group_size
        self.applied = self.refused = 0

    async def applied_up_to(self, extent: LogExtent) -> int:
        cursor = await self._store.cursor(NAME)
        return cursor.sequence if cursor and cursor.created == extent.created else 0

    async def apply(self, extent: LogExtent, entries: list[LogEntry]) -> set[int]:
        """Apply events; returns the sequences of those that are refused."""
        refused: set[int] = set()
        for start in range(0, len(entries), self._group_size):
            refused |= await self._apply_group(extent, entries[start : start + self._group_size])
        self.applied += len(entries) - len(refused)
        self.refused += len(refused)
        return refused

    async def _apply_group(self, extent: LogExtent, group: list[LogEntry]) -> set[int]:
        if await self._commit(extent, group, group[-1].sequence):
            return set()
        # The persister has made a dead letter of each event that is refused alone.
        return {
            entry.sequence
            for entry in group
            if not await self._commit(extent, [entry], entry.sequence)
        }

    async def move_cursor(self, extent: LogExtent) -> None:
        await self._commit(extent, [], extent.last)

    async def _commit(self, extent: LogExtent, entries: list[LogEntry], last: int) -> bool:
        cursor = Cursor(extent.name, extent.created, last)
        write: Write[object] = ApplyEvents(NAME, tuple(entries), cursor)  # type: ignore[assignment]
        (answer,) = await self._store.commit([write])
        return not isinstance(answer, WriteRefused)
