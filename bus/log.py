"""Asking the log itself what was said of a document or a batch."""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
from msgspec import Struct

from bus import codec, streams, subjects
from bus.connection import Connection
from bus.direct_get import DirectGet
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentEvent, DocumentSubmitted
from schemas.events import AnyEvent
from schemas.times import effective_time


class StoredSubmission(Struct, frozen=True):
    """A submission as it lies on the log."""

    sequence: int
    stored_at: datetime
    event: DocumentSubmitted


class StoredBatchSubmission(Struct, frozen=True):
    """A batch's submission as it lies on the log."""

    sequence: int
    stored_at: datetime
    event: BatchSubmitted


class StoredEvent(Struct, frozen=True):
    """An event about a document, as it lies on the log."""

    sequence: int
    stored_at: datetime
    event: DocumentEvent


class Log:
    """Single events of ``ILIOS_EVENTS``, by subject."""

    def __init__(self, connection: Connection) -> None:
        self._direct_get = DirectGet(connection, streams.EVENTS)

    async def submission(self, tenant: str, document_id: str) -> DocumentSubmitted | None:
        """Return what was submitted under this id, or None; ``submitted_at`` is always given.

        :raises BusUnavailable: the log does not answer.
        """
        found = await self.first_submission(tenant, document_id)
        if found is None:
            return None
        submitted_at = effective_time(found.event.submitted_at, found.stored_at)
        return msgspec.structs.replace(found.event, submitted_at=submitted_at)

    async def first_submission(self, tenant: str, document_id: str) -> StoredSubmission | None:
        """Return the submission that counts: the first under this id. Errors as ``submission``."""
        subject_filter = subjects.document_filter("submitted", tenant, document_id)
        async for sequence, stored_at, event in self._events(subject_filter):
            if isinstance(event, DocumentSubmitted):
                return StoredSubmission(sequence, stored_at, event)
        return None

    async def batch(self, tenant: str, batch_id: str) -> StoredBatchSubmission | None:
        """Return the batch that counts: the first under this id. Errors as ``submission``."""
        subject = subjects.batch_subject("submitted", tenant, batch_id)
        async for sequence, stored_at, event in self._events(subject):
            if isinstance(event, BatchSubmitted):
                return StoredBatchSubmission(sequence, stored_at, event)
        return None

    async def last_event(
        self, tenant: str, document_id: str, event_name: str = "*"
    ) -> StoredEvent | None:
        """Return what was said last of a document (of one kind, if given) and can be read.

        Errors as ``submission``.
        """
        found = await self._direct_get.last(
            subjects.document_filter(event_name, tenant, document_id)
        )
        if found is None:
            return None
        try:
            decoded = codec.decode(found.subject, found.body)
        except codec.MalformedEvent:
            return None
        assert isinstance(decoded, DocumentEvent)  # decode has held it against its subject
        return StoredEvent(found.sequence, found.stored_at, decoded)

    async def _events(self, subject_filter: str) -> AsyncIterator[tuple[int, datetime, AnyEvent]]:
        """Yield what lies on a subject, oldest first, but for dead letters: they say nothing."""
        async for found in self._direct_get.iterate(subject_filter):
            try:
                event = codec.decode(found.subject, found.body)
            except codec.MalformedEvent:
                continue
            yield found.sequence, found.stored_at, event
