"""Makes what the log says true in the database, in order, and announces what has become true.

Hears every event that changes a document or a batch, says ``completed``. Keeps its cursor, in the
same transaction as the rows: on restart the cursor is the truth.
"""

import asyncio

import structlog

from bus import failpoints, wire
from bus.connection import Connection
from bus.dead_letters import DeadLetters
from bus.delivery import Delivery
from bus.publisher import Publisher
from bus.reader import BEGINNING, OutOfOrder, Place, Reader
from bus.streams import StreamIdentity
from schemas.batches import BatchCompleted, BatchProgressed, BatchSubmitted
from schemas.documents import (
    DocumentArchived,
    DocumentCancelled,
    DocumentCompleted,
    DocumentConverted,
    DocumentDeleted,
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
)

from .losses import Losses, NoLosses
from .writer import Writer
from .writes import ApplyEntries, Cursor, Entry, Forget, Ledger, WriteRefused

NAME = "persister"
GROUP = 500  # events in one write
QUIET = 5.0  # seconds without an event, after which the cursor is moved to the end of the log
HEARS = (
    DocumentSubmitted,
    DocumentFetched,
    DocumentConverted,
    DocumentFailed,
    DocumentCancelled,
    DocumentArchived,
    DocumentDeleted,
    BatchSubmitted,
    BatchProgressed,
    BatchCompleted,
)
AGAIN_AFTER = 0.1  # seconds before reading again, lest two who read by one name keep the bus busy

log = structlog.get_logger(NAME)


class Persister:
    """One per database, beside the writer."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        ledger: Ledger,
        losses: Losses | None = None,
    ) -> None:
        self._losses = losses or NoLosses()
        self._done: Place = BEGINNING
        self._writer = writer
        self._ledger = ledger
        self._publisher = Publisher(connection)
        self._dead_letters = DeadLetters(self._publisher)
        self._reader = Reader(
            connection,
            NAME,
            "Makes rows of events, in order",
            HEARS,
        )

    async def refuse_company(self) -> None:
        """Make sure that no other database is written from the same log.

        :raises ReaderTaken: one is.
        """
        await self._reader.refuse_company()

    async def run(self) -> None:
        """Read the log until cancelled; what the bus or the database refuses is raised."""
        async with self._reader.present():
            while True:
                try:
                    await self._read_on()
                except OutOfOrder as gap:
                    log.info("reading again from the cursor", reason=str(gap))
                    await asyncio.sleep(AGAIN_AFTER)

    async def _read_on(self) -> None:
        stream = await self._reader.identity()
        done = await self._resume(stream)
        async with self._reader.read_after(done, GROUP) as reading:
            while True:
                group = await reading.group(GROUP, QUIET)
                if group:
                    await self._settle(stream, group)
                else:
                    await self._pass_over(stream)

    async def _pass_over(self, stream: StreamIdentity) -> None:
        """Move the cursor to the end of the log, over events that change nothing in the database.

        Else, once those have gone by age, it would look as if some had gone that were not read.
        """
        end = await self._reader.end()
        if end is not None and end.sequence > self._done.sequence:
            await self._keep(stream, [], end.sequence)
            self._done = end

    async def _resume(self, stream: StreamIdentity) -> int:
        cursor = await self._ledger.cursor(NAME)
        if cursor is None:
            return 0
        if await self._is_of(cursor, stream):
            return cursor.sequence
        # Applying an event twice changes nothing, so a log that began anew is simply read whole.
        log.error(
            "the log is not the one this database was written from; reading it from its beginning",
            database=f"{cursor.created} up to {cursor.sequence}",
            log=f"{stream.created} up to {stream.last_sequence}",
        )
        # First: afterwards nothing shows it any more.
        await self._losses.notice(cursor, stream)
        # Or events that get a number the old log had reached would count as known, and be lost.
        await self._writer.keep(Forget(NAME))
        return 0

    async def _is_of(self, cursor: Cursor, stream: StreamIdentity) -> bool:
        """Whether the log has what was read of it, as far as can be seen."""
        if cursor.created != stream.created or cursor.sequence > stream.last_sequence:
            return False
        # Its end may be lost and be grown again beyond the cursor, all while we were not connected.
        return self._done.sequence != cursor.sequence or await self._reader.has(self._done)

    async def _settle(self, stream: StreamIdentity, group: list[Delivery]) -> None:
        entries = [entry for delivery in group if (entry := await self._decode(delivery))]
        completed = await self._apply(stream, entries, group)
        failpoints.reach("persister.committed")
        await asyncio.gather(*map(self._announce, completed))
        failpoints.reach("persister.announced")
        # Last: what was not acknowledged is announced again after a crash.
        await group[-1].ack()
        self._done = Place(group[-1].sequence, group[-1].stored_at)

    async def _announce(self, document: DocumentCompleted) -> None:
        await self._publisher.say(document)
        log.info(
            "document completed",
            actor=NAME,
            tenant=document.tenant,
            document_id=document.document_id,
            pages=document.pages,
            model=document.model,
            seconds=round(document.seconds, 3),
        )

    async def _decode(self, delivery: Delivery) -> Entry | None:
        try:
            event = wire.decode(delivery.subject, delivery.body)
        except wire.Malformed as error:
            await self._dead_letters.bury(NAME, delivery, f"malformed event: {error}")
            return None
        return Entry(delivery.sequence, delivery.stored_at, event)

    async def _apply(
        self, stream: StreamIdentity, entries: list[Entry], group: list[Delivery]
    ) -> tuple[DocumentCompleted, ...]:
        """Write the group in one transaction; if the database refuses it, event by event.

        One event the database chokes on must not stop the log for everybody.
        """
        last = group[-1].sequence
        try:
            return await self._keep(stream, entries, last)
        except WriteRefused:
            log.warning("group refused, applying one by one", events=len(entries))
        completed: list[DocumentCompleted] = []
        by_sequence = {delivery.sequence: delivery for delivery in group}
        for entry in entries:
            try:
                completed.extend(await self._keep(stream, [entry], entry.sequence))
            except WriteRefused as error:
                delivery = by_sequence[entry.sequence]
                await self._dead_letters.bury(NAME, delivery, f"cannot be written: {error}")
        completed.extend(await self._keep(stream, [], last))
        return tuple(completed)

    async def _keep(
        self, stream: StreamIdentity, entries: list[Entry], last: int
    ) -> tuple[DocumentCompleted, ...]:
        cursor = Cursor(stream.name, stream.created, last)
        return await self._writer.keep(ApplyEntries(NAME, tuple(entries), cursor))
