"""Asking the log itself what was said of a document or a batch."""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
from msgspec import Struct

from schemas.batches import BatchSubmitted
from schemas.documents import DocumentEvent, DocumentSubmitted
from schemas.events import AnyEvent
from schemas.times import believed

from . import streams, subjects, wire
from .connection import Connection
from .messages import Messages


class Submission(Struct, frozen=True):
    """A submission as it lies on the log."""

    sequence: int
    stored_at: datetime
    event: DocumentSubmitted


class BatchSubmission(Struct, frozen=True):
    """A batch's submission as it lies on the log."""

    sequence: int
    stored_at: datetime
    event: BatchSubmitted


class Word(Struct, frozen=True):
    """An event about a document, as it lies on the log."""

    sequence: int
    stored_at: datetime
    event: DocumentEvent


class Log:
    """Single events of ``ILIOS_EVENTS``, by subject."""

    def __init__(self, connection: Connection) -> None:
        self._messages = Messages(connection, streams.EVENTS)

    async def submission(self, tenant: str, document_id: str) -> DocumentSubmitted | None:
        """Return what was submitted under this id, or None; ``submitted_at`` is always given.

        :raises BusUnavailable: the log does not answer.
        """
        found = await self.first_submission(tenant, document_id)
        if found is None:
            return None
        submitted_at = believed(found.event.submitted_at, found.stored_at)
        return msgspec.structs.replace(found.event, submitted_at=submitted_at)

    async def first_submission(self, tenant: str, document_id: str) -> Submission | None:
        """Return the submission that counts: the first under this id. Errors as ``submission``."""
        wanted = subjects.one_document("submitted", tenant, document_id)
        async for sequence, stored_at, event in self._each(wanted):
            if isinstance(event, DocumentSubmitted):
                return Submission(sequence, stored_at, event)
        return None

    async def batch(self, tenant: str, batch_id: str) -> BatchSubmission | None:
        """Return the batch that counts: the first under this id. Errors as ``submission``."""
        wanted = subjects.one_batch("submitted", tenant, batch_id)
        async for sequence, stored_at, event in self._each(wanted):
            if isinstance(event, BatchSubmitted):
                return BatchSubmission(sequence, stored_at, event)
        return None

    async def last_word(self, tenant: str, document_id: str, event: str = "*") -> Word | None:
        """Return what was said last of a document (of one kind, if given) and can be read.

        Errors as ``submission``.
        """
        found = await self._messages.last(subjects.one_document(event, tenant, document_id))
        if found is None:
            return None
        try:
            said = wire.decode(found.subject, found.body)
        except wire.Malformed:
            return None
        assert isinstance(said, DocumentEvent)  # decode has held it against its subject
        return Word(found.sequence, found.stored_at, said)

    async def _each(self, wanted: str) -> AsyncIterator[tuple[int, datetime, AnyEvent]]:
        """Yield what lies on a subject, oldest first, but for dead letters: they say nothing."""
        async for found in self._messages.each(wanted):
            try:
                event = wire.decode(found.subject, found.body)
            except wire.Malformed:
                continue
            yield found.sequence, found.stored_at, event
