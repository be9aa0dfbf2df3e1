"""Brings a document's bytes in and finds out what they are.

Hears ``submitted``, says ``fetched``. Keeps nothing.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import msgspec
import structlog

from bus.connection import Connection
from bus.consumers import Consumer
from bus.inbox import Settled, nothing_settled
from bus.log import Log
from bus.verdicts import Drop, Reject, Retry
from schemas.documents import Blob, DocumentFetched, DocumentSubmitted, Inline, Remote, Stored

from . import sniffing
from .actor import Actor, Occasion
from .cancellations import Cancellations, Cancelled
from .keys import fetched_key, original_key
from .places import Places
from .ports import BlobNotFound, Blobs, Downloads, StorageFull, Unfetchable

DOWNLOADS_AT_ONCE = 32
"""Sources that are read at once. What is fetched from nowhere else never waits for one of them."""
FULL_PAUSE = 5.0  # seconds until a full volume is tried again
REPEATED_WITHIN = timedelta(minutes=1)  # a publisher's repetition; later it is the janitor's
FRESH_WITHIN = 30.0  # seconds on the log in which nobody else can have fetched it
_ENDS = ("fetched", "failed")

log = structlog.get_logger("fetcher")


class Fetcher(Actor[DocumentSubmitted]):
    """One document's bytes are put under one key and never change afterwards."""

    consumer: ClassVar = Consumer(
        name="fetcher",
        description="Brings originals in and finds out what they are",
        hears=DocumentSubmitted,
        at_once=16,
    )

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        downloads: Downloads,
        cancellations: Cancellations,
        *,
        settled: Settled = nothing_settled,
    ) -> None:
        super().__init__(connection, places=Places(DOWNLOADS_AT_ONCE), settled=settled)
        self._cancellations = cancellations
        self._log = Log(connection)
        self._blobs = blobs
        self._downloads = downloads
        self._in_hand: dict[tuple[str, str, int], DocumentSubmitted] = {}

    def needs_place(self, heard: DocumentSubmitted) -> bool:
        """Whether the bytes come from a source that may be as slow as it likes."""
        return isinstance(heard.source, Remote)

    async def receive(self, heard: DocumentSubmitted, occasion: Occasion) -> DocumentFetched | None:
        name = (heard.tenant, heard.document_id, heard.requeues)
        if self._in_hand.get(name) == heard:
            # A repetition, for the same delivery is never handled twice at a time.
            log.info("already being fetched", document_id=heard.document_id)
            return None
        first = self._in_hand.setdefault(name, heard)
        try:
            return await self._receive(heard, occasion)
        finally:
            if first is heard:
                del self._in_hand[name]

    async def _receive(
        self, heard: DocumentSubmitted, occasion: Occasion
    ) -> DocumentFetched | None:
        if await self._cancellations.includes(heard, occasion.stored_at):
            return None
        try:
            if await self._already_known(heard, occasion):
                return None
            original = await self._cancellations.unless(heard, self._bring_in(heard))
            head, tail = await self._blobs.ends(original.key, sniffing.ENDS_LENGTH)
        except Cancelled:
            log.info("fetching broken off, the document was cancelled")
            return None
        except BlobNotFound:
            raise Reject("source_missing", "The uploaded bytes are not in the store.") from None
        except StorageFull:
            raise Retry("the blob store is full", after=FULL_PAUSE, counted=False) from None
        except Unfetchable as error:
            if error.retryable:
                raise Retry(error.reason, code=error.code) from error
            raise Reject(error.code, error.reason) from error
        if original.size == 0:
            raise Reject("empty", "The document is empty.")
        content_type = sniffing.sniff(head, tail)
        if content_type is None:
            what = sniffing.describe(head, tail)
            reason = f"This is {what}; what can be converted: {sniffing.SUPPORTED}."
            raise Reject("unsupported_type", reason)
        return DocumentFetched(
            document_id=heard.document_id,
            tenant=heard.tenant,
            priority=heard.priority,
            requeues=heard.requeues,
            original=original,
            content_type=content_type,
            engine=heard.engine,
            model=heard.model,
            held=heard.held,
        )

    async def _already_known(self, heard: DocumentSubmitted, occasion: Occasion) -> bool:
        """Whether somebody has fetched this, could not, or is at it: publishers choose their ids.

        What was submitted again because nothing came of the first time is fetched now. A consumer
        that was made anew hears the whole log again, as if for the first time.

        :raises Drop: the id was taken by another document.
        """
        tenant, document_id = heard.tenant, heard.document_id
        first = await self._log.first_submission(tenant, document_id)
        if first is not None and first.sequence != occasion.sequence:
            if msgspec.structs.replace(first.event, requeues=heard.requeues) != heard:
                raise Drop(f"id already taken by another submission, sequence {first.sequence}")
            repeated = heard.requeues == first.event.requeues
            if repeated and occasion.stored_at - first.stored_at < REPEATED_WITHIN:
                return True
        elif occasion.attempt == 1 and _age(occasion) < FRESH_WITHIN:
            return False
        for end in _ENDS:
            said = await self._log.last_word(tenant, document_id, event=end)
            if said is not None and said.event.requeues >= heard.requeues:
                return True
        return False

    async def _bring_in(self, heard: DocumentSubmitted) -> Blob:
        source = heard.source
        if isinstance(source, Stored):
            key = original_key(heard.tenant, heard.document_id, source.suffix)
            return Blob(key, source.size, source.sha256)
        key = fetched_key(heard.tenant, heard.document_id)
        if isinstance(source, Inline):
            return await self._blobs.put_bytes(key, source.data)
        return await self._blobs.put(key, self._download(source))

    def _download(self, source: Remote) -> AsyncIterator[bytes]:
        return self._downloads.fetch(source.url)


def _age(occasion: Occasion) -> float:
    """Return for how many seconds the event has been on the log, at least.

    One that comes from the future was stored before the clock was set back, maybe long before.
    """
    return abs((datetime.now(UTC) - occasion.stored_at).total_seconds())
