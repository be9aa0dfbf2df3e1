"""Sets documents going again that nobody works on any more.

A document waits for somebody as long as the consumer of its stage has not acknowledged its event:
however long that takes, it is in order. One whose event was acknowledged and that has not moved is
stuck, and so is one whose event has left the log. It is said again what was said last; what was
said again several times to no avail has failed.
"""

from datetime import datetime, timedelta
from enum import Enum, auto

import msgspec
import structlog
from msgspec import Struct

from bus.consumers import Consumer, lane_of
from bus.log import BatchSubmission, Log, Submission, Word
from bus.progress import Progress
from bus.publisher import Publisher
from schemas.batches import submissions
from schemas.documents import (
    DocumentEvent,
    DocumentFailed,
    DocumentSubmitted,
)
from schemas.records import DocumentRecord

from . import repeating
from .upkeep import Upkeep

PASS = 500  # documents looked at in one pass
STUCK_AFTER = timedelta(minutes=5)  # since its submission, and between two attempts to help it
ATTEMPTS = 5
UNFINISHED = ("pending", "processing")
_ENDS = ("converted", "failed", "cancelled")

log = structlog.get_logger("janitor")


class Readers(Struct, frozen=True):
    """Who hears what: the consumers of the two stages, and the durables of those that read all."""

    fetcher: Consumer
    ocr: Consumer
    persister: str
    aggregator: str


class Redriven(Struct, frozen=True):
    """How many documents a pass has set going, and given up."""

    redriven: int = 0
    given_up: int = 0


class _Fate(Enum):
    WAITING = auto()
    REDRIVEN = auto()
    GIVEN_UP = auto()


class Redriving:
    """Looks at unfinished documents, oldest first, a portion in each pass."""

    def __init__(
        self,
        publisher: Publisher,
        log_of_events: Log,
        progress: Progress,
        upkeep: Upkeep,
        readers: Readers,
        stuck_after: timedelta = STUCK_AFTER,
    ) -> None:
        self._publisher = publisher
        self._log = log_of_events
        self._progress = progress
        self._upkeep = upkeep
        self._readers = readers
        self._stuck_after = stuck_after
        self._after: DocumentRecord | None = None
        self._helped: dict[tuple[str, str], tuple[int, datetime]] = {}  # how often, when last

    async def sweep(self, now: datetime) -> Redriven:
        """Look at the next portion of unfinished documents."""
        before = now - self._stuck_after
        found = await self._upkeep.unfinished(before, self._after, PASS)
        self._after = found[-1] if len(found) == PASS else None
        if self._after is None:
            await self._forget_ended()
        if not found:
            return Redriven()
        # First of all: an actor says its answer before it acknowledges, so what is acknowledged
        # by now and has an answer has it on the log already.
        settled = await self._settled(found)
        fates = [await self._look(document, settled, now) for document in found]
        return Redriven(fates.count(_Fate.REDRIVEN), fates.count(_Fate.GIVEN_UP))

    async def _forget_ended(self) -> None:
        """Remember of those that were helped only the ones that have still not ended."""
        known = await self._upkeep.among(self._helped)
        left = {(one.tenant, one.document_id) for one in known if one.state in UNFINISHED}
        self._helped = {name: times for name, times in self._helped.items() if name in left}

    async def _settled(self, documents: list[DocumentRecord]) -> dict[str, int]:
        """Return up to where each durable that these documents may wait for has acknowledged."""
        durables = {self._stage(document) for document in documents}
        durables |= {self._readers.persister, self._readers.aggregator}
        return {durable: await self._progress.settled(durable) for durable in durables}

    def _stage(self, document: DocumentRecord) -> str:
        consumer = self._readers.fetcher if document.state == "pending" else self._readers.ocr
        return consumer.durable(lane_of(document.priority))

    async def _look(
        self, document: DocumentRecord, settled: dict[str, int], now: datetime
    ) -> _Fate:
        first = await self._submission(document) if document.state == "pending" else None
        heard = "submitted" if document.state == "pending" else "fetched"
        word = await self._last_word(document, heard) or first
        if word is not None and word.sequence > settled[self._stage(document)]:
            return _Fate.WAITING
        answers = await self._answers(document)
        if any(answer.sequence > settled[self._readers.persister] for answer in answers):
            return _Fate.WAITING
        batch = await self._batch(document) if word is None else None
        if batch is not None and batch.sequence > settled[self._readers.aggregator]:
            return _Fate.WAITING
        if not await self._is_still_there(document):
            return _Fate.WAITING
        if answers:
            return await self._give_up_unwritable(document, answers)
        again: DocumentEvent | None
        if document.state == "processing":
            again = repeating.fetched(document)
        elif first is not None:
            again = msgspec.structs.replace(first.event, requeues=document.requeues)
        else:
            again = _of_batch(document, batch) or repeating.submitted(document)
        return await self._help(document, again, now)

    async def _help(
        self, document: DocumentRecord, again: DocumentEvent | None, now: datetime
    ) -> _Fate:
        times, last = self._helped.get((document.tenant, document.document_id), (0, None))
        # A time in the future was written before the clock was set back.
        if last is not None and abs(now - last) < self._stuck_after:
            return _Fate.WAITING
        if again is None:
            return await self._give_up(
                document, "lost", "The bus lost this document before its bytes were stored."
            )
        if times >= ATTEMPTS:
            return await self._give_up(
                document, "stuck", f"The conversion was begun {times + 1} times and never ended."
            )
        return await self._redrive(document, again, times, now)

    async def _answers(self, document: DocumentRecord) -> list[Word]:
        """Return what was said of the document that the database should show but does not."""
        later = ("fetched", *_ENDS) if document.state == "pending" else _ENDS
        words = [await self._last_word(document, event) for event in later]
        return [word for word in words if word and word.event.requeues >= document.requeues]

    async def _batch(self, document: DocumentRecord) -> BatchSubmission | None:
        if document.batch_id is None:
            return None
        return await self._log.batch(document.tenant, document.batch_id)

    async def _is_still_there(self, document: DocumentRecord) -> bool:
        """Whether the document is as it was when the pass began: others go on meanwhile."""
        found = await self._upkeep.among([(document.tenant, document.document_id)])
        return [one.state for one in found] == [document.state]

    async def _give_up_unwritable(self, document: DocumentRecord, answers: list[Word]) -> _Fate:
        log.error(
            "the database has not taken what was said of a document",
            tenant=document.tenant,
            document_id=document.document_id,
            sequences=[answer.sequence for answer in answers],
        )
        if any(isinstance(answer.event, DocumentFailed) for answer in answers):
            return _Fate.WAITING  # to say that again would not help either
        return await self._give_up(document, "unwritable", "The result could not be stored.")

    async def _submission(self, document: DocumentRecord) -> Submission | None:
        """Return the one that counts: another under the same id would be dropped again."""
        return await self._log.first_submission(document.tenant, document.document_id)

    async def _last_word(self, document: DocumentRecord, event: str) -> Word | None:
        return await self._log.last_word(document.tenant, document.document_id, event=event)

    async def _redrive(
        self, document: DocumentRecord, again: DocumentEvent, times: int, now: datetime
    ) -> _Fate:
        await self._publisher.say(again, again=f"redriven-{now.timestamp():.0f}")
        self._helped[document.tenant, document.document_id] = (times + 1, now)
        log.warning(
            "document redriven",
            tenant=document.tenant,
            document_id=document.document_id,
            state=document.state,
            times=times + 1,
        )
        return _Fate.REDRIVEN

    async def _give_up(self, document: DocumentRecord, code: str, reason: str) -> _Fate:
        await self._publisher.say(
            DocumentFailed(
                tenant=document.tenant,
                document_id=document.document_id,
                priority=document.priority,
                requeues=document.requeues,
                code=code,
                reason=f"{reason} Submit it again.",
                retryable=True,
            )
        )
        log.error(
            "document given up",
            tenant=document.tenant,
            document_id=document.document_id,
            code=code,
        )
        return _Fate.GIVEN_UP


def _of_batch(document: DocumentRecord, batch: BatchSubmission | None) -> DocumentSubmitted | None:
    for submission in submissions(batch.event) if batch else ():
        if submission.document_id == document.document_id:
            return msgspec.structs.replace(submission, requeues=document.requeues)
    return None
