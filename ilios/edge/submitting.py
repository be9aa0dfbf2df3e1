"""From a request to a submission on the log: what every way of handing in a document shares."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from aiohttp import web
from msgspec import Struct

from actors.keys import original_key
from ilios.edge import uploads
from ilios.edge.errors import Refused
from ilios.edge.keys import EDGE, TENANT, Edge
from schemas.documents import DEFAULT_RETENTION_DAYS, DocumentSubmitted, Operation, Stored
from schemas.ids import new_id

MAX_RETENTION_DAYS = 3650

# Longer texts would be numbers, too, after int had worked on them for a while.
_DAYS = re.compile("[1-9][0-9]{0,3}")

log = structlog.get_logger("edge")


class Received(Struct, frozen=True):
    """A document that lies in the blob store, and what is to be said about it."""

    event: DocumentSubmitted
    size: int
    submitted_at: datetime
    fields: dict[str, str]


async def receive(request: web.Request, operation: Operation, priority: int) -> Received:
    """Store the document of a request under a new id.

    :raises Refused: the request cannot be accepted; nothing of it was kept.
    """
    edge, tenant, document_id = request.app[EDGE], request[TENANT], new_id()
    upload = await uploads.receive(request, original_key(tenant, document_id))
    submitted_at = datetime.now(UTC)
    try:
        event = DocumentSubmitted(
            document_id=document_id,
            tenant=tenant,
            priority=priority,
            source=Stored(size=upload.blob.size, sha256=upload.blob.sha256),
            file_name=upload.file_name,
            content_type=upload.content_type,
            retention_days=_retention_days(upload.fields.get("retentionDays")),
            operation=operation,
            submitted_at=submitted_at,
        )
    except Refused:
        await uploads.discard(edge.blobs, upload.blob.key)
        raise
    return Received(event, upload.blob.size, submitted_at, upload.fields)


@asynccontextmanager
async def kept_if_said(edge: Edge, received: Received) -> AsyncIterator[None]:
    """Delete the stored document when the body of the context fails to say its event.

    Not when it is cancelled: the event may be on the log by then. If it is not, the bytes are an
    orphan that nobody refers to.
    """
    event = received.event
    try:
        yield
    except Exception:
        await uploads.discard(edge.blobs, original_key(event.tenant, event.document_id))
        raise
    log.info(
        "document accepted",
        document_id=event.document_id,
        tenant=event.tenant,
        size=received.size,
    )


def _retention_days(text: str | None) -> int:
    if not text:
        return DEFAULT_RETENTION_DAYS
    if _DAYS.fullmatch(text) and int(text) <= MAX_RETENTION_DAYS:
        return int(text)
    error = f"retentionDays must be a whole number from 1 to {MAX_RETENTION_DAYS}"
    raise Refused(400, "invalid_retention_days", error)
