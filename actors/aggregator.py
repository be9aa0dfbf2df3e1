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

from bus import failpoints, subjects, wire
from bus.connection import Connection
from bus.dead_letters import DeadLetters
from bus.delivery import Delivery
from bus.errors import AlreadySaid
from bus.log import Log
from bus.publisher import Publisher
from bus.reader import OutOfOrder, Reader, Reading
from schemas.batches import BatchCompleted, BatchSubmitted, submissions
from schemas.documents import DocumentCancelled, DocumentCompleted, DocumentFailed

from .ports import Batches

NAME = "aggregator"
GROUP = 200  # events taken at once
AGAIN_AFTER = 0.1  # seconds before reading again, lest two who read by one name keep the bus busy
FIRST_LOOK = 0.05  # seconds until a batch whose documents have ended is asked for again
LAST_LOOK = 5.0  # seconds, at most, the wait having doubled each time
REBUILD_EVERY = 15.0  # seconds; for ends that were heard by nobody
# Seconds, doubled each time up to the above: what was heard and acknowledged before a crash, the
# database may learn only after it, and nobody says it again.
REBUILD_AFTER_START = 1.0

Name = tuple[str, str]
"""A tenant, and the id of a batch or a document."""

log = structlog.get_logger(NAME)


class Aggregator:
    """One per database. What it does twice changes nothing."""

    def __init__(self, connection: Connection, batches: Batches) -> None:
        self._batches = batches
        self._log = Log(connection)
        self._publisher = Publisher(connection)
        self._dead_letters = DeadLetters(self._publisher)
        self._reader = Reader(
            connection,
            NAME,
            "Follows batches to their end",
            (BatchSubmitted, DocumentCompleted, DocumentFailed, DocumentCancelled),
        )
        self._unfinished: dict[Name, set[str]] = {}  # batch -> documents that have not ended
        self._batch_of: dict[Name, Name] = {}  # document -> batch
        self._look_after = FIRST_LOOK
        self._rebuild_after = REBUILD_AFTER_START
        self._rebuilt_at = 0.0

    async def run(self) -> None:
        """Follow batches until cancelled; what the bus or the database refuses is raised."""
        while True:
            try:
                await self._reader.identity()
                async with self._reader.read_on(GROUP) as reading:
                    await self._follow(reading)
            except OutOfOrder as gap:
                log.info("reading again from what was acknowledged", reason=str(gap))
                await asyncio.sleep(AGAIN_AFTER)

    async def _follow(self, reading: Reading) -> None:
        self._unfinished.clear()
        self._batch_of.clear()
        self._rebuild_after = REBUILD_AFTER_START / 2
        await self._rebuild()
        heard = asyncio.ensure_future(reading.group(GROUP))
        try:
            while True:
                await self._finish()
                done, _ = await asyncio.wait({heard}, timeout=self._patience())
                if done:
                    group = heard.result()
                    heard = asyncio.ensure_future(reading.group(GROUP))
                    await self._settle(group)
                # Also under a load that never lets up.
                if time.monotonic() - self._rebuilt_at >= self._rebuild_after:
                    await self._rebuild()
        finally:
            heard.cancel()

    def _patience(self) -> float:
        """Return how long to wait for the next event before looking at the database again."""
        if all(self._unfinished.values()):
            self._look_after = FIRST_LOOK
            return self._rebuild_after
        wait = self._look_after
        self._look_after = min(2 * wait, LAST_LOOK)
        return wait

    async def _rebuild(self) -> None:
        """Learn from the database which batches are open and what they still wait for."""
        for batch in await self._batches.open_batches():
            name = (batch.tenant, batch.batch_id)
            if (known := self._unfinished.get(name)) is None:
                self._open(name, batch.unfinished)
            else:
                for document_id in known - batch.unfinished:
                    self._end((batch.tenant, document_id))
        self._rebuilt_at = time.monotonic()
        self._rebuild_after = min(2 * self._rebuild_after, REBUILD_EVERY)

    async def _settle(self, group: list[Delivery]) -> None:
        for delivery in group:
            try:
                if delivery.subject.startswith(f"{subjects.BATCH}."):
                    await self._begin(delivery)
                else:
                    address = subjects.parse(delivery.subject)
                    self._end((address.tenant, address.document_id))
            except (wire.Malformed, subjects.NotAnAddress) as error:
                await self._dead_letters.bury(NAME, delivery, f"malformed event: {error}")
        # Last: what was not acknowledged is heard again after a crash.
        await group[-1].ack()

    async def _begin(self, delivery: Delivery) -> None:
        """Submit the documents of a batch, all of them, before it counts as heard."""
        batch = wire.decode(delivery.subject, delivery.body)
        if not isinstance(batch, BatchSubmitted):
            raise wire.Malformed(f"{type(batch).__name__} is not heard here")
        first = await self._log.batch(batch.tenant, batch.batch_id)
        if first is not None and first.sequence != delivery.sequence:
            if first.event != batch:
                reason = f"id already taken by another batch, sequence {first.sequence}"
                await self._dead_letters.bury(NAME, delivery, reason)
            return
        name = (batch.tenant, batch.batch_id)
        record = await self._batches.batch(*name)
        if record is not None and record.completed_at is not None:
            return
        if name not in self._unfinished:
            self._open(name, (document.document_id for document in batch.documents))
        if batch.submitted_at is None:
            batch = msgspec.structs.replace(batch, submitted_at=delivery.stored_at)
        await asyncio.gather(*map(self._publisher.say, submissions(batch)))
        failpoints.reach("aggregator.submitted")
        log.info(
            "batch submitted",
            tenant=batch.tenant,
            batch_id=batch.batch_id,
            documents=len(batch.documents),
        )

    def _open(self, name: Name, unfinished: Iterable[str]) -> None:
        self._unfinished[name] = set(unfinished)
        for document_id in self._unfinished[name]:
            self._batch_of[name[0], document_id] = name

    def _end(self, document: Name) -> None:
        batch = self._batch_of.pop(document, None)
        if batch is not None:
            self._unfinished[batch].discard(document[1])
            self._look_after = FIRST_LOOK

    async def _finish(self) -> None:
        """Say of batches whose documents have ended that they have, once the database agrees.

        It may be behind: a failure is heard here as soon as the log has it.
        """
        for name in [name for name, unfinished in self._unfinished.items() if not unfinished]:
            record = await self._batches.batch(*name)
            if record is None or not record.progress.ended:
                continue
            if record.completed_at is None:
                await self._say(
                    BatchCompleted(
                        tenant=record.tenant,
                        batch_id=record.batch_id,
                        total=record.progress.total,
                        completed=record.progress.completed,
                        failed=record.progress.failed,
                    )
                )
            del self._unfinished[name]

    async def _say(self, batch: BatchCompleted) -> None:
        try:
            await self._publisher.say_first(batch)
        except AlreadySaid:
            return
        failpoints.reach("aggregator.said")
        log.info(
            "batch completed",
            tenant=batch.tenant,
            batch_id=batch.batch_id,
            completed=batch.completed,
            failed=batch.failed,
        )
