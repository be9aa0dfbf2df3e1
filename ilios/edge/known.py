"""What is known about a document: by the database, or by the log when that is ahead of it."""

from datetime import UTC, datetime

import msgspec
from aiohttp import web

from actors.keys import original_key
from ilios.edge.errors import Refused, document_not_found
from ilios.edge.keys import EDGE, TENANT, Edge
from ilios.file_names import clean_name
from schemas.documents import (
    Blob,
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentSubmitted,
    Inline,
    Stored,
)
from schemas.ids import is_id
from schemas.records import DocumentRecord


async def find(request: web.Request) -> DocumentRecord:
    """Return the document the path names, if it is the asking tenant's.

    :raises Refused: not an id (400); unknown, or somebody else's (404).
    """
    edge, tenant, document_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    if not is_id(document_id):
        raise Refused(400, "invalid_id", "Invalid document ID format")
    document = await edge.reads.document(tenant, document_id)
    if document is not None:
        return document
    # The log first has what the database will have: a status asked right after the 202 is found.
    submitted = await edge.log.submission(tenant, document_id)
    if submitted is None:
        raise document_not_found()
    return pending(submitted)


async def find_original(edge: Edge, document: DocumentRecord) -> Blob | None:
    """Return where the document's original lies, as soon as it lies anywhere."""
    if document.original is not None:
        return document.original
    submitted = await edge.log.submission(document.tenant, document.document_id)
    if submitted is None or not isinstance(submitted.source, Stored):
        return None
    return Blob(
        key=original_key(document.tenant, document.document_id, submitted.source.suffix),
        size=submitted.source.size,
        sha256=submitted.source.sha256,
    )


def pending(submitted: DocumentSubmitted) -> DocumentRecord:
    """Return the record of a document of which only the submission is known."""
    match submitted.source:
        case Stored(size=size):
            file_size: int | None = size
        case Inline(data=data):
            file_size = len(data)
        case _:
            file_size = None
    return DocumentRecord(
        tenant=submitted.tenant,
        document_id=submitted.document_id,
        state="pending",
        file_name=clean_name(submitted.file_name),
        content_type=submitted.content_type,
        file_size=file_size,
        priority=submitted.priority,
        retention_days=submitted.retention_days,
        operation=submitted.operation,
        submitted_at=submitted.submitted_at or datetime.now(UTC),
    )


def ended(
    document: DocumentRecord, event: DocumentCompleted | DocumentFailed | DocumentCancelled
) -> DocumentRecord:
    """Return the record as it is after the event that ends the document."""
    if isinstance(event, DocumentCancelled):
        return msgspec.structs.replace(document, state="cancelled", removal="requested")
    if isinstance(event, DocumentFailed):
        return msgspec.structs.replace(
            document,
            state="failed",
            code=event.code,
            reason=event.reason,
            retryable=event.retryable,
        )
    return msgspec.structs.replace(
        document,
        state="completed",
        content_type=event.content_type,
        file_size=event.original.size,
        original=event.original,
        markdown=event.markdown,
        pages=event.pages,
        engine=event.engine,
        model=event.model,
        seconds=event.seconds,
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        submitted_at=event.submitted_at,
        finished_at=event.completed_at,
    )
