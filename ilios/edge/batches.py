"""Submitting many documents at once and reading how far they are: ``/v1/batch``."""

import re
from datetime import UTC, datetime

import msgspec
import structlog
from aiohttp import web
from msgspec import Struct

from actors.blob_keys import new_suffix, original_key
from ilios.edge import (
    engine_selection,
    idempotency,
    lookup,
    multipart,
    responses,
    submission,
    uploads,
)
from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.errors import HttpProblem
from schemas import batch_replies
from schemas.batches import BatchDocument, BatchSubmitted, document_id
from schemas.documents import DEFAULT_PRIORITY, Stored
from schemas.options import ConversionOptions
from schemas.records import BatchRecord, DocumentRecord, EngineBatch
from schemas.replies import format_instant
from schemas.states import DocumentState

OPERATION = "batch"

_PRIORITY = re.compile("[1-9]|10")
_BOOLEANS = {"": False, "false": False, "0": False, "true": True, "1": True}

log = structlog.get_logger("edge")


class ReceivedBatch(Struct, frozen=True):
    """Documents that lie in the blob store under ``keys``, and what is to be said about them."""

    event: BatchSubmitted
    keys: tuple[str, ...]


async def submit(request: web.Request) -> web.StreamResponse:
    """``POST /v1/batch/submit``: 202 when every document is stored and the log has the batch."""
    edge, received = request.app[EDGE], await _receive(request)
    event, keys = received.event, received.keys
    async with submission.delete_unless_published(edge, event, *keys):
        prior = await idempotency.publish_once(edge, event, keys)
    if prior is not None:
        request[idempotency.REPLAYED] = True
        await uploads.discard(edge.blobs, *keys)
        return _accepted_response(event, prior.submitted_at)
    log.info(
        "batch accepted",
        batch_id=event.batch_id,
        tenant=event.tenant,
        documents=len(event.documents),
    )
    return _accepted_response(event, event.submitted_at)


async def status(request: web.Request) -> web.StreamResponse:
    """``GET /v1/batch/status/{id}``: how far the batch is, ``?details=true`` each document too."""
    edge = request.app[EDGE]
    detailed = _parse_boolean("details", "invalid_details", request.query.get("details"))
    batch = await lookup.get_batch_or_404(request)
    progress = batch.progress
    # The last document's end is known a moment before the end of the batch is.
    closing = progress.is_finished and batch.completed_at is None
    documents = await lookup.batch_documents(edge, batch) if detailed or closing else []
    engine_batch = batch.engine_batch
    body = batch_replies.BatchStatus(
        batch_id=batch.batch_id,
        status=progress.state,
        progress=progress_reply(batch),
        created_at=format_instant(batch.submitted_at),
        completed_at=completed_at(batch, documents),
        download_url=f"/v1/batch/download/{batch.batch_id}" if progress.is_finished else None,
        documents=[_document_status(document) for document in documents]
        if detailed
        else msgspec.UNSET,
        mistral_batch_job_id=(engine_batch and engine_batch.job) or msgspec.UNSET,
        mistral_status=_mistral_status(engine_batch),
    )
    headers = {} if progress.is_finished else {"Retry-After": responses.POLL_AFTER}
    return responses.json_response(body, 200, headers)


def progress_reply(batch: BatchRecord) -> batch_replies.BatchProgress:
    """Return the counts of a batch as clients read them."""
    return batch_replies.BatchProgress(**msgspec.structs.asdict(batch.progress))


def completed_at(batch: BatchRecord, documents: list[DocumentRecord]) -> str | None:
    """Return when the batch ended, by its documents as long as that is not written down."""
    if not batch.progress.is_finished:
        return None
    ends = [document.finished_at for document in documents if document.finished_at]
    moment = batch.completed_at or max(ends, default=None)
    return format_instant(moment) if moment else None


def public_state(document: DocumentRecord) -> DocumentState:
    """Return the state clients are told: what failed stays failed in the archive."""
    return "failed" if responses.has_failed(document) else document.state


async def _receive(request: web.Request) -> ReceivedBatch:
    """Store the documents of a request.

    :raises Refused: the request cannot be accepted; nothing of it was kept.
    """
    edge, tenant, idempotency_key = (
        request.app[EDGE],
        request[TENANT],
        idempotency.parse_key(request),
    )
    batch_id, suffix = submission.choose_id(tenant, idempotency_key), new_suffix()
    form = await uploads.receive(
        request,
        multipart.BATCH_FILES,
        lambda number: original_key(tenant, document_id(batch_id, number), suffix),
    )
    keys = tuple(file.blob.key for file in form.files)
    try:
        event = _submission_event(edge, tenant, batch_id, suffix, form, idempotency_key)
    except HttpProblem:
        await uploads.discard(edge.blobs, *keys)
        raise
    return ReceivedBatch(event, keys)


def _submission_event(
    edge: Edge,
    tenant: str,
    batch_id: str,
    suffix: str,
    form: multipart.UploadForm,
    idempotency_key: str | None,
) -> BatchSubmitted:
    fields = form.fields
    mistral_batch = _parse_boolean(
        "useMistralBatch", "invalid_use_mistral_batch", fields.get("useMistralBatch")
    )
    selection = engine_selection.select_engine(
        edge, fields.get("engine"), fields.get("model"), mistral_batch=mistral_batch
    )
    return BatchSubmitted(
        batch_id=batch_id,
        tenant=tenant,
        documents=tuple(
            BatchDocument(
                document_id=document_id(batch_id, number),
                source=Stored(size=file.blob.size, sha256=file.blob.sha256, suffix=suffix),
                file_name=file.file_name,
                content_type=file.content_type,
            )
            for number, file in enumerate(form.files, 1)
        ),
        priority=_parse_priority(fields.get("priority")),
        retention_days=submission.parse_retention_days(fields.get("retentionDays")),
        submitted_at=datetime.now(UTC),
        fingerprint=idempotency.fingerprint(OPERATION, form) if idempotency_key else None,
        options=ConversionOptions(engine=selection.engine, model=selection.model),
        engine_batch=mistral_batch,
    )


def _parse_priority(text: str | None) -> int:
    if not text:
        return DEFAULT_PRIORITY
    if _PRIORITY.fullmatch(text):
        return int(text)
    raise HttpProblem(400, "invalid_priority", "priority must be a whole number from 1 to 10")


def _parse_boolean(name: str, code: str, text: str | None) -> bool:
    if (chosen := _BOOLEANS.get((text or "").lower())) is None:
        raise HttpProblem(400, code, f'{name} must be "true" or "false"')
    return chosen


def _accepted_response(event: BatchSubmitted, submitted_at: datetime | None) -> web.Response:
    """Answer a submission: the same for the first request and for its repetitions."""
    assert submitted_at is not None
    documents = []
    for document in event.documents:
        assert isinstance(document.source, Stored)
        documents.append(
            batch_replies.SubmittedDocument(
                id=document.document_id,
                file_name=document.file_name,
                file_size=document.source.size,
            )
        )
    status_url = f"/v1/batch/status/{event.batch_id}"
    body = batch_replies.BatchSubmitted(
        batch_id=event.batch_id,
        total_documents=len(documents),
        documents=documents,
        created_at=format_instant(submitted_at),
        status_url=status_url,
    )
    headers = {"Location": status_url, "Retry-After": responses.POLL_AFTER}
    return responses.json_response(body, 202, headers)


def _mistral_status(state: EngineBatch | None) -> batch_replies.MistralStatus | msgspec.UnsetType:
    if state is None or state.status is None:
        return msgspec.UNSET
    return batch_replies.MistralStatus(
        status=state.status,
        total_requests=state.total,
        completed_requests=state.completed,
        failed_requests=state.failed,
    )


def _document_status(document: DocumentRecord) -> batch_replies.BatchDocumentStatus:
    return batch_replies.BatchDocumentStatus(
        id=document.document_id,
        file_name=document.file_name,
        status=public_state(document),
        error=document.reason,
        code=document.code,
        processed_at=format_instant(document.finished_at) if document.finished_at else None,
    )
