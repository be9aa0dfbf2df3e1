"""The OCR actor: has an engine convert documents to Markdown.

It consumes ``fetched`` and publishes ``converted``. Its memory is only an optimisation.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import structlog

from actors.actor import Actor, DeliveryInfo
from actors.backoff import Backoff
from actors.cancellations import Cancellations, Cancelled
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
from actors.ports import BlobNotFound, Blobs
from actors.publishable import store_markdown
from bus.connection import Connection
from bus.consumers import URGENT, Consumer
from bus.delivery import Delivery
from bus.inbox import FinishedUpTo, nothing_finished
from bus.log import Log
from schemas.documents import DocumentConverted, DocumentEvent, DocumentFetched

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


class Ocr(Actor[DocumentFetched]):
    """Looks up finished conversions on the log instead of repeating them."""

    consumer: ClassVar = Consumer(
        name="ocr",
        description="Makes Markdown of originals with an engine",
        event_type=DocumentFetched,
    )

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        engine: Engine,
        cancellations: Cancellations,
        *,
        concurrency: int,
        ended_floor: FinishedUpTo = nothing_finished,
        discard_parts: DiscardParts | None = None,
    ) -> None:
        super().__init__(
            connection,
            concurrency,
            urgent_reserve=URGENT_RESERVE,
            other_tenants_reserve=concurrency,
            ended_floor=ended_floor,
        )
        self._cancellations = cancellations
        self._log = Log(connection)
        self._blobs = blobs
        self._engine = engine
        self._discard_parts = discard_parts
        # Started by this process, the most recent last: a repeated one may have ended. Originals
        # stored before the start of the process may have been started by another one.
        self._started_at = time.time()
        self._started: dict[tuple[str, str, int], None] = {}
        self._in_progress: set[tuple[str, str, int]] = set()
        # First time and number of waits for an unavailable engine, by document.
        self._waits: dict[tuple[str, str], tuple[float, int]] = {}

    async def handle(
        self, event: DocumentFetched, delivery: DeliveryInfo
    ) -> DocumentConverted | None:
        if event.held or await self._cancellations.is_cancelled(event, delivery.stored_at):
            return None
        name = (event.tenant, event.document_id, event.requeues)
        if name in self._in_progress:
            # A repeated event: a delivery is never handled twice at a time.
            log.info("document already in progress", document_id=event.document_id)
            return None
        repeated = name in self._started
        self._started[name] = None
        while len(self._started) > MAX_REMEMBERED_STARTED:
            del self._started[next(iter(self._started))]
        self._in_progress.add(name)
        try:
            return await self._handle_once(event, delivery, repeated=repeated)
        finally:
            self._in_progress.discard(name)

    async def clean_up(self, event: DocumentEvent, delivery: Delivery) -> None:
        # Only now: a conversion whose result was not published is repeated from its parts.
        if self._discard_parts is not None and isinstance(event, DocumentFetched):
            info = DeliveryInfo(delivery.sequence, delivery.attempt, delivery.stored_at)
            await self._discard_parts(_source_file(Path(), event, info))

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
        except Cancelled:
            log.info("document cancelled during conversion")
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
            raise self._retry_or_reject(event, error) from error
        else:
            self._waits.pop((event.tenant, event.document_id), None)
            return converted

    def _retry_or_reject(
        self, event: DocumentFetched, error: EngineUnavailable
    ) -> RetryLater | Reject:
        """Return a retry for a document whose engine is unavailable, or its failure in the end.

        The time counts from its first wait, because a backlog may be long. The waits become longer,
        so that a later process does not count them as crashes.
        """
        name = (event.tenant, event.document_id)
        now = time.monotonic()
        since, times = self._waits.pop(name, (now, 0))
        if now - since > MAX_ENGINE_WAIT:
            return Reject(error.code, error.reason, retryable=True)
        self._waits[name] = (since, times + 1)
        longest = max(error.retry_after, MAX_RETRY_PAUSE)
        backoff = Backoff(first=error.retry_after, factor=RETRY_PAUSE_FACTOR, longest=longest)
        while len(self._waits) > MAX_REMEMBERED_WAITS:
            del self._waits[next(iter(self._waits))]
        return RetryLater(
            error.reason, after=backoff.pause(times), counts_as_attempt=False, in_place=False
        )

    async def _convert_and_store(
        self, event: DocumentFetched, document: SourceFile
    ) -> DocumentConverted:
        return await store_markdown(self._blobs, event, await self._convert(document))

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

    async def _convert(self, document: SourceFile) -> Conversion:
        blamed = external = memory = 0
        while True:
            try:
                return await self._engine.convert(document)
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
