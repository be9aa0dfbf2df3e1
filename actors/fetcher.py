"""The fetcher: stores the original of a document and detects its type.

It consumes ``submitted``, publishes ``fetched`` and has no state. Uploads that the edge has stored
and detected are converted without it.
"""

from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import structlog

from actors import sniffing, submissions
from actors.actor import Actor
from actors.attempts import SharedCounts
from actors.blob_keys import fetched_key, original_key
from actors.cancellations import Cancellations, Cancelled
from actors.content_types import SUPPORTED_TYPES
from actors.deadlines import DeadlinePassed, Deadlines
from actors.errors import Reject, RetryLater
from actors.object_source import ObjectSource
from actors.ports import (
    BlobNotFound,
    Blobs,
    Downloader,
    DownloadFailed,
    StorageFull,
    StorageUnavailable,
)
from actors.slots import FairSlots
from actors.text_sniffing import Claim, join_claims
from bus.connection import Connection
from bus.consumers import Consumer
from bus.delivery import Delivery, DeliveryInfo
from bus.errors import BusUnavailable
from bus.inbox import FinishedUpTo, nothing_finished
from bus.intake import Intake
from bus.log import Log
from bus.objects import Objects
from schemas.documents import (
    Blob,
    DocumentEvent,
    DocumentFetched,
    DocumentSubmitted,
    Inline,
    Object,
    Remote,
    Stored,
)

MAX_DOWNLOADS = 32
"""Concurrent downloads and copies of objects. Documents from other sources never wait for one."""
STORAGE_FULL_PAUSE = 5.0  # seconds between attempts on a full volume
MAX_FRESH_AGE = 30.0  # seconds on the log in which no other process can have fetched it
_FINAL_EVENTS = ("fetched", "failed")

log = structlog.get_logger("fetcher")


class Fetcher(Actor[DocumentSubmitted]):
    """Stores the bytes of a document under a key where they never change."""

    consumer: ClassVar = Consumer(
        name="fetcher",
        description="Brings originals in and finds out what they are",
        event_type=DocumentSubmitted,
        concurrency=16,
        wanted=submissions.needs_fetching,
    )

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        downloads: Downloader,
        cancellations: Cancellations,
        objects: Objects,
        *,
        deadlines: Deadlines | None = None,
        ended_floor: FinishedUpTo = nothing_finished,
        counts: SharedCounts | None = None,
        intake: Intake | None = None,
    ) -> None:
        super().__init__(
            connection,
            slots=FairSlots(MAX_DOWNLOADS),
            ended_floor=ended_floor,
            counts=counts,
            intake=intake,
        )
        self._cancellations = cancellations
        self._deadlines = deadlines or Deadlines()
        self._log = Log(connection)
        self._blobs = blobs
        self._downloads = downloads
        self._objects = ObjectSource(objects, blobs)
        self._in_progress: dict[tuple[str, str, int], DocumentSubmitted] = {}

    def needs_slot(self, event: DocumentSubmitted) -> bool:
        """Whether the document has to be downloaded or is large, which may be slow."""
        return isinstance(event.source, Remote | Object)

    async def clean_up(self, event: DocumentEvent, delivery: Delivery) -> None:
        """Delete the object of a document that needs it no more, unless it is still read.

        One that has failed without its original needs it if it is requeued; later the janitor
        deletes it.
        """
        assert isinstance(event, DocumentSubmitted)  # what the consumer delivers
        name = (event.tenant, event.document_id, event.requeues)
        if not isinstance(event.source, Object) or name in self._in_progress:
            return
        try:
            if await self._needs_object(event, event.source):
                return
        except (BusUnavailable, StorageUnavailable) as error:
            log.warning("object not deleted", document_id=event.document_id, reason=str(error))
            return
        await self._objects.discard(event, event.source, delivery.stored_at)

    async def _needs_object(self, event: DocumentSubmitted, source: Object) -> bool:
        for kind in ("fetched", "cancelled"):
            if await self._log.last_event(event.tenant, event.document_id, event_name=kind):
                return False
        return not await self._objects.has_original(event, source)

    async def handle(
        self, event: DocumentSubmitted, delivery: DeliveryInfo
    ) -> DocumentFetched | None:
        name = (event.tenant, event.document_id, event.requeues)
        if self._in_progress.get(name) == event:
            # A repeated event: a delivery is never handled twice at a time.
            log.info("document already in progress", document_id=event.document_id)
            return None
        first = self._in_progress.setdefault(name, event)
        try:
            return await self._handle_once(event, delivery)
        finally:
            if first is event:
                del self._in_progress[name]

    async def _handle_once(
        self, event: DocumentSubmitted, delivery: DeliveryInfo
    ) -> DocumentFetched | None:
        if self._deadlines.is_over(event):
            return None
        if await self._cancellations.is_cancelled(event, delivery.stored_at):
            return None
        try:
            if await self._is_already_handled(event, delivery):
                return None
            original, claim = await self._original(event, delivery)
            content_type = await self._detect(original, claim)
        except Cancelled:
            log.info("document cancelled during fetching")
            return None
        except DeadlinePassed:
            log.info("deadline passed during fetching")
            return None
        except BlobNotFound:
            raise Reject("source_missing", "The uploaded bytes are not in the store.") from None
        except StorageFull:
            raise RetryLater(
                "the blob store is full", after=STORAGE_FULL_PAUSE, counts_as_attempt=False
            ) from None
        except DownloadFailed as error:
            if error.retryable:
                raise RetryLater(error.reason, code=error.code) from error
            raise Reject(error.code, error.reason) from error
        return DocumentFetched(
            document_id=event.document_id,
            tenant=event.tenant,
            priority=event.priority,
            requeues=event.requeues,
            original=original,
            content_type=content_type,
            options=event.options,
            held=event.held,
            reference=event.reference,
            metadata=event.metadata,
            deadline=event.deadline,
        )

    async def _is_already_handled(self, event: DocumentSubmitted, delivery: DeliveryInfo) -> bool:
        """Whether the document is fetched, has failed or is in progress.

        A repeated submission without a result so far is fetched now. A consumer that was created
        again receives the whole log again, as first deliveries.

        :raises MoveToDeadLetters: the id belongs to another submission.
        """
        tenant, document_id = event.tenant, event.document_id
        first = await submissions.find_repeated(self._log, event, delivery)
        if first is not None:
            if submissions.is_duplicate(event, delivery, first):
                return True
        elif _is_fresh(delivery):
            return False
        for kind in _FINAL_EVENTS:
            last = await self._log.last_event(tenant, document_id, event_name=kind)
            if last is not None and last.event.requeues >= event.requeues:
                return True
        return False

    async def _detect(self, original: Blob, claim: Claim) -> str:
        """Return the content type of stored bytes; the claim counts for texts only.

        :raises Reject: there are none, or they cannot be converted.
        """
        head, tail = await self._blobs.read_ends(original.key, sniffing.SNIFF_LENGTH)
        if original.size == 0:
            raise Reject("empty", "The document is empty.")
        content_type = sniffing.sniff(head, tail, claim)
        if content_type is None:
            description = sniffing.describe(head, tail)
            reason = f"This is {description}; what can be converted: {SUPPORTED_TYPES}."
            raise Reject("unsupported_type", reason)
        return content_type

    async def _original(
        self, event: DocumentSubmitted, delivery: DeliveryInfo
    ) -> tuple[Blob, Claim]:
        """Return the original, stored here unless the edge has stored it, and what it claims to be.

        :raises Cancelled, DeadlinePassed: the document is cancelled, or expires, meanwhile.
        """
        source = event.source
        if isinstance(source, Stored):  # nothing to do that could be stopped
            key = original_key(event.tenant, event.document_id, source.suffix)
            return Blob(key, source.size, source.sha256), _claim_of(event)
        async with self._deadlines.limit(event):
            # One that is requeued may have lost its object when it failed.
            repeated = event.requeues > 0 or not _is_fresh(delivery)
            storing = self._store_original(event, source, delivery.stored_at, repeated=repeated)
            return await self._cancellations.run_unless_cancelled(event, storing)

    async def _store_original(
        self,
        event: DocumentSubmitted,
        source: Inline | Remote | Object,
        submitted_at: datetime,
        *,
        repeated: bool,
    ) -> tuple[Blob, Claim]:
        key, claim = fetched_key(event.tenant, event.document_id), _claim_of(event)
        if isinstance(source, Object):
            blob = await self._objects.store(event, source, submitted_at, repeated=repeated)
            return blob, join_claims(claim, Claim.of(source.name.rpartition("/")[2]))
        if isinstance(source, Inline):
            return await self._blobs.put_bytes(key, source.data), claim
        answers: list[Claim] = []
        blob = await self._blobs.put(key, self._downloads.fetch(source.url, answers.append))
        path = unquote(urlsplit(source.url).path)
        return blob, join_claims(claim, *answers, Claim.of(path.rpartition("/")[2]))


def _claim_of(event: DocumentSubmitted) -> Claim:
    return Claim.of(event.file_name, event.content_type)


def _is_fresh(delivery: DeliveryInfo) -> bool:
    """Whether no other process can have fetched the document.

    An event from the future was stored before the clock was set back.
    """
    age = abs((datetime.now(UTC) - delivery.stored_at).total_seconds())
    return delivery.attempt == 1 and age < MAX_FRESH_AGE
