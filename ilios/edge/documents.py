"""Submitting a document and reading what became of it: ``/api/documents``."""

from aiohttp import web

from ilios.edge import answers, content, known, submitting
from ilios.edge.errors import Refused
from ilios.edge.keys import EDGE
from ilios.edge.names import disposition
from schemas.documents import DEFAULT_PRIORITY
from schemas.records import DocumentRecord
from schemas.replies import Submitted, instant


async def submit(request: web.Request) -> web.StreamResponse:
    """``POST /api/documents/submit``: 202 when the document is stored and the log has it."""
    edge = request.app[EDGE]
    received = await submitting.receive(request, "convert", DEFAULT_PRIORITY)
    event = received.event
    async with submitting.kept_if_said(edge, received):
        await edge.publisher.say(event)
    body = Submitted(
        id=event.document_id,
        status="pending",
        file_name=event.file_name,
        file_size=received.size,
        retention_days=event.retention_days,
        created_at=instant(received.submitted_at),
        status_url=answers.status_url(event.document_id),
    )
    return answers.answer(body, 202, answers.see_status(event.document_id))


async def status(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/status/{id}``: how far the document is."""
    return answers.status(await known.find(request))


async def markdown(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/{id}``: the Markdown, or with ``?format=json`` also what is about it."""
    document = await known.find(request)
    _refuse_archived(document)
    if document.state == "failed":
        return answers.failed(document)
    if document.state != "completed":
        return answers.unfinished(document)
    return await send_markdown(request, document, chosen_format(request.query.get("format")))


async def original(request: web.Request) -> web.StreamResponse:
    """``GET /api/documents/{id}/original``: the bytes as they were submitted.

    A document that is yet to be fetched has none, and is answered as one without Markdown.
    """
    edge, document = request.app[EDGE], await known.find(request)
    _refuse_archived(document)
    blob = await known.find_original(edge, document)
    if blob is None:
        failed = document.state == "failed"
        return answers.failed(document) if failed else answers.unfinished(document)
    headers = {
        "Content-Type": document.content_type,
        "Content-Disposition": disposition("attachment", document.file_name),
        # The type may be the client's word for it; a browser must not run it on this origin.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
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
    """Answer with the Markdown of a completed document."""
    blobs = request.app[EDGE].blobs
    assert document.markdown is not None
    if form == "json":
        reply, headers = answers.content(document), answers.content_headers(document)
        return await content.send_json(request, blobs, document.markdown, reply, headers)
    return await content.send(request, blobs, document.markdown, answers.markdown_headers(document))


def _refuse_archived(document: DocumentRecord) -> None:
    if document.state == "archived":
        raise Refused(410, "document_expired", "Document is no longer kept")
