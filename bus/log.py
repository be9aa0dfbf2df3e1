"""Lookups of events on the log, by document or batch. They need no consumer."""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
from msgspec import Struct

from bus import codec, streams, subjects
from bus.connection import Connection
from bus.stored_messages import DirectGet
from schemas.batches import BatchSubmitted
from schemas.documents import (
    DocumentEvent,
    DocumentRejected,
    DocumentSubmitted,
    effective_time,
)
from schemas.events import AnyEvent


class StoredSubmission(Struct, frozen=True):
    """The submission of a document on the log."""

    sequence: int
    stored_at: datetime
    event: DocumentSubmitted


class StoredRejection(Struct, frozen=True):
    """The rejection of an invalid submission on the log."""

    stored_at: datetime
    event: DocumentRejected


class StoredBatchSubmission(Struct, frozen=True):
    """The submission of a batch on the log."""

    sequence: int
    stored_at: datetime
    event: BatchSubmitted


class StoredEvent(Struct, frozen=True):
    """An event about a document on the log."""

    sequence: int
    stored_at: datetime
    event: DocumentEvent


class NewestEvent(Struct, frozen=True):
    """The last event about a document; ``name`` is its kind as in subjects, such as ``fetched``."""

    sequence: int
    name: str


class Log:
    """Single events of ``ILIOS_EVENTS``, by subject."""

    def __init__(self, connection: Connection) -> None:
        self._direct_get = DirectGet(connection, streams.EVENTS)

    async def submission(self, tenant: str, document_id: str) -> DocumentSubmitted | None:
        """Return the submission of a document, or None; its ``submitted_at`` is always set.

        :raises BusUnavailable: the log does not answer.
        """
        found = await self.first_submission(tenant, document_id)
        if found is None:
            return None
        submitted_at = effective_time(found.event.submitted_at, found.stored_at)
        return msgspec.structs.replace(found.event, submitted_at=submitted_at)

    async def first_submission(self, tenant: str, document_id: str) -> StoredSubmission | None:
        """Return the first submission with this id, the valid one. Raises as ``submission``."""
        subject_filter = subjects.document_filter("submitted", tenant, document_id)
        async for sequence, stored_at, event in self._events(subject_filter):
            if isinstance(event, DocumentSubmitted):
                return StoredSubmission(sequence, stored_at, event)
        return None

    async def rejection(self, tenant: str, document_id: str) -> StoredRejection | None:
        """Return the rejection that follows from the first invalid submission with this id.

        None without one. The log itself may have the rejection a moment later. Raises as
        ``submission``.
        """
        subject_filter = subjects.document_filter("submitted", tenant, document_id)
        async for found in self._direct_get.iterate(subject_filter):
            try:
                codec.decode(found.subject, found.body)
            except codec.MalformedEvent as error:
                rejected = codec.rejection(found.subject, found.sequence, error, found.body)
                return StoredRejection(found.stored_at, rejected) if rejected else None
        return None

    async def batch(self, tenant: str, batch_id: str) -> StoredBatchSubmission | None:
        """Return the first batch with this id, which is the valid one. Raises as ``submission``."""
        subject = subjects.batch_subject("submitted", tenant, batch_id)
        async for sequence, stored_at, event in self._events(subject):
            if isinstance(event, BatchSubmitted):
                return StoredBatchSubmission(sequence, stored_at, event)
        return None

    async def last_event(
        self, tenant: str, document_id: str, event_name: str = "*"
    ) -> StoredEvent | None:
        """Return the last event about a document, optionally of one kind; None if malformed.

        Raises as ``submission``.
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
        assert isinstance(decoded, DocumentEvent)  # ``decode`` has checked it against its subject
        return StoredEvent(found.sequence, found.stored_at, decoded)

    async def newest(
        self, tenant: str, document_id: str, event_name: str = "*"
    ) -> NewestEvent | None:
        """Return the place and kind of the last event about a document, optionally of one kind.

        Whether the event is well formed makes no difference. Raises as ``submission``.
        """
        found = await self._direct_get.last(
            subjects.document_filter(event_name, tenant, document_id)
        )
        if found is None:
            return None
        return NewestEvent(found.sequence, subjects.event_of(found.subject))

    async def _events(self, subject_filter: str) -> AsyncIterator[tuple[int, datetime, AnyEvent]]:
        """Yield the events on a subject, oldest first, without malformed ones."""
        async for found in self._direct_get.iterate(subject_filter):
            try:
                event = codec.decode(found.subject, found.body)
            except codec.MalformedEvent:
                continue
            yield found.sequence, found.stored_at, event
