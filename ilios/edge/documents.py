"""Submitting a document and reading what became of it: ``/api/documents``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import web

from actors.blob_keys import archived_key
from actors.ports import BlobNotFound
from ilios.edge import blob_responses, lookup, responses, submission
from ilios.edge.content_disposition import format_disposition
from ilios.edge.context import EDGE, Edge
from ilios.edge.errors import HttpProblem
from schemas.documents import DEFAULT_CONTENT_TYPE, DEFAULT_PRIORITY, Blob
from schemas.records import DocumentRecord
from schemas.replies import Submitted, format_instant


async def submit(request: web.Request) -> web.StreamResponse:
    """``POST /api/documents/submit``: 202 when the document is stored and the log has it."""
    edge = request.app[EDGE]
    received = await submission.receive_document(request, "convert", DEFAULT_PRIORITY)
    async with submission.delete_unless_published(edge, received.event, received.key):
        document = await submission.publish(request, received)
    body = Submitted(
        id=document.document_id,
        status="pending",
        file_name=document.file_name,
        file_size=received.size,
        retention_days=document.retention_days,
        created_at=format_instant(document.submitted_at),
        status_url=responses.status_url(document.document_id),
    )
    return responses.json_response(body, 202, responses.status_headers(document.document_id))


async def status(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/status/{id}``: how far the document is."""
    return responses.status_response(await lookup.get_document_or_404(request))


async def markdown(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/{id}``: the Markdown, or with ``?format=json`` also what is about it."""
    document = await lookup.get_document_or_404(request)
    raise_if_removed(document)
    if responses.has_failed(document):
        return responses.failed_response(document)
    if document.markdown is None:
        return responses.unfinished_response(document)
    return await send_markdown(request, document, parse_format(request.query.get("format")))


async def original(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/{id}/original``: the bytes as they were submitted.

    A document that is yet to be fetched has none, and is answered as one without Markdown.
    """
    edge, document = request.app[EDGE], await lookup.get_document_or_404(request)
    raise_if_removed(document)
    blob = await lookup.find_original(edge, document)
    if blob is None:
        failed = responses.has_failed(document)
        return (
            responses.failed_response(document)
            if failed
            else responses.unfinished_response(document)
        )
    headers = {
        # A publisher may have given a type that is fit for no header.
        "Content-Type": document.content_type
        if document.content_type.isprintable()
        else DEFAULT_CONTENT_TYPE,
        "Content-Disposition": format_disposition("attachment", document.file_name),
        # The type may be the client's word for it; a browser must not run it on this origin.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
    async with gone_if_removed(edge, document):
        blob = await _locate_original(edge, blob)
        if edge.original_redirect:
            return await blob_responses.redirect_or_send(request, edge.blobs, blob, headers)
        return await blob_responses.send(request, edge.blobs, blob, headers)


def parse_format(text: str | None) -> str:
    """Return ``markdown`` or ``json``.

    :raises Refused: neither.
    """
    if text not in (None, "", "markdown", "json"):
        raise HttpProblem(400, "invalid_format", 'format must be "markdown" or "json"')
    return text or "markdown"


async def send_markdown(
    request: web.Request, document: DocumentRecord, output_format: str
) -> web.StreamResponse:
    """Answer with the Markdown of a document that was completed."""
    edge, blob = request.app[EDGE], document.markdown
    assert blob is not None
    async with gone_if_removed(edge, document):
        if output_format == "json":
            reply, headers = (
                responses.document_content(document),
                responses.content_headers(document),
            )
            return await blob_responses.send_json(
                request, edge.blobs, blob, reply, headers, result=document.result
            )
        return await blob_responses.send(
            request, edge.blobs, blob, responses.markdown_headers(document)
        )


def raise_if_removed(document: DocumentRecord) -> None:
    """Let pass what is still kept.

    :raises Refused: the document was cancelled or deleted, or has expired (410).
    """
    if document.state in responses.REMOVED_STATES:
        raise responses.gone_problem(document)


async def _locate_original(edge: Edge, original: Blob) -> Blob:
    """Return where an original lies: it is moved to the archive before the database says so."""
    try:
        await edge.blobs.size(original.key)
    except BlobNotFound:
        archived = msgspec.structs.replace(original, key=archived_key(original.key))
        with suppress(BlobNotFound):
            await edge.blobs.size(archived.key)
            return archived
    return original


@asynccontextmanager
async def gone_if_removed(edge: Edge, document: DocumentRecord) -> AsyncIterator[None]:
    """Say of a blob that is gone that its document was removed, if it was so a moment ago."""
    try:
        yield
    except HttpProblem as refused:
        if refused.code == blob_responses.CONTENT_GONE:
            current = await edge.reads.document(document.tenant, document.document_id)
            raise_if_removed(current or document)
        raise
