"""Restart of documents that are stuck.

A document is waiting, for any time, until the consumer of its stage has acknowledged its event. If
its event was acknowledged, or is no longer on the log, and the document has not moved, it is stuck;
so it is where the consumer has no workers: those of a former version lack that for uploads without
a fetcher. Its last event is then published again, or ``fetched`` where its original is stored;
after several times without success it fails.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum, auto

import msgspec
import structlog
from msgspec import Struct

from actors import publishable
from actors.ports import MaintenanceQueries
from bus.consumers import Consumer, ConsumerProgress, lane_for
from bus.log import Log, StoredBatchSubmission, StoredEvent, StoredSubmission
from bus.publisher import Publisher
from schemas.batches import find_submission
from schemas.documents import (
    DocumentEvent,
    DocumentFailed,
    DocumentSubmitted,
)
from schemas.records import DocumentRecord
from schemas.states import UNFINISHED_STATES

PASS_SIZE = 500  # documents in one pass
STUCK_AFTER = timedelta(minutes=5)  # since its submission, and between two attempts
MAX_ATTEMPTS = 5
END_OF_LOG = 2**62
_FINAL_EVENTS = ("converted", "failed", "cancelled")

log = structlog.get_logger("janitor")


class StageConsumers(Struct, frozen=True):
    """The consumers of the two stages, and the durables of persister and aggregator."""

    fetcher: Consumer
    ocr: Consumer
    persister: str
    aggregator: str


class StuckCounts(Struct, frozen=True):
    """Restarted and failed documents of a pass."""

    redriven: int = 0
    given_up: int = 0


class _Outcome(Enum):
    WAITING = auto()
    REDRIVEN = auto()
    GIVEN_UP = auto()


class StuckDocuments:
    """Examines unfinished documents, oldest first, a portion in each pass."""

    def __init__(
        self,
        publisher: Publisher,
        event_log: Log,
        ack_floors: ConsumerProgress,
        queries: MaintenanceQueries,
        consumers: StageConsumers,
        stuck_after: timedelta = STUCK_AFTER,
        *,
        takes_work: Callable[[], bool] = lambda: True,
    ) -> None:
        """``takes_work`` tells whether the workers of this process want any."""
        self._takes_work = takes_work
        self._publisher = publisher
        self._log = event_log
        self._ack_floors = ack_floors
        self._queries = queries
        self._consumers = consumers
        self._stuck_after = stuck_after
        self._deserted_since: dict[str, datetime] = {}  # by durable
        self._last_seen: DocumentRecord | None = None
        self._redriven: dict[tuple[str, str], tuple[int, datetime]] = {}  # how often, when last

    async def sweep(self, now: datetime) -> StuckCounts:
        """Examine the next portion of unfinished documents."""
        before = now - self._stuck_after
        found = await self._queries.unfinished_documents(before, self._last_seen, PASS_SIZE)
        self._last_seen = found[-1] if len(found) == PASS_SIZE else None
        if self._last_seen is None:
            await self._forget_ended()
        if not found:
            return StuckCounts()
        # First: an actor publishes before it acknowledges, so the result of an event that is
        # acknowledged by now is on the log already.
        floors = await self._read_ack_floors(found, now)
        outcomes = [await self._examine(document, floors, now) for document in found]
        return StuckCounts(outcomes.count(_Outcome.REDRIVEN), outcomes.count(_Outcome.GIVEN_UP))

    async def _forget_ended(self) -> None:
        """Forget the attempts at documents that have ended."""
        found = await self._queries.lookup(self._redriven)
        left = {(one.tenant, one.document_id) for one in found if one.state in UNFINISHED_STATES}
        self._redriven = {name: times for name, times in self._redriven.items() if name in left}

    async def _read_ack_floors(
        self, documents: list[DocumentRecord], now: datetime
    ) -> dict[str, int]:
        """Return the ack floors of the durables that these documents may wait for.

        That of a durable that has had no workers for long is the end of the log.
        """
        read = self._ack_floors.ack_floor
        lanes = {lane_for(document.priority) for document in documents}
        stages = (self._consumers.fetcher, *self._consumers.ocr.sources)
        names = {stage.durable(lane) for stage in stages for lane in lanes}
        names |= {self._consumers.persister, self._consumers.aggregator}
        floors = {durable: await read(durable) for durable in names}
        stored = self._consumers.ocr.beside
        for durable in {stored.durable(lane) for lane in lanes} if stored else ():
            if await self._is_deserted(durable, now):
                floors[durable] = END_OF_LOG
        return floors

    async def _is_deserted(self, durable: str, now: datetime) -> bool:
        # Workers that are paused exist, and request nothing.
        if not self._takes_work() or await self._ack_floors.has_workers(durable):
            self._deserted_since.pop(durable, None)
            return False
        return now - self._deserted_since.setdefault(durable, now) >= self._stuck_after

    async def _examine(
        self, document: DocumentRecord, floors: dict[str, int], now: datetime
    ) -> _Outcome:
        first = await self._log.first_submission(document.tenant, document.document_id)
        events = await self._events_of_stage(document, first)
        if any(sequence > floors[durable] for durable, sequence in events):
            return _Outcome.WAITING
        later = await self._later_events(document)
        if any(answer.sequence > floors[self._consumers.persister] for answer in later):
            return _Outcome.WAITING
        batch = await self._batch_submission(document) if not events else None
        if batch is not None and batch.sequence > floors[self._consumers.aggregator]:
            return _Outcome.WAITING
        if not await self._is_unchanged(document):
            return _Outcome.WAITING
        if later:
            return await self._give_up_unwritable(document, later)
        event: DocumentEvent | None
        if document.state == "processing":
            event = publishable.fetched_event(document)
        elif first is not None:
            event = msgspec.structs.replace(first.event, requeues=document.requeues)
        else:
            event = _from_batch(document, batch) or publishable.submitted_event(document)
        return await self._redrive_or_give_up(document, event, now)

    async def _events_of_stage(
        self, document: DocumentRecord, first: StoredSubmission | None
    ) -> list[tuple[str, int]]:
        """Return the durables that deliver the events of the document's stage, and their sequences.

        ``first`` is the valid submission: another one with the same id is ignored.
        """
        lane, stored = lane_for(document.priority), self._consumers.ocr.beside
        found: list[tuple[str, int]] = []
        for one in (first, await self._last_event(document, "submitted")):
            if one is None or not isinstance(one.event, DocumentSubmitted):
                continue
            if one.event.detected is not None and stored is not None:
                found.append((stored.durable(lane), one.sequence))
            elif document.state == "pending":
                found.append((self._consumers.fetcher.durable(lane), one.sequence))
        if document.state == "processing":
            fetched = await self._last_event(document, "fetched")
            if fetched is not None:
                found.append((self._consumers.ocr.durable(lane), fetched.sequence))
        return found

    async def _redrive_or_give_up(
        self, document: DocumentRecord, event: DocumentEvent | None, now: datetime
    ) -> _Outcome:
        times, last = self._redriven.get((document.tenant, document.document_id), (0, None))
        # abs: a time in the future was stored before the clock was set back.
        if last is not None and abs(now - last) < self._stuck_after:
            return _Outcome.WAITING
        if event is None:
            return await self._give_up(
                document, "lost", "The bus lost this document before its bytes were stored."
            )
        if times >= MAX_ATTEMPTS:
            return await self._give_up(
                document, "stuck", f"The conversion was begun {times + 1} times and never ended."
            )
        return await self._redrive(document, event, times, now)

    async def _later_events(self, document: DocumentRecord) -> list[StoredEvent]:
        """Return the events of the document that the database should have applied but has not."""
        later = ("fetched", *_FINAL_EVENTS) if document.state == "pending" else _FINAL_EVENTS
        found = [await self._last_event(document, event) for event in later]
        return [one for one in found if one and one.event.requeues >= document.requeues]

    async def _batch_submission(self, document: DocumentRecord) -> StoredBatchSubmission | None:
        if document.batch_id is None:
            return None
        return await self._log.batch(document.tenant, document.batch_id)

    async def _is_unchanged(self, document: DocumentRecord) -> bool:
        """Whether the document still has the state of the beginning of the pass."""
        found = await self._queries.lookup([(document.tenant, document.document_id)])
        return [one.state for one in found] == [document.state]

    async def _give_up_unwritable(
        self, document: DocumentRecord, later: list[StoredEvent]
    ) -> _Outcome:
        log.error(
            "events of a document not applied",
            tenant=document.tenant,
            document_id=document.document_id,
            sequences=[answer.sequence for answer in later],
        )
        if any(isinstance(answer.event, DocumentFailed) for answer in later):
            return _Outcome.WAITING  # another failure would not be applied either
        return await self._give_up(document, "unwritable", "The result could not be stored.")

    async def _last_event(self, document: DocumentRecord, event: str) -> StoredEvent | None:
        return await self._log.last_event(document.tenant, document.document_id, event_name=event)

    async def _redrive(
        self, document: DocumentRecord, event: DocumentEvent, times: int, now: datetime
    ) -> _Outcome:
        await self._publisher.publish(event, msg_id_suffix=f"redriven-{now.timestamp():.0f}")
        self._redriven[document.tenant, document.document_id] = (times + 1, now)
        log.warning(
            "document redriven",
            tenant=document.tenant,
            document_id=document.document_id,
            state=document.state,
            times=times + 1,
        )
        return _Outcome.REDRIVEN

    async def _give_up(self, document: DocumentRecord, code: str, reason: str) -> _Outcome:
        await self._publisher.publish(
            publishable.failed_event(document, code, f"{reason} Submit it again.")
        )
        log.error(
            "document given up",
            tenant=document.tenant,
            document_id=document.document_id,
            code=code,
        )
        return _Outcome.GIVEN_UP


def _from_batch(
    document: DocumentRecord, batch: StoredBatchSubmission | None
) -> DocumentSubmitted | None:
    submitted = find_submission(batch.event, document.document_id) if batch else None
    return submitted and msgspec.structs.replace(submitted, requeues=document.requeues)
