"""Asking the log itself what was said of a document."""

from datetime import datetime

import msgspec
from msgspec import Struct

from schemas.documents import DocumentConverted, DocumentSubmitted

from . import streams, subjects, wire
from .connection import Connection, Reply
from .errors import BusUnavailable


class Submission(Struct, frozen=True):
    """A submission as it lies on the log."""

    sequence: int
    stored_at: datetime
    event: DocumentSubmitted


class Log:
    """Single messages of ``ILIOS_EVENTS``, by subject (JetStream direct get, NATS ADR-31)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def submission(self, tenant: str, document_id: str) -> DocumentSubmitted | None:
        """Return what was submitted under this id, or None; ``submitted_at`` is always given.

        :raises BusUnavailable: the log does not answer.
        """
        found = await self.first_submission(tenant, document_id)
        if found is None or found.event.submitted_at is not None:
            return found.event if found else None
        return msgspec.structs.replace(found.event, submitted_at=found.stored_at)

    async def first_submission(self, tenant: str, document_id: str) -> Submission | None:
        """Return the submission that counts: the first under this id. Errors as ``submission``."""
        wanted = subjects.one_document("submitted", tenant, document_id)
        after = 0
        while reply := await self._get({"seq": after + 1, "next_by_subj": wanted}):
            after = int(reply.headers["Nats-Sequence"])
            try:
                event = wire.decode(reply.headers.get("Nats-Subject", ""), reply.body)
            except wire.Malformed:
                continue  # a dead letter, which takes the id from nobody
            if isinstance(event, DocumentSubmitted):
                stored_at = datetime.fromisoformat(reply.headers["Nats-Time-Stamp"])
                return Submission(after, stored_at, event)
        return None

    async def conversion(self, tenant: str, document_id: str) -> DocumentConverted | None:
        """Return the document's finished conversion, if one was said. Errors as ``submission``."""
        wanted = subjects.one_document("converted", tenant, document_id)
        reply = await self._get({"last_by_subj": wanted})
        if reply is None:
            return None
        try:
            event = wire.decode(reply.headers.get("Nats-Subject", ""), reply.body)
        except wire.Malformed:
            return None
        return event if isinstance(event, DocumentConverted) else None

    async def _get(self, query: dict[str, object]) -> Reply | None:
        subject = f"$JS.API.DIRECT.GET.{streams.EVENTS}"
        reply = await self._connection.request(subject, msgspec.json.encode(query))
        if "Nats-Sequence" in reply.headers:  # a message, whatever else its publisher put there
            return reply
        if reply.status == "404":
            return None
        raise BusUnavailable(f"the log answered {reply.status}")
