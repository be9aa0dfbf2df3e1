"""From a request to a submission on the log: what every way of handing in a document shares."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from aiohttp import web
from msgspec import Struct

from actors.blob_keys import new_suffix, original_key
from bus.errors import BusUnavailable, NotPublished
from ilios.edge import engine_selection, idempotency, lookup, multipart, uploads
from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.errors import HttpProblem
from schemas.batches import BatchSubmitted
from schemas.documents import DEFAULT_RETENTION_DAYS, DocumentSubmitted, Operation, Stored
from schemas.ids import new_id
from schemas.options import ConversionOptions
from schemas.records import DocumentRecord

MAX_RETENTION_DAYS = 3650

# Longer texts would be numbers, too, after int had worked on them for a while.
_RETENTION_DAYS = re.compile("[1-9][0-9]{0,3}")

log = structlog.get_logger("edge")


class ReceivedDocument(Struct, frozen=True):
    """A document that lies in the blob store under ``key``, and what is to be said about it."""

    event: DocumentSubmitted
    key: str
    size: int
    fields: dict[str, str]


async def receive_document(
    request: web.Request, operation: Operation, priority: int
) -> ReceivedDocument:
    """Store the document of a request under a new id, or the one its idempotency key stands for.

    :raises Refused: the request cannot be accepted; nothing of it was kept.
    """
    edge, tenant, idempotency_key = (
        request.app[EDGE],
        request[TENANT],
        idempotency.parse_key(request),
    )
    document_id, suffix = choose_id(tenant, idempotency_key), new_suffix()
    key = original_key(tenant, document_id, suffix)
    form = await uploads.receive(request, multipart.SINGLE_FILE, lambda _: key)
    (upload,) = form.files
    try:
        selection = engine_selection.select_engine(
            edge, form.fields.get("engine"), form.fields.get("model")
        )
        event = DocumentSubmitted(
            document_id=document_id,
            tenant=tenant,
            priority=priority,
            source=Stored(size=upload.blob.size, sha256=upload.blob.sha256, suffix=suffix),
            file_name=upload.file_name,
            content_type=upload.content_type,
            retention_days=parse_retention_days(form.fields.get("retentionDays")),
            operation=operation,
            submitted_at=datetime.now(UTC),
            fingerprint=idempotency.fingerprint(operation, form) if idempotency_key else None,
            options=ConversionOptions(engine=selection.engine, model=selection.model),
        )
    except HttpProblem:
        await uploads.discard(edge.blobs, key)
        raise
    return ReceivedDocument(event, key, upload.blob.size, form.fields)


def choose_id(tenant: str, idempotency_key: str | None) -> str:
    """Return the id of what a request makes that came with this idempotency key, or with none."""
    return idempotency.derive_id(tenant, idempotency_key) if idempotency_key else new_id()


async def publish(request: web.Request, received: ReceivedDocument) -> DocumentRecord:
    """Say the submission and return its document, or the one the same request has made before.

    To be called within ``kept_if_said``. Errors as ``idempotency.say``.
    """
    edge, event = request.app[EDGE], received.event
    prior = await idempotency.publish_once(edge, event, (received.key,))
    if prior is not None:
        request[idempotency.REPLAYED] = True
        await uploads.discard(edge.blobs, received.key)
        return prior.documents[0]
    log.info(
        "document accepted",
        document_id=event.document_id,
        tenant=event.tenant,
        size=received.size,
    )
    return lookup.pending_record(event)


@asynccontextmanager
async def delete_unless_published(
    edge: Edge, event: DocumentSubmitted | BatchSubmitted, *keys: str
) -> AsyncIterator[None]:
    """Delete the stored originals when the body of the context fails to say their event.

    Not when it is cancelled: the event may be on the log by then. If it is not, the bytes are
    orphans that nobody refers to, and are swept. The same goes for a request that can be repeated
    when the log did not answer: what the client does next will show. But not when it was certainly
    not said: clients that repeat it for as long as the bus is away would fill the volume.
    """
    try:
        yield
    except Exception as error:
        certainly_unpublished = isinstance(error, NotPublished) or not isinstance(
            error, BusUnavailable
        )
        if certainly_unpublished or not event.fingerprint:
            await uploads.discard(edge.blobs, *keys)
        raise


def parse_retention_days(text: str | None) -> int:
    """Return how long a document is to be kept.

    :raises Refused: not a number of days that is allowed.
    """
    if not text:
        return DEFAULT_RETENTION_DAYS
    if _RETENTION_DAYS.fullmatch(text) and int(text) <= MAX_RETENTION_DAYS:
        return int(text)
    error = f"retentionDays must be a whole number from 1 to {MAX_RETENTION_DAYS}"
    raise HttpProblem(400, "invalid_retention_days", error)
