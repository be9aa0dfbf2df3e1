"""The aggregator: submits the documents of batches, and completes batches.

It consumes ``batch.submitted`` and the terminal events of documents, and publishes ``submitted``
for each document and ``batch.completed``. The unfinished documents of open batches are in memory,
read from the database at the start and refreshed regularly. The published counts are those of the
database.
"""

import asyncio
import time
from collections.abc import Iterable

import msgspec
import structlog

from actors.ports import BatchQueries
from bus import codec, failpoints, subjects, tracing
from bus.connection import Connection
from bus.dead_letters import DeadLetterPublisher
from bus.delivery import Delivery
from bus.errors import AlreadyPublished
from bus.log import Log
from bus.publisher import Publisher
from bus.reader import Reader, ReadSession, SequenceGap
from schemas.batches import BatchCompleted, BatchSubmitted, document_submissions
from schemas.documents import (
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentSubmitted,
)

NAME = "aggregator"
GROUP_SIZE = 200  # events in one group
# Seconds before reading again, so that two readers with one name do not load the bus.
REREAD_PAUSE = 0.1
MIN_POLL_INTERVAL = 0.05  # seconds between lookups of a batch whose documents have ended
MAX_POLL_INTERVAL = 5.0  # seconds at most, doubled each time
REFRESH_INTERVAL = 15.0  # seconds; finds terminal events that were missed
# Seconds, doubled each time up to the above: the database may apply an event only after a crash of
# the aggregator that has acknowledged it.
FIRST_REFRESH_INTERVAL = 1.0

Ref = tuple[str, str]
"""A tenant, and the id of a batch or a document."""

log = structlog.get_logger(NAME)


class Aggregator:
    """Runs once per database. Repeating its work has no effect."""

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
        """Process batches until cancelled; errors of bus and database are raised."""
        while True:
            try:
                await self._reader.identity()
                async with self._reader.resume(GROUP_SIZE) as reading:
                    await self._consume(reading)
            except SequenceGap as gap:
                log.info("reading again from the ack floor", reason=str(gap))
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
                # Also under constant load.
                if time.monotonic() - self._refreshed_at >= self._refresh_interval:
                    await self._refresh()
        finally:
            next_group.cancel()

    def _next_timeout(self) -> float:
        """Return how long to wait for the next event before the next lookup in the database."""
        if all(self._unfinished.values()):
            self._poll_interval = MIN_POLL_INTERVAL
            return self._refresh_interval
        wait = self._poll_interval
        self._poll_interval = min(2 * wait, MAX_POLL_INTERVAL)
        return wait

    async def _refresh(self) -> None:
        """Read open batches and their unfinished documents from the database."""
        for batch in await self._batches.open_batches():
            name = (batch.tenant, batch.batch_id)
            if (previous := self._unfinished.get(name)) is None:
                self._track(name, batch.unfinished)
            else:
                for document_id in previous - batch.unfinished:
                    self._mark_ended((batch.tenant, document_id))
        self._refreshed_at = time.monotonic()
        self._refresh_interval = min(2 * self._refresh_interval, REFRESH_INTERVAL)

    async def _handle_group(self, group: list[Delivery]) -> None:
        for delivery in group:
            try:
                if delivery.subject.startswith(f"{subjects.BATCH}."):
                    delivery.bind_trace()
                    try:
                        await self._submit_documents(delivery)
                    finally:
                        tracing.bind(())
                else:
                    address = subjects.parse_document(delivery.subject)
                    self._mark_ended((address.tenant, address.document_id))
            except (codec.MalformedEvent, subjects.MalformedSubject) as error:
                await self._dead_letters.publish(NAME, delivery, f"malformed event: {error}")
        # Last: unacknowledged events are delivered again after a crash.
        await group[-1].ack()

    async def _submit_documents(self, delivery: Delivery) -> None:
        """Submit all documents of a batch before it is acknowledged."""
        batch = codec.decode(delivery.subject, delivery.body)
        if not isinstance(batch, BatchSubmitted):
            raise codec.MalformedEvent(f"{type(batch).__name__} is not expected on this subject")
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
        await asyncio.gather(*map(self._submit_document, document_submissions(batch)))
        failpoints.reach("aggregator.submitted")
        log.info(
            "batch submitted",
            tenant=batch.tenant,
            batch_id=batch.batch_id,
            documents=len(batch.documents),
        )

    async def _submit_document(self, document: DocumentSubmitted) -> None:
        try:
            await self._publisher.publish_if_first(document)
        except AlreadyPublished:
            first = await self._log.first_submission(document.tenant, document.document_id)
            if first is None or first.event != document:  # its consumer makes it a dead letter
                await self._publisher.publish(document)

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
        """Publish the completion of batches whose documents have all ended in the database.

        The database may be behind: failures arrive here as soon as they are on the log.
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
                        reference=record.reference,
                        metadata=record.metadata,
                    )
                )
            del self._unfinished[name]

    async def _publish_completed(self, batch: BatchCompleted) -> None:
        try:
            await self._publisher.publish_if_first(batch)
        except AlreadyPublished:
            return
        failpoints.reach("aggregator.published")
        log.info(
            "batch completed",
            tenant=batch.tenant,
            batch_id=batch.batch_id,
            completed=batch.completed,
            failed=batch.failed,
        )
