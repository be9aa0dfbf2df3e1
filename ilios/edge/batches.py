"""Batches: submitting many documents at once, and reading how far they are."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from actors.blob_keys import new_suffix, original_key
from ilios.edge import accept, lookup, requests, responses, uploads
from ilios.edge.context import EDGE, SHUTTING_DOWN, TENANT, Edge
from ilios.edge.deadlines import absolute_deadline
from ilios.edge.errors import (
    AUTHENTICATING,
    FINDING_BATCH,
    READING_LOG,
    SUBMITTING,
    HttpProblem,
)
from ilios.edge.operation import (
    BATCH_ID,
    DOCUMENT_BYTES,
    FORM,
    IDEMPOTENCY_KEY,
    JSON,
    RequestBody,
    Response,
    operation,
)
from ilios.edge.responses import Answer
from ilios.edge.waits import WaitQuery, wait_for_batch
from schemas import replies
from schemas.batches import MAX_BATCH_DOCUMENTS, BatchDocument, BatchSubmitted, document_id
from schemas.documents import Remote, Stored
from schemas.options import ConversionOptions
from schemas.records import BatchRecord, DocumentRecord, EngineBatch
from schemas.replies import format_instant
from schemas.requests import BatchByUrl, BatchFields, Boolean, DocumentAddress
from schemas.states import DocumentState

TAG = "Batches"
OPERATION = "batch"
MAX_JSON_BYTES = 960 * 1024
"""Bytes of a batch of addresses: a hundred of the longest, with their metadata."""

_FILES = {
    "type": "array",
    "items": DOCUMENT_BYTES,
    "minItems": 1,
    "maxItems": MAX_BATCH_DOCUMENTS,
    "description": "The documents, each in a part of its own; the name may also be `files[]`. "
    "Each file of a ZIP archive is a document.",
}


class StatusQuery(WaitQuery, frozen=True):
    """The query of a batch's status."""

    details: Annotated[Boolean, Meta(description="`true` adds every document of the batch.")] = (
        False
    )


@operation(
    "POST",
    "/v1/batch/submit",
    name="submitBatch",
    tag=TAG,
    summary="Submit up to 100 documents together",
    description="All of them are accepted, or none. 202 means stored.",
    parameters=(IDEMPOTENCY_KEY,),
    fields=BatchFields,
    json=BatchByUrl,
    describe_form=True,
    body=RequestBody(
        description="A form with the documents as `files`, or their URLs as JSON.",
        content={
            FORM: {
                "type": "object",
                "required": ["files"],
                "properties": {"files": _FILES},
            }
        },
    ),
    responses={
        202: Response(
            description="All documents are stored and will be converted.",
            content={JSON: replies.BatchSubmitted},
            headers=("Location", "Retry-After", "Idempotent-Replayed"),
        )
    },
    problems=(*SUBMITTING, {400: ("archive_refused",)}),
)
async def submit(request: web.Request) -> web.StreamResponse:
    """Answer 202 when every document is stored and the log has the batch."""
    received = await _receive(request)
    accepted = await accept.accept(request, received.event, received.blob_keys, received.passwords)
    return responses.answer_response(accepted_answer(received.event, accepted.submitted_at))


@operation(
    "GET",
    "/v1/batch/status/{id}",
    name="batchStatus",
    tag=TAG,
    summary="How far a batch is",
    parameters=(BATCH_ID,),
    query=StatusQuery,
    responses={
        200: Response(
            description="Its progress. `Retry-After` is there until it has ended.",
            content={JSON: replies.BatchStatus},
            headers=("Retry-After",),
        )
    },
    problems=(AUTHENTICATING, FINDING_BATCH, READING_LOG),
)
async def status(request: web.Request) -> web.StreamResponse:
    """Answer with the progress of a batch, and with ``?details=true`` of each document."""
    wanted = requests.parse_texts(StatusQuery, request.query)
    batch = await lookup.get_batch_or_404(request)
    edge, closing = request.app[EDGE], request.app[SHUTTING_DOWN]
    batch = await wait_for_batch(edge, batch, wanted.wait, closing)
    answer = await status_answer(edge, batch, wanted.details)
    return responses.answer_response(answer)


state = msgspec.structs.replace(
    status, path="/v1/batch/{id}", name="getBatch", summary="The state of a batch"
)
"""``status`` at the address of the batch itself, where ``DELETE`` cancels it."""


async def status_answer(edge: Edge, batch: BatchRecord, detailed: bool) -> Answer:  # noqa: FBT001  # a parameter of the request
    """Return the progress of a batch, ``detailed`` with each of its documents."""
    progress = batch.progress
    # The last document ends in the database a moment before its batch.
    closing = progress.is_finished and batch.completed_at is None
    documents = await lookup.batch_documents(edge, batch) if detailed or closing else []
    body = batch_status(batch, documents)
    if detailed:
        details = [document_status(document) for document in documents]
        body = msgspec.structs.replace(body, documents=details)
    if progress.is_finished:
        return Answer(200, body)
    body = await edge.progress.add_to_batch(body, batch, documents)
    return Answer(200, body, {"Retry-After": responses.POLL_AFTER})


def batch_status(
    batch: BatchRecord, documents: Sequence[DocumentRecord] = ()
) -> replies.BatchStatus:
    """Return the progress of a batch as a reply, without its documents.

    They are needed for the time of its end only, until its own row has it.
    """
    progress, engine_batch = batch.progress, batch.engine_batch
    return replies.BatchStatus(
        batch_id=batch.batch_id,
        status=progress.state,
        progress=progress_reply(batch),
        created_at=format_instant(batch.submitted_at),
        completed_at=completed_at(batch, documents),
        download_url=f"/v1/batch/download/{batch.batch_id}" if progress.is_finished else None,
        mistral_batch_job_id=(engine_batch and engine_batch.job) or msgspec.UNSET,
        mistral_status=_mistral_status(engine_batch),
        reference=batch.reference or msgspec.UNSET,
        client_metadata=responses.given(batch.metadata),
    )


def status_headers(batch_id: str) -> dict[str, str]:
    """Return the headers that point a client to the status of a batch."""
    return {"Location": f"/v1/batch/status/{batch_id}", "Retry-After": responses.POLL_AFTER}


def progress_reply(batch: BatchRecord) -> replies.BatchProgress:
    """Return the counts of a batch as a reply."""
    return replies.BatchProgress(**msgspec.structs.asdict(batch.progress))


def completed_at(batch: BatchRecord, documents: Sequence[DocumentRecord]) -> str | None:
    """Return when the batch ended: by its documents, until its own row has the time."""
    if not batch.progress.is_finished:
        return None
    ends = [document.finished_at for document in documents if document.finished_at]
    moment = batch.completed_at or max(ends, default=None)
    return format_instant(moment) if moment else None


def public_state(document: DocumentRecord) -> DocumentState:
    """Return the state for clients: an archived document that had failed is a failed one."""
    return "failed" if responses.has_failed(document) else document.state


async def _receive(request: web.Request) -> accept.Received[BatchSubmitted, BatchFields]:
    """Store the documents of a batch. Errors as ``accept.receive_document``."""
    edge, tenant, key = request.app[EDGE], request[TENANT], accept.parse_key(request)
    batch_id, suffix, now = accept.choose_id(tenant, key), new_suffix(), datetime.now(UTC)
    if accept.is_json(request):
        body = await accept.read_urls(request, MAX_JSON_BYTES)
        given = requests.add_query(_as_batch(body), request.query, BatchFields, BatchByUrl)
        by_url = requests.parse_json(BatchByUrl, given)
        wanted = msgspec.convert(by_url, BatchFields, from_attributes=True)
        blob_keys: tuple[str, ...] = ()
        documents = [
            BatchDocument(
                document_id=document_id(batch_id, number),
                source=Remote(one.url),
                file_name=accept.name_of_url(one.url, one.file_name),
                reference=one.labels.reference,
                metadata=one.labels.metadata,
            )
            for number, one in enumerate(by_url.documents, 1)
        ]
        sources: list[tuple[Any, ...]] = [
            (one.url, one.file_name, *accept.labels_to_hash(one.labels)) for one in by_url.documents
        ]
        fields: Mapping[str, str] = accept.as_texts(given)
        options = _batch_options(edge, wanted)
        deadline = absolute_deadline(wanted.deadline, now)
        own_passwords = [one.password for one in by_url.documents]
    else:
        form = await uploads.receive(
            request,
            uploads.BATCH_FILES,
            lambda number: original_key(tenant, document_id(batch_id, number), suffix),
        )
        blob_keys, fields = tuple(file.blob.key for file in form.files), form.fields
        try:
            accept.check_fields(request, form, BatchFields)
            wanted = requests.parse_texts(BatchFields, fields)
            options = _batch_options(edge, wanted)
            deadline = absolute_deadline(wanted.deadline, now)
        except HttpProblem:
            await uploads.discard(edge.blobs, *blob_keys)
            raise
        documents = [
            BatchDocument(
                document_id=document_id(batch_id, number),
                source=file.source(suffix),
                file_name=file.file_name,
                content_type=file.content_type,
            )
            for number, file in enumerate(form.files, 1)
        ]
        sources = accept.file_sources(form)
        own_passwords = [None] * len(documents)
    passwords = {
        document.document_id: password
        for document, own in zip(documents, own_passwords, strict=True)
        if (password := own or wanted.password)
    }
    event = BatchSubmitted(
        batch_id=batch_id,
        tenant=tenant,
        documents=tuple(documents),
        priority=wanted.priority,
        retention_days=wanted.retention_days,
        submitted_at=now,
        deadline=deadline,
        fingerprint=accept.fingerprint(OPERATION, sources, fields, wanted.options, wanted.labels)
        if key
        else None,
        options=options,
        engine_batch=wanted.use_mistral_batch,
        reference=wanted.labels.reference,
        metadata=wanted.labels.metadata,
    )
    return accept.Received(event, blob_keys, wanted, passwords)


def _as_batch(body: object) -> dict[str, Any]:
    """Return a batch with its addresses as objects; a list alone is one of documents."""
    given = requests.require_object({"documents": body} if isinstance(body, list) else body)
    documents = given.get("documents")
    if isinstance(documents, list):
        if len(documents) > uploads.BATCH_FILES.max_files:
            raise uploads.BATCH_FILES.too_many(len(documents))
        objects = [{"url": one} if isinstance(one, str) else one for one in documents]
        for one in objects:
            if isinstance(one, dict):
                requests.parse_json(DocumentAddress, one)
        given = given | {"documents": objects}
    return given


def _batch_options(edge: Edge, wanted: BatchFields) -> ConversionOptions:
    return requests.check_engine(edge, wanted.options, mistral_batch=wanted.use_mistral_batch)


def accepted_answer(event: BatchSubmitted, submitted_at: datetime) -> Answer:
    """Return the answer to a submission: the same for the first request and its repetitions."""
    documents = []
    for document in event.documents:
        source = document.source
        documents.append(
            replies.SubmittedDocument(
                id=document.document_id,
                file_name=document.file_name,
                file_size=source.size if isinstance(source, Stored) else msgspec.UNSET,
                reference=document.reference or msgspec.UNSET,
                client_metadata=responses.given(document.metadata),
            )
        )
    headers = status_headers(event.batch_id)
    body = replies.BatchSubmitted(
        batch_id=event.batch_id,
        total_documents=len(documents),
        documents=documents,
        created_at=format_instant(submitted_at),
        status_url=headers["Location"],
        reference=event.reference or msgspec.UNSET,
        client_metadata=responses.given(event.metadata),
        deadline=msgspec.UNSET if event.deadline is None else format_instant(event.deadline),
    )
    return Answer(202, body, headers)


def _mistral_status(state: EngineBatch | None) -> replies.MistralStatus | msgspec.UnsetType:
    if state is None or state.status is None:
        return msgspec.UNSET
    return replies.MistralStatus(
        status=state.status,
        total_requests=state.total,
        completed_requests=state.completed,
        failed_requests=state.failed,
    )


def document_status(document: DocumentRecord) -> replies.BatchDocumentStatus:
    """Return the state of a document of a batch as a reply."""
    return replies.BatchDocumentStatus(
        id=document.document_id,
        file_name=document.file_name,
        status=public_state(document),
        error=document.reason,
        code=document.code,
        processed_at=format_instant(document.finished_at) if document.finished_at else None,
        warnings=document.warnings or msgspec.UNSET,
        quality=document.quality or msgspec.UNSET,
        partial=document.partial or msgspec.UNSET,
        reference=document.reference or msgspec.UNSET,
        client_metadata=responses.given(document.metadata),
    )
