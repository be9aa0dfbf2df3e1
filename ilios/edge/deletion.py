"""Deleting documents; a conversion that has not ended is cancelled."""

import asyncio
import time
from contextlib import suppress
from typing import Literal

import structlog
from aiohttp import web

from bus import failpoints
from bus.errors import AlreadyPublished
from ilios.edge import lookup, responses, upload_urls
from ilios.edge.context import EDGE, Edge
from ilios.edge.errors import AUTHENTICATING, FINDING_DOCUMENT, PUBLISHING, HttpProblem
from ilios.edge.operation import DOCUMENT_ID, JSON, Response, operation
from schemas.documents import DocumentCancelled, DocumentDeleted
from schemas.records import DocumentRecord
from schemas.replies import DeletionReceipt, format_instant
from schemas.states import REMOVED_STATES, UNFINISHED_STATES

POLL_INTERVAL = 0.02  # seconds; the database is some milliseconds behind the log

log = structlog.get_logger("edge")


@operation(
    "DELETE",
    "/api/documents/{id}",
    name="deleteDocument",
    tag="Documents",
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
    """Answer with the receipt; with 202 when the log has the event and the database not yet.

    A repetition gets the same receipt, and nothing is published again. An upload that was not
    completed yet is withdrawn in the same way.
    """
    edge = request.app[EDGE]
    try:
        document = await lookup.get_document_or_404(request)
    except HttpProblem as refused:
        upload = await upload_urls.withdraw(request) if refused.status == 404 else None
        if upload is None or upload.withdrawn_at is None:
            raise
        return responses.json_response(
            DeletionReceipt(
                id=request.match_info["id"],
                status="cancelled",
                file_name=upload.file_name,
                file_size=upload.size,
                sha256=None,
                deleted_at=format_instant(upload.withdrawn_at),
            )
        )
    if document.state in REMOVED_STATES:
        return _receipt(document)
    await _publish_removal(edge, document)
    removed = await _wait_until_removed(edge, document)
    if removed is None:
        return _receipt(document, 202)
    return _receipt(removed)


async def _publish_removal(edge: Edge, document: DocumentRecord) -> None:
    # The type is a guess: the database, which goes by the order of the log, decides whether the
    # document had ended before. Either event removes it.
    event_type = DocumentCancelled if document.state in UNFINISHED_STATES else DocumentDeleted
    with suppress(AlreadyPublished):
        await edge.publisher.publish_if_first(
            event_type(
                tenant=document.tenant,
                document_id=document.document_id,
                priority=document.priority,
            )
        )
        failpoints.reach("deletion.said")
        log.info(
            "removal requested",
            tenant=document.tenant,
            document_id=document.document_id,
            state=document.state,
        )


async def _wait_until_removed(edge: Edge, document: DocumentRecord) -> DocumentRecord | None:
    """Return the document as soon as the database shows that it is removed, or None."""
    deadline = time.monotonic() + edge.limits.removal_timeout
    while True:
        found = await edge.reads.document(document.tenant, document.document_id)
        if found is not None and found.state in REMOVED_STATES:
            return found
        if time.monotonic() >= deadline:
            return None
        await asyncio.sleep(POLL_INTERVAL)


def _receipt(document: DocumentRecord, status: int = 200) -> web.Response:
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
    headers = responses.status_headers(document.document_id) if status == 202 else None
    return responses.json_response(body, status, headers)
