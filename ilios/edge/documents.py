"""Submitting a document and reading what became of it: ``/api/documents``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import web

from actors.keys import archived_key
from actors.ports import BlobNotFound
from ilios.edge import answers, content, known, submitting
from ilios.edge.errors import Refused
from ilios.edge.keys import EDGE, Edge
from ilios.edge.names import disposition
from schemas.documents import DEFAULT_PRIORITY, UNKNOWN_TYPE, Blob
from schemas.records import DocumentRecord
from schemas.replies import Submitted, instant


async def submit(request: web.Request) -> web.StreamResponse:
    """``POST /api/documents/submit``: 202 when the document is stored and the log has it."""
    edge = request.app[EDGE]
    received = await submitting.receive(request, "convert", DEFAULT_PRIORITY)
    async with submitting.kept_if_said(edge, received.event, received.key):
        document = await submitting.say(request, received)
    body = Submitted(
        id=document.document_id,
        status="pending",
        file_name=document.file_name,
        file_size=received.size,
        retention_days=document.retention_days,
        created_at=instant(document.submitted_at),
        status_url=answers.status_url(document.document_id),
    )
    return answers.answer(body, 202, answers.see_status(document.document_id))


async def status(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/status/{id}``: how far the document is."""
    return answers.status(await known.find(request))


async def markdown(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/{id}``: the Markdown, or with ``?format=json`` also what is about it."""
    document = await known.find(request)
    refuse_removed(document)
    if answers.has_failed(document):
        return answers.failed(document)
    if document.markdown is None:
        return answers.unfinished(document)
    return await send_markdown(request, document, chosen_format(request.query.get("format")))


async def original(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/{id}/original``: the bytes as they were submitted.

    A document that is yet to be fetched has none, and is answered as one without Markdown.
    """
    edge, document = request.app[EDGE], await known.find(request)
    refuse_removed(document)
    blob = await known.find_original(edge, document)
    if blob is None:
        failed = answers.has_failed(document)
        return answers.failed(document) if failed else answers.unfinished(document)
    headers = {
        # A publisher may have given a type that is fit for no header.
        "Content-Type": document.content_type
        if document.content_type.isprintable()
        else UNKNOWN_TYPE,
        "Content-Disposition": disposition("attachment", document.file_name),
        # The type may be the client's word for it; a browser must not run it on this origin.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
    async with told_when_removed(edge, document):
        blob = await _moved(edge, blob)
        if edge.original_redirect:
            return await content.send_elsewhere(request, edge.blobs, blob, headers)
        return await content.send(request, edge.blobs, blob, headers)


def chosen_format(text: str | None) -> str:
    """Return ``markdown`` or ``json``.

    :raises Refused: neither.
    """
    if text not in (None, "", "markdown", "json"):
        raise Refused(400, "invalid_format", 'format must be "markdown" or "json"')
    return text or "markdown"


async def send_markdown(
    request: web.Request, document: DocumentRecord, form: str
) -> web.StreamResponse:
    """Answer with the Markdown of a document that was completed."""
    edge, blob = request.app[EDGE], document.markdown
    assert blob is not None
    async with told_when_removed(edge, document):
        if form == "json":
            reply, headers = answers.content(document), answers.content_headers(document)
            return await content.send_json(
                request, edge.blobs, blob, reply, headers, result=document.result
            )
        return await content.send(request, edge.blobs, blob, answers.markdown_headers(document))


def refuse_removed(document: DocumentRecord) -> None:
    """Let pass what is still kept.

    :raises Refused: the document was cancelled or deleted, or has expired (410).
    """
    if document.state in answers.REMOVED:
        raise answers.gone(document)


async def _moved(edge: Edge, original: Blob) -> Blob:
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
async def told_when_removed(edge: Edge, document: DocumentRecord) -> AsyncIterator[None]:
    """Say of a blob that is gone that its document was removed, if it was so a moment ago."""
    try:
        yield
    except Refused as refused:
        if refused.code == content.GONE:
            now = await edge.reads.document(document.tenant, document.document_id)
            refuse_removed(now or document)
        raise
