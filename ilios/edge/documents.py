"""One document: submitting it, its status, and deleting it, which cancels its conversion."""

from typing import Annotated, Literal

from aiohttp import web
from msgspec import UNSET, Meta, Struct

from ilios.edge import accept, lookup, removals, responses, upload_urls
from ilios.edge.addresses import LEGACY, Addresses
from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.errors import (
    AUTHENTICATING,
    FINDING_DOCUMENT,
    PUBLISHING,
    READING_LOG,
    SUBMITTING,
    HttpProblem,
)
from ilios.edge.operation import (
    ANY_TYPE,
    DOCUMENT_BYTES,
    DOCUMENT_ID,
    FORM,
    IDEMPOTENCY_KEY,
    JSON,
    RAW_BODY,
    RequestBody,
    Response,
    operation,
)
from ilios.edge.publishing import Accepted
from ilios.edge.responses import Answer
from schemas.documents import (
    DEFAULT_PRIORITY,
    DocumentSubmitted,
    Stored,
)
from schemas.records import DocumentRecord
from schemas.replies import (
    DeletionReceipt,
    DocumentStatus,
    Submitted,
    format_instant,
)
from schemas.requests import SubmitByUrl, SubmitFields
from schemas.states import REMOVED_STATES, UNFINISHED_STATES

TAG = "Documents"

DOCUMENT_BODY = RequestBody(
    description="A form with the document as `file`, the document itself, or its URL as JSON. "
    f"{ANY_TYPE}",
    content={
        FORM: {
            "type": "object",
            "required": ["file"],
            "properties": {"file": DOCUMENT_BYTES | {"description": "The document."}},
        },
        **RAW_BODY,
    },
)
"""The body of one document. The other fields of the form are described as parameters."""


class UploadQuery(Struct, frozen=True, rename="camel"):
    """The query beside the bytes of a document."""

    file_name: Annotated[
        str | None,
        Meta(
            description="The name of a document that is the whole body; at most 255 bytes of it "
            "are stored."
        ),
    ] = None


@operation(
    "POST",
    "/api/documents/submit",
    name="submitDocument",
    tag=TAG,
    summary="Submit a document for conversion",
    description="202 means stored: the document is on disk and the log has its event.",
    parameters=(IDEMPOTENCY_KEY,),
    query=UploadQuery,
    fields=SubmitFields,
    json=SubmitByUrl,
    body=DOCUMENT_BODY,
    responses={
        202: Response(
            description="The document is stored and will be converted.",
            content={JSON: Submitted},
            headers=("Location", "Retry-After", "Idempotent-Replayed"),
        )
    },
    problems=SUBMITTING,
)
async def submit(request: web.Request) -> web.StreamResponse:
    """Answer 202 when the document is stored and the log has its event."""
    event, accepted = await accept_document(request)
    return responses.answer_response(submitted_answer(event, accepted))


async def accept_document(request: web.Request) -> tuple[DocumentSubmitted, Accepted]:
    """Store the document of a request and publish its submission.

    :raises HttpProblem: as ``accept.receive_document`` and ``accept.accept``.
    """
    received = await accept.receive_document(
        request, "convert", DEFAULT_PRIORITY, (SubmitFields, SubmitByUrl)
    )
    event = received.event
    accepted = await accept.accept(request, event, received.blob_keys, received.passwords)
    return event, accepted


def submitted_answer(
    event: DocumentSubmitted, accepted: Accepted, addresses: Addresses = LEGACY
) -> Answer:
    """Return the answer to a submission: the same for the first request and its repetitions."""
    document = accepted.prior[0] if accepted.prior else lookup.pending_record(event)
    body = Submitted(
        id=document.document_id,
        status="pending",
        file_name=document.file_name,
        file_size=event.source.size if isinstance(event.source, Stored) else UNSET,
        retention_days=document.retention_days,
        created_at=format_instant(document.submitted_at),
        status_url=addresses.state_of(document.document_id),
        reference=document.reference or UNSET,
        client_metadata=responses.given(document.metadata),
        deadline=UNSET if document.deadline is None else format_instant(document.deadline),
    )
    return Answer(202, body, responses.status_headers(document.document_id, addresses))


@operation(
    "GET",
    "/api/documents/status/{id}",
    name="documentStatus",
    tag=TAG,
    summary="How far a document is",
    parameters=(DOCUMENT_ID,),
    responses={
        200: Response(
            description="Its status. `Retry-After` is there until it has ended.",
            content={JSON: DocumentStatus},
            headers=("Retry-After",),
        )
    },
    problems=(AUTHENTICATING, FINDING_DOCUMENT, READING_LOG),
)
async def status(request: web.Request) -> web.StreamResponse:
    """Answer with the state of a document."""
    document = await lookup.get_document_or_404(request)
    return responses.answer_response(await responses.status_answer(request.app[EDGE], document))


@operation(
    "DELETE",
    "/api/documents/{id}",
    name="deleteDocument",
    tag=TAG,
    summary="Delete a document, or cancel its conversion",
    description="Markdown, images and original are erased; what was billed stays billed. Asking "
    "again gets the same receipt.",
    parameters=(DOCUMENT_ID,),
    responses={
        200: Response(
            description="It is removed; this is the receipt.",
            content={JSON: DeletionReceipt},
        ),
        202: Response(
            description="It will be deleted; `deletedAt` is null until it is.",
            content={JSON: DeletionReceipt},
            headers=("Location", "Retry-After"),
        ),
    },
    problems=(AUTHENTICATING, FINDING_DOCUMENT, PUBLISHING),
)
async def delete(request: web.Request) -> web.StreamResponse:
    """Answer with the receipt."""
    edge, tenant, document_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    return responses.answer_response(await remove(edge, tenant, document_id))


async def remove(
    edge: Edge, tenant: str, document_id: str, addresses: Addresses = LEGACY
) -> Answer:
    """Remove a document; the answer is 202 when the log has the event and the database not yet.

    A repetition gets the same receipt, and nothing is published again. An upload that was not
    completed yet is withdrawn in the same way.

    :raises HttpProblem: as ``lookup.require_document``.
    """
    try:
        document = await lookup.require_document(edge, tenant, document_id)
    except HttpProblem as refused:
        upload = None
        if refused.status == 404:
            upload = await upload_urls.withdraw(edge, tenant, document_id)
        if upload is None or upload.withdrawn_at is None:
            raise
        return Answer(
            200,
            DeletionReceipt(
                id=document_id,
                status="cancelled",
                file_name=upload.file_name,
                file_size=upload.size,
                sha256=None,
                deleted_at=format_instant(upload.withdrawn_at),
            ),
        )
    if document.state in REMOVED_STATES:
        return _receipt(document, addresses)
    await removals.request_removal(edge, document)
    removed = await removals.wait_until_removed(edge, document)
    if removed is None:
        return _receipt(document, addresses, 202)
    return _receipt(removed, addresses)


def _receipt(document: DocumentRecord, addresses: Addresses, status: int = 200) -> Answer:
    sha256 = document.original_sha256
    if sha256 is None and document.original is not None:
        sha256 = document.original.sha256
    cancelled = document.state in UNFINISHED_STATES or document.state == "cancelled"
    final_status: Literal["cancelled", "deleted"] = "cancelled" if cancelled else "deleted"
    body = DeletionReceipt(
        id=document.document_id,
        status=final_status,
        file_name=document.file_name,
        file_size=document.file_size,
        sha256=sha256,
        deleted_at=format_instant(document.removed_at) if document.removed_at else None,
    )
    headers = responses.status_headers(document.document_id, addresses) if status == 202 else {}
    return Answer(status, body, headers)
