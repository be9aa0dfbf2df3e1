"""Follows batches: submits their documents, hears how they end, says when the last one has.

Hears ``batch.submitted`` and the ends of documents, says ``submitted`` of each document and
``batch.completed``. Keeps in memory which documents of open batches have not ended; that is made
anew from the database at every start, and now and then, so that it cannot drift. The counts it says
are the database's.
"""

import asyncio
import time
from collections.abc import Iterable

import msgspec
import structlog

from actors.ports import BatchQueries
from bus import codec, failpoints, subjects
from bus.connection import Connection
from bus.dead_letters import DeadLetterPublisher
from bus.delivery import Delivery
from bus.errors import AlreadyPublished
from bus.log import Log
from bus.publisher import Publisher
from bus.reader import Reader, ReadSession, SequenceGap
from schemas.batches import BatchCompleted, BatchSubmitted, document_submissions
from schemas.documents import DocumentCancelled, DocumentCompleted, DocumentFailed

NAME = "aggregator"
GROUP_SIZE = 200  # events taken at once
REREAD_PAUSE = 0.1  # seconds before reading again, lest two who read by one name keep the bus busy
MIN_POLL_INTERVAL = 0.05  # seconds until a batch whose documents have ended is asked for again
MAX_POLL_INTERVAL = 5.0  # seconds, at most, the wait having doubled each time
REFRESH_INTERVAL = 15.0  # seconds; for ends that were heard by nobody
# Seconds, doubled each time up to the above: what was heard and acknowledged before a crash, the
# database may learn only after it, and nobody says it again.
FIRST_REFRESH_INTERVAL = 1.0

Ref = tuple[str, str]
"""A tenant, and the id of a batch or a document."""

log = structlog.get_logger(NAME)


class Aggregator:
    """One per database. What it does twice changes nothing."""

    def __init__(self, connection: Connection, batches: BatchQueries) -> None:
        self._batches = batches
        self._log = Log(connection)
        self._publisher = Publisher(connection)
        self._dead_letters = DeadLetterPublisher(self._publisher)
        self._reader = Reader(
            connection,
            NAME,
            "Follows batches to their end",
            (BatchSubmitted, DocumentCompleted, DocumentFailed, DocumentCancelled),
        )
        self._unfinished: dict[Ref, set[str]] = {}  # batch -> documents that have not ended
        self._batch_of: dict[Ref, Ref] = {}  # document -> batch
        self._poll_interval = MIN_POLL_INTERVAL
        self._refresh_interval = FIRST_REFRESH_INTERVAL
        self._refreshed_at = 0.0

    async def run(self) -> None:
        """Follow batches until cancelled; what the bus or the database refuses is raised."""
        while True:
            try:
                await self._reader.identity()
                async with self._reader.resume(GROUP_SIZE) as reading:
                    await self._consume(reading)
            except SequenceGap as gap:
                log.info("reading again from what was acknowledged", reason=str(gap))
                await asyncio.sleep(REREAD_PAUSE)

    async def _consume(self, reading: ReadSession) -> None:
        self._unfinished.clear()
        self._batch_of.clear()
        self._refresh_interval = FIRST_REFRESH_INTERVAL / 2
        await self._refresh()
        next_group = asyncio.ensure_future(reading.fetch(GROUP_SIZE))
        try:
            while True:
                await self._complete_batches()
                done, _ = await asyncio.wait({next_group}, timeout=self._next_timeout())
                if done:
                    group = next_group.result()
                    next_group = asyncio.ensure_future(reading.fetch(GROUP_SIZE))
                    await self._handle_group(group)
                # Also under a load that never lets up.
                if time.monotonic() - self._refreshed_at >= self._refresh_interval:
                    await self._refresh()
        finally:
            next_group.cancel()

    def _next_timeout(self) -> float:
        """Return how long to wait for the next event before looking at the database again."""
        if all(self._unfinished.values()):
            self._poll_interval = MIN_POLL_INTERVAL
            return self._refresh_interval
        wait = self._poll_interval
        self._poll_interval = min(2 * wait, MAX_POLL_INTERVAL)
        return wait

    async def _refresh(self) -> None:
        """Learn from the database which batches are open and what they still wait for."""
        for batch in await self._batches.open_batches():
            name = (batch.tenant, batch.batch_id)
            if (known := self._unfinished.get(name)) is None:
                self._track(name, batch.unfinished)
            else:
                for document_id in known - batch.unfinished:
                    self._mark_ended((batch.tenant, document_id))
        self._refreshed_at = time.monotonic()
        self._refresh_interval = min(2 * self._refresh_interval, REFRESH_INTERVAL)

    async def _handle_group(self, group: list[Delivery]) -> None:
        for delivery in group:
            try:
                if delivery.subject.startswith(f"{subjects.BATCH}."):
                    await self._submit_documents(delivery)
                else:
                    address = subjects.parse_document(delivery.subject)
                    self._mark_ended((address.tenant, address.document_id))
            except (codec.MalformedEvent, subjects.MalformedSubject) as error:
                await self._dead_letters.publish(NAME, delivery, f"malformed event: {error}")
        # Last: what was not acknowledged is heard again after a crash.
        await group[-1].ack()

    async def _submit_documents(self, delivery: Delivery) -> None:
        """Submit the documents of a batch, all of them, before it counts as heard."""
        batch = codec.decode(delivery.subject, delivery.body)
        if not isinstance(batch, BatchSubmitted):
            raise codec.MalformedEvent(f"{type(batch).__name__} is not heard here")
        first = await self._log.batch(batch.tenant, batch.batch_id)
        if first is not None and first.sequence != delivery.sequence:
            if first.event != batch:
                reason = f"id already taken by another batch, sequence {first.sequence}"
                await self._dead_letters.publish(NAME, delivery, reason)
            return
        name = (batch.tenant, batch.batch_id)
        record = await self._batches.batch(*name)
        if record is not None and record.completed_at is not None:
            return
        if name not in self._unfinished:
            self._track(name, (document.document_id for document in batch.documents))
        if batch.submitted_at is None:
            batch = msgspec.structs.replace(batch, submitted_at=delivery.stored_at)
        await asyncio.gather(*map(self._publisher.publish, document_submissions(batch)))
        failpoints.reach("aggregator.submitted")
        log.info(
            "batch submitted",
            tenant=batch.tenant,
            batch_id=batch.batch_id,
            documents=len(batch.documents),
        )

    def _track(self, name: Ref, unfinished: Iterable[str]) -> None:
        self._unfinished[name] = set(unfinished)
        for document_id in self._unfinished[name]:
            self._batch_of[name[0], document_id] = name

    def _mark_ended(self, document: Ref) -> None:
        batch = self._batch_of.pop(document, None)
        if batch is not None:
            self._unfinished[batch].discard(document[1])
            self._poll_interval = MIN_POLL_INTERVAL

    async def _complete_batches(self) -> None:
        """Say of batches whose documents have ended that they have, once the database agrees.

        It may be behind: a failure is heard here as soon as the log has it.
        """
        for name in [name for name, unfinished in self._unfinished.items() if not unfinished]:
            record = await self._batches.batch(*name)
            if record is None or not record.progress.is_finished:
                continue
            if record.completed_at is None:
                await self._publish_completed(
                    BatchCompleted(
                        tenant=record.tenant,
                        batch_id=record.batch_id,
                        total=record.progress.total,
                        completed=record.progress.completed,
                        failed=record.progress.failed,
                    )
                )
            del self._unfinished[name]

    async def _publish_completed(self, batch: BatchCompleted) -> None:
        try:
            await self._publisher.publish_if_first(batch)
        except AlreadyPublished:
            return
        failpoints.reach("aggregator.said")
        log.info(
            "batch completed",
            tenant=batch.tenant,
            batch_id=batch.batch_id,
            completed=batch.completed,
            failed=batch.failed,
        )
