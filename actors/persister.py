"""The persister: applies the events of the log to the database in order.

It consumes every event that changes a document or a batch, and publishes ``completed`` and
``rejected``. Its cursor
is stored in the same transaction as the rows, and reading resumes from it after a restart.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import get_args

import structlog

from actors.ports import Losses, NoLosses
from actors.writes import (
    Announcement,
    ApplyEvents,
    Cursor,
    LogEntry,
    ResetCursor,
    TransactionStore,
    Writer,
    WriteRefused,
)
from bus import codec, failpoints
from bus.connection import Connection
from bus.dead_letters import DeadLetterPublisher
from bus.delivery import Delivery
from bus.publisher import Publisher
from bus.reader import LOG_START, LogPosition, Reader, ReadSession, SequenceGap
from bus.subjects import StreamIdentity
from schemas.documents import DocumentCompleted, DocumentRejected
from schemas.events import AnyEvent

NAME = "persister"
GROUP_SIZE = 500  # events in one write
IDLE_TIMEOUT = 5.0  # seconds without an event, after which the cursor moves to the end of the log
HANDLED_EVENTS = tuple(
    kind for kind in get_args(AnyEvent) if kind not in (DocumentCompleted, DocumentRejected)
)
"""All but those that it publishes itself."""
# Seconds before reading again, so that two readers with one name do not load the bus.
REREAD_PAUSE = 0.1

EventObserver = Callable[[Sequence[LogEntry], Sequence[Announcement]], None]
"""Called with events that are committed, and with what was announced for them."""

log = structlog.get_logger(NAME)


class Persister:
    """Runs once per database, with the writer."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        store: TransactionStore,
        losses: Losses | None = None,
        observe: EventObserver | None = None,
    ) -> None:
        self._observe = observe
        self._losses = losses or NoLosses()
        self._position: LogPosition = LOG_START
        self._writer = writer
        self._store = store
        self._publisher = Publisher(connection)
        self._dead_letters = DeadLetterPublisher(self._publisher)
        self._reader = Reader(
            connection,
            NAME,
            "Makes rows of events, in order",
            HANDLED_EVENTS,
        )

    @property
    def sequence(self) -> int:
        """The sequence on the log up to which this process has applied it; 0 before the first."""
        return self._position.sequence

    async def ensure_only_reader(self) -> None:
        """Make sure that no other database is written from the same log.

        :raises ReaderInUse: another one is.
        """
        await self._reader.ensure_only_reader()

    async def run(self) -> None:
        """Apply the log until cancelled; errors of bus and database are raised."""
        async with self._reader.announce_presence():
            while True:
                try:
                    await self._consume()
                except SequenceGap as gap:
                    log.info("reading again from the cursor", reason=str(gap))
                    await asyncio.sleep(REREAD_PAUSE)

    async def _consume(self) -> None:
        # Before the consumer is moved, from which the core that came later reads.
        await self._publisher.ensure_current()
        stream = await self._reader.identity()
        done = await self._resume(stream)
        async with self._reader.read_after(done, GROUP_SIZE) as reading:
            # From here on a reconnect interrupts; before, the log may have lost its end unnoticed.
            now = await self._reader.identity()
            if now.created != stream.created or now.last_sequence < stream.last_sequence:
                raise SequenceGap("the log was cut while reading began")
            while True:
                group = await reading.fetch(GROUP_SIZE, IDLE_TIMEOUT)
                if group:
                    await self._handle_group(stream, group)
                else:
                    await self._advance_cursor(stream, reading)

    async def _advance_cursor(self, stream: StreamIdentity, reading: ReadSession) -> None:
        """Move the cursor to the end of the log, over events that do not change the database.

        Otherwise, once those are removed by age, they would look like events lost before reading.
        """
        try:
            end = await self._reader.end_position()
        except SequenceGap:
            if reading.has_deliveries:  # they came just now, and here
                return
            raise
        if end is not None and end.sequence > self._position.sequence:
            await self._commit(stream, [], end.sequence)
            self._position = end

    async def _resume(self, stream: StreamIdentity) -> int:
        cursor = await self._store.cursor(NAME)
        if cursor is None:
            return 0
        if await self._cursor_matches(cursor, stream):
            return cursor.sequence
        # Applying an event twice has no effect, so another log is simply read from its beginning.
        log.error(
            "another log than that of the database, reading it from its beginning",
            database=f"{cursor.created} up to {cursor.sequence}",
            log=f"{stream.created} up to {stream.last_sequence}",
        )
        # First: afterwards nothing shows the loss.
        await self._losses.record_loss(cursor, stream)
        # Or events with a sequence up to the cursor of the old log would be skipped.
        await self._writer.commit(ResetCursor(NAME))
        return 0

    async def _cursor_matches(self, cursor: Cursor, stream: StreamIdentity) -> bool:
        """Whether the log still has the events up to the cursor, as far as can be seen."""
        if cursor.created != stream.created or cursor.sequence > stream.last_sequence:
            return False
        # During an interruption its end may have been lost and grown beyond the cursor again.
        return self._position.sequence != cursor.sequence or await self._reader.has_event_at(
            self._position
        )

    async def _handle_group(self, stream: StreamIdentity, group: list[Delivery]) -> None:
        entries = [entry for delivery in group if (entry := await self._decode(delivery))]
        announcements = await self._apply(stream, entries, group)
        failpoints.reach("persister.committed")
        traced = {
            (delivery.tenant, delivery.subject.rpartition(".")[2]): delivery
            for delivery in group
            if delivery.has_trace
        }
        await asyncio.gather(
            *(
                self._announce(one, traced.get((one.tenant, one.document_id)))
                for one in announcements
            )
        )
        failpoints.reach("persister.announced")
        # Last: completions of unacknowledged events are published again after a crash.
        await group[-1].ack()
        self._position = LogPosition(group[-1].sequence, group[-1].stored_at)
        if self._observe is not None:
            self._observe(entries, announcements)

    async def _announce(self, document: Announcement, traced: Delivery | None) -> None:
        if traced is not None:
            traced.bind_trace()  # of this task alone
        await self._publisher.publish(document)
        if isinstance(document, DocumentRejected):
            log.warning(
                "document rejected",
                tenant=document.tenant,
                document_id=document.document_id,
                reason=document.reason,
            )
            return
        log.info(
            "document completed",
            actor=NAME,
            tenant=document.tenant,
            document_id=document.document_id,
            pages=document.pages,
            model=document.model,
            seconds=round(document.seconds, 3),
        )

    async def _decode(self, delivery: Delivery) -> LogEntry | None:
        try:
            event = codec.decode(delivery.subject, delivery.body)
        except codec.MalformedEvent as error:
            await self._dead_letters.publish(NAME, delivery, f"malformed event: {error}")
            rejected = codec.rejection(delivery.subject, delivery.sequence, error, delivery.body)
            if rejected is None:
                return None
            event = rejected
        return LogEntry(delivery.sequence, delivery.stored_at, event)

    async def _apply(
        self, stream: StreamIdentity, entries: list[LogEntry], group: list[Delivery]
    ) -> tuple[Announcement, ...]:
        """Write the group in one transaction; if the database refuses it, event by event.

        An event that cannot be written must not block those behind it.
        """
        last = group[-1].sequence
        try:
            return await self._commit(stream, entries, last)
        except WriteRefused:
            log.warning("group refused, applying one by one", events=len(entries))
        announcements: list[Announcement] = []
        by_sequence = {delivery.sequence: delivery for delivery in group}
        for entry in entries:
            try:
                announcements.extend(await self._commit(stream, [entry], entry.sequence))
            except WriteRefused as error:
                delivery = by_sequence[entry.sequence]
                await self._dead_letters.publish(NAME, delivery, f"cannot be written: {error}")
        announcements.extend(await self._commit(stream, [], last))
        return tuple(announcements)

    async def _commit(
        self, stream: StreamIdentity, entries: list[LogEntry], last: int
    ) -> tuple[Announcement, ...]:
        cursor = Cursor(stream.name, stream.created, last)
        return await self._writer.commit(ApplyEvents(NAME, tuple(entries), cursor))
