"""Lookup of documents and batches: in the database, or on the log when that is ahead."""

from datetime import UTC, datetime

import msgspec
from aiohttp import web

from actors.blob_keys import original_key
from bus.log import StoredBatchSubmission, StoredRejection
from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.errors import HttpProblem, document_not_found
from ilios.visible import clean_name
from schemas.batches import BatchSubmitted, batch_id_of, document_submissions
from schemas.documents import (
    Blob,
    DocumentCancelled,
    DocumentCompleted,
    DocumentFailed,
    DocumentSubmitted,
    Inline,
    Stored,
    effective_deadline,
    effective_time,
)
from schemas.ids import is_id
from schemas.records import BatchCounts, BatchRecord, DocumentRecord, EngineBatch


async def get_document_or_404(request: web.Request) -> DocumentRecord:
    """Return the document of the path; errors as ``require_document``."""
    return await require_document(request.app[EDGE], request[TENANT], request.match_info["id"])


async def get_batch_or_404(request: web.Request) -> BatchRecord:
    """Return the batch of the path; errors as ``require_batch``."""
    return await require_batch(request.app[EDGE], request[TENANT], request.match_info["id"])


async def require_document(edge: Edge, tenant: str, document_id: str) -> DocumentRecord:
    """Return a document of the tenant.

    :raises HttpProblem: not an id (400); unknown, or another tenant's (404).
    """
    if not is_id(document_id):
        raise HttpProblem(400, "invalid_id", "Invalid document ID format")
    found = await get_document(edge, tenant, document_id)
    if found is None:
        raise document_not_found()
    return found


async def require_batch(edge: Edge, tenant: str, batch_id: str) -> BatchRecord:
    """Return a batch of the tenant.

    :raises HttpProblem: not an id (400); unknown, or another tenant's (404).
    """
    if not is_id(batch_id):
        raise HttpProblem(400, "invalid_id", "Invalid batch ID format")
    found = await get_batch(edge, tenant, batch_id)
    if found is None:
        raise HttpProblem(404, "batch_not_found", "Batch not found")
    return found


async def get_document(edge: Edge, tenant: str, document_id: str) -> DocumentRecord | None:
    """Return a document.

    The log is ahead of the database: with both, a status read right after the 202 is found.
    """
    found = await edge.reads.document(tenant, document_id)
    if found is not None:
        return found
    submitted = await edge.log.submission(tenant, document_id)
    if submitted is not None:
        return pending_record(submitted)
    batch_id = batch_id_of(document_id)
    submission = await edge.log.batch(tenant, batch_id) if batch_id else None
    records = _batch_records(submission) if submission else []
    found = next((found for found in records if found.document_id == document_id), None)
    if found is not None:
        return found
    rejection = await edge.log.rejection(tenant, document_id)
    return rejected_record(rejection) if rejection else None


async def get_batch(edge: Edge, tenant: str, batch_id: str) -> BatchRecord | None:
    """Return a batch, as ``get_document``."""
    found = await edge.batches.batch(tenant, batch_id)
    if found is not None:
        return found
    submission = await edge.log.batch(tenant, batch_id)
    if submission is None:
        return None
    submitted = submission.event
    total = len(submitted.documents)
    return BatchRecord(
        tenant=tenant,
        batch_id=batch_id,
        priority=submitted.priority,
        retention_days=submitted.retention_days,
        submitted_at=effective_time(submitted.submitted_at, submission.stored_at),
        progress=BatchCounts(total=total, pending=total),
        fingerprint=submitted.fingerprint,
        engine_batch=EngineBatch() if submitted.engine_batch else None,
        reference=submitted.reference,
        metadata=submitted.metadata,
    )


async def batch_documents(edge: Edge, record: BatchRecord) -> list[DocumentRecord]:
    """Return the documents of a batch in its order."""
    found = await edge.batches.documents(record.tenant, record.batch_id)
    if found:
        return found
    submission = await edge.log.batch(record.tenant, record.batch_id)
    return _batch_records(submission) if submission else []


async def find_original(edge: Edge, document: DocumentRecord) -> Blob | None:
    """Return the blob of the document's original, or None before it is stored."""
    if document.original is not None:
        return document.original
    submitted = await edge.log.submission(document.tenant, document.document_id)
    return _original_blob(submitted) if submitted else None


def pending_record(submitted: DocumentSubmitted, batch_id: str | None = None) -> DocumentRecord:
    """Return the record of a document that so far has its submission only."""
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
        original=_original_blob(submitted),
        batch_id=batch_id,
        fingerprint=submitted.fingerprint,
        options=submitted.options,
        held=submitted.held,
        reference=submitted.reference,
        metadata=submitted.metadata,
        deadline=effective_deadline(submitted),
    )


def rejected_record(rejection: StoredRejection) -> DocumentRecord:
    """Return the record of a document whose submission is invalid."""
    rejected = rejection.event
    empty = DocumentSubmitted(
        document_id=rejected.document_id,
        tenant=rejected.tenant,
        priority=rejected.priority,
        source=Inline(b""),
        submitted_at=rejection.stored_at,
        reference=rejected.reference,
        metadata=rejected.metadata,
    )
    return msgspec.structs.replace(
        pending_record(empty),
        state="failed",
        file_size=None,
        finished_at=rejection.stored_at,
        code=rejected.code,
        reason=rejected.reason,
        retryable=False,
    )


def finished_record(
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
        result=event.result,
        fallback_from=event.fallback_from,
        warnings=event.warnings,
        quality=event.quality,
        partial=event.partial,
    )


def _batch_records(submission: StoredBatchSubmission) -> list[DocumentRecord]:
    batch: BatchSubmitted = submission.event
    submitted_at = effective_time(batch.submitted_at, submission.stored_at)
    batch = msgspec.structs.replace(batch, submitted_at=submitted_at)
    return [pending_record(document, batch.batch_id) for document in document_submissions(batch)]


def _original_blob(submitted: DocumentSubmitted) -> Blob | None:
    source = submitted.source
    if not isinstance(source, Stored):
        return None
    key = original_key(submitted.tenant, submitted.document_id, source.suffix)
    return Blob(key=key, size=source.size, sha256=source.sha256)
