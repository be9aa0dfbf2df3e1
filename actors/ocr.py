"""The OCR actor: has an engine convert documents to Markdown.

It consumes ``fetched``, and ``submitted`` of uploads that need no fetcher, and publishes
``converted``. Its memory is only an optimisation.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import structlog
from msgspec.structs import replace

from actors import submissions
from actors.actor import Actor
from actors.attempts import SharedCounts
from actors.backoff import Backoff
from actors.cancellations import Cancellations, Cancelled
from actors.deadlines import DeadlinePassed, Deadlines
from actors.engines import (
    Conversion,
    Engine,
    EngineCrashed,
    EngineUnavailable,
    Postponed,
    SourceFile,
    Unconvertible,
)
from actors.errors import Reject, RetryLater
from actors.page_events import NO_PORTS, PageEvents, PagePorts
from actors.ports import BlobNotFound, Blobs
from actors.publishable import fetched_from, store_markdown
from bus.connection import Connection
from bus.consumers import URGENT, Consumer, ConsumerProgress, lane_for
from bus.delivery import Delivery, DeliveryInfo
from bus.inbox import FinishedUpTo, nothing_finished
from bus.intake import Intake
from bus.log import Log
from schemas.documents import DocumentConverted, DocumentEvent, DocumentFetched, DocumentSubmitted

MAX_BLAMED_CRASHES = 2  # crashes of engines after which the document is the cause
MAX_MEMORY_CRASHES = 2  # engines out of memory after which the document needs too much
MAX_EXTERNAL_CRASHES = 5  # engines killed from outside in one attempt
MAX_FRESH_AGE = 30.0  # seconds on the log in which no other process can have converted it
URGENT_RESERVE = 2  # urgent documents handled beside the others
MAX_ENGINE_WAIT = 3600.0  # seconds for which an unavailable engine is waited for
RETRY_PAUSE_FACTOR = 1.5
MAX_RETRY_PAUSE = 180.0  # seconds between waits, unless the engine asks for more: 30 in an hour
MAX_REMEMBERED_WAITS = 100_000  # waiting documents
MAX_REMEMBERED_STARTED = 10_000  # started documents
_FINAL_EVENTS = ("converted", "failed")
STORAGE_FULL_PAUSE = 5.0  # seconds between attempts on a full volume

OUT_OF_MEMORY_REASON = (
    "Converting the document needs more memory than this service has: each time its conversion was "
    "ended because memory ran out."
)

NONE_STORED_REASON = (
    "The document is protected by a password, and none is stored: passwords are deleted when their "
    "documents end. Submit it again with its `password`."
)

DiscardParts = Callable[[SourceFile], Awaitable[None]]
"""Deletes what an engine has stored of an unfinished conversion; the file may be gone."""

log = structlog.get_logger("ocr")


STORED = Consumer(
    name="ocr-stored",
    description="Makes Markdown of uploads that need no fetcher",
    event_type=DocumentSubmitted,
    wanted=submissions.is_detected,
)


class Ocr(Actor[DocumentFetched | DocumentSubmitted]):
    """Looks up finished conversions on the log instead of repeating them."""

    consumer: ClassVar = Consumer(
        name="ocr",
        description="Makes Markdown of originals with an engine",
        event_type=DocumentFetched,
        beside=STORED,
    )

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        engine: Engine,
        cancellations: Cancellations,
        *,
        concurrency: int,
        deadlines: Deadlines | None = None,
        ended_floor: FinishedUpTo = nothing_finished,
        discard_parts: DiscardParts | None = None,
        pages: PagePorts = NO_PORTS,
        counts: SharedCounts | None = None,
        intake: Intake | None = None,
    ) -> None:
        super().__init__(
            connection,
            concurrency,
            urgent_reserve=URGENT_RESERVE,
            other_tenants_reserve=concurrency,
            ended_floor=ended_floor,
            counts=counts,
            intake=intake,
        )
        self._cancellations = cancellations
        self._deadlines = deadlines or Deadlines()
        self._log = Log(connection)
        self._progress = ConsumerProgress(connection)
        self._blobs = blobs
        self._engine = engine
        self._discard_parts = discard_parts
        self._pages = pages
        # Started by this process, the most recent last: a repeated one may have ended. Originals
        # stored before the start of the process may have been started by another one.
        self._started_at = time.time()
        self._started: dict[tuple[str, str, int], None] = {}
        self._in_progress: set[tuple[str, str, int]] = set()
        # First time and number of waits for an unavailable engine, by document.
        self._waits: dict[tuple[str, str], tuple[float, int]] = {}

    async def handle(
        self, event: DocumentFetched | DocumentSubmitted, delivery: DeliveryInfo
    ) -> DocumentConverted | None:
        if event.held or self._deadlines.is_over(event):
            return None
        if await self._cancellations.is_cancelled(event, delivery.stored_at):
            return None
        repeated = False
        if isinstance(event, DocumentSubmitted):
            first = await submissions.find_repeated(self._log, event, delivery)
            if first is not None and submissions.is_duplicate(event, delivery, first):
                return None
            repeated = first is not None
        fetched = _as_fetched(event)
        if fetched is None:
            return None
        if not fetched.original.size:
            raise Reject("empty", "The document is empty.")
        name = (event.tenant, event.document_id, event.requeues)
        unfinished = isinstance(event, DocumentFetched) and (
            name in self._in_progress or await self._is_submission_unfinished(event)
        )
        if unfinished or name in self._in_progress:
            # A repeated event: a delivery is never handled twice at a time.
            log.info("document already in progress", document_id=event.document_id)
            return None
        repeated = repeated or name in self._started
        self._started[name] = None
        while len(self._started) > MAX_REMEMBERED_STARTED:
            del self._started[next(iter(self._started))]
        self._in_progress.add(name)
        try:
            return await self._handle_once(fetched, delivery, repeated=repeated)
        finally:
            self._in_progress.discard(name)

    async def clean_up(self, event: DocumentEvent, delivery: Delivery) -> None:
        # Only now: a conversion whose result was not published is repeated from its parts.
        self._pages.discard_drafts(event.tenant, event.document_id)
        fetched = _as_fetched(event)
        if self._discard_parts is not None and fetched is not None:
            info = DeliveryInfo(delivery.sequence, delivery.attempt, delivery.stored_at)
            await self._discard_parts(_source_file(Path(), fetched, info))

    async def _is_submission_unfinished(self, event: DocumentFetched) -> bool:
        """Whether the document is converted from its submission, maybe by another process.

        Beside a fetcher of a former version such a document is fetched nevertheless.
        """
        first = await self._log.first_submission(event.tenant, event.document_id)
        if first is None or first.event.detected is None:
            return False
        sequence = first.sequence
        if event.requeues != first.event.requeues:
            last = await self._log.last_event(event.tenant, event.document_id, "submitted")
            if last is None or last.event != replace(first.event, requeues=event.requeues):
                return False  # requeued after it had been fetched
            sequence = last.sequence
        durable = STORED.durable(lane_for(first.event.priority))
        return sequence > await self._progress.ack_floor(durable)

    async def _handle_once(
        self, event: DocumentFetched, delivery: DeliveryInfo, *, repeated: bool
    ) -> DocumentConverted | None:
        repeated = repeated or _may_be_repeated(event, delivery)
        if repeated and await self._is_done(event):
            return None
        try:
            async with self._blobs.local_path(event.original.key) as path:
                if (
                    not repeated
                    and self._may_be_converted(path, delivery)
                    and await self._is_done(event)
                ):
                    return None
                document = _source_file(path, event, delivery)
                converted = await self._cancellations.run_unless_cancelled(
                    event, self._convert_and_store(event, document)
                )
        except (Cancelled, DeadlinePassed) as end:
            reason = "document cancelled" if isinstance(end, Cancelled) else "deadline passed"
            log.info("conversion stopped", reason=reason)
            return None
        except BlobNotFound:
            if await self._is_done(event):  # and was removed since
                return None
            raise Reject("source_missing", "The original is no longer in the store.") from None
        except Unconvertible as error:
            raise _refused(event, error) from error
        except Postponed as error:
            raise RetryLater(
                error.reason, after=error.retry_after, counts_as_attempt=False, in_place=False
            ) from error
        except EngineUnavailable as error:
            raise await self._retry_or_reject(event, delivery, error) from error
        else:
            self._waits.pop((event.tenant, event.document_id), None)
            log.debug("document converted")
            return converted

    async def _retry_or_reject(
        self, event: DocumentFetched, delivery: DeliveryInfo, error: EngineUnavailable
    ) -> RetryLater | Reject:
        """Return a retry for a document whose engine is unavailable, or its failure in the end.

        The time counts from its first wait, because a backlog may be long, without that in which
        no work is taken. The waits become longer, so that a later process does not count them as
        crashes.
        """
        name = (event.tenant, event.document_id)
        now = self._intake.clock()
        since, times = self._waits.pop(name, (now, 0))
        tally = await self._attempts.read(delivery)
        times = max(times, tally.waits)
        if max(now - since, tally.waited) > MAX_ENGINE_WAIT:
            return Reject(error.code, error.reason, retryable=True)
        self._waits[name] = (since, times + 1)
        longest = max(error.retry_after, MAX_RETRY_PAUSE)
        backoff = Backoff(first=error.retry_after, factor=RETRY_PAUSE_FACTOR, longest=longest)
        while len(self._waits) > MAX_REMEMBERED_WAITS:
            del self._waits[next(iter(self._waits))]
        pause = backoff.pause(times)
        # On another host the time since the first wait here is not to be had: what it adds up to.
        waited = max(now - since, tally.waited) + pause
        await self._attempts.record(delivery, replace(tally, waits=times + 1, waited=waited))
        return RetryLater(error.reason, after=pause, counts_as_attempt=False, in_place=False)

    async def _convert_and_store(
        self, event: DocumentFetched, document: SourceFile
    ) -> DocumentConverted:
        pages = PageEvents(event, self._pages)
        async with self._deadlines.limit(event):
            conversion = await self._convert(document, pages)
        with self._deadlines.delivering(event):
            return await store_markdown(self._blobs, event, conversion)

    def _may_be_converted(self, path: Path, delivery: DeliveryInfo) -> bool:
        """Whether the original is so old that its conversion may exist."""
        stored_at = path.stat().st_mtime
        waited = delivery.stored_at.timestamp() - stored_at
        return stored_at < self._started_at or waited > MAX_FRESH_AGE

    async def _is_done(self, event: DocumentFetched) -> bool:
        """Whether the log has the result of this conversion."""
        for kind in _FINAL_EVENTS:
            last = await self._log.last_event(event.tenant, event.document_id, event_name=kind)
            if last is not None and last.event.requeues >= event.requeues:
                return True
        return False

    async def _convert(self, document: SourceFile, pages: PageEvents) -> Conversion:
        blamed = external = memory = 0
        while True:
            try:
                return await self._engine.convert(document, pages)
            except EngineCrashed as error:
                if error.disk_full:
                    raise RetryLater(
                        error.reason, after=STORAGE_FULL_PAUSE, counts_as_attempt=False
                    ) from error
                if error.out_of_memory:
                    memory += 1
                elif error.document_blamed:
                    blamed += 1
                else:
                    external += 1
                if memory >= MAX_MEMORY_CRASHES:
                    raise Reject("out_of_memory", OUT_OF_MEMORY_REASON) from error
                if blamed >= MAX_BLAMED_CRASHES:
                    raise Reject(
                        "crashed", f"The document crashed the converter {blamed} times."
                    ) from error
                if external >= MAX_EXTERNAL_CRASHES:
                    reason = f"The converter did not get through: {error.reason}."
                    raise RetryLater(reason, code="engine_crashed") from error


def _as_fetched(event: DocumentEvent) -> DocumentFetched | None:
    """Return the event from which a document is converted, or None for any other."""
    if isinstance(event, DocumentSubmitted):
        return fetched_from(event)
    return event if isinstance(event, DocumentFetched) else None


def _refused(event: DocumentFetched, error: Unconvertible) -> Reject:
    if error.code == "password_protected" and event.requeues:
        return Reject("password_required", NONE_STORED_REASON)
    return Reject(error.code, error.reason)


def _source_file(path: Path, event: DocumentFetched, delivery: DeliveryInfo) -> SourceFile:
    return SourceFile(
        path,
        event.content_type,
        event.original.sha256,
        urgent=event.priority in URGENT.priorities,
        tenant=event.tenant,
        document_id=event.document_id,
        options=event.options,
        may_be_repeated=_may_be_repeated(event, delivery),
        size=event.original.size,
    )


def _may_be_repeated(event: DocumentFetched, delivery: DeliveryInfo) -> bool:
    """Whether the document may have been converted before; not if the event is new.

    A consumer that was created again receives the whole log again, as first deliveries.
    """
    # abs: an event from the future was stored before the clock was set back.
    age = abs((datetime.now(UTC) - delivery.stored_at).total_seconds())
    return delivery.attempt > 1 or age >= MAX_FRESH_AGE or event.requeues > 0
