"""``GET /v1/batch/download/{id}``: all that became of a batch, as JSON lines or as a ZIP archive.

Both are streamed in constant memory. When something is missing after the answer has begun, the
connection is broken off, so that nobody takes a part for the whole.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct

from actors.ports import BlobNotFound, Blobs
from ilios.edge import answers, batches, content, known
from ilios.edge.errors import Refused
from ilios.edge.keys import EDGE
from ilios.edge.names import disposition
from ilios.edge.zips import Entry, entry_name, zipped
from schemas.batch_replies import BatchLine, BatchManifest, ManifestDocument
from schemas.documents import Blob
from schemas.records import BatchRecord, DocumentRecord
from schemas.replies import instant

MANIFEST = "manifest.json"

Stream = Callable[[Blobs, BatchRecord, list[DocumentRecord]], AsyncGenerator[bytes, None]]


class Form(Struct, frozen=True):
    """How a batch can be downloaded."""

    content_type: str
    ending: str
    stream: Stream


async def download(request: web.Request) -> web.StreamResponse:
    """Answer with every document of a batch that has ended, in the order of their submission."""
    edge = request.app[EDGE]
    form = FORMS.get(request.query.get("format") or "jsonl")
    if form is None:
        supported = {"supportedFormats": list(FORMS)}
        raise Refused(
            400, "unsupported_format", "Unsupported format", details=supported, members=supported
        )
    batch = await known.find_batch(request)
    if not batch.progress.ended:
        raise _not_ready(batch)
    response = web.StreamResponse(headers=_headers(form, batch))
    if request.method == "HEAD":
        return response
    documents = [
        await _if_it_is_there(edge.blobs, document)
        for document in await known.documents_of(edge, batch)
    ]
    async with aclosing(form.stream(edge.blobs, batch, documents)) as pieces:
        async for piece in pieces:
            if not response.prepared:  # what is missing first of all is still told
                await response.prepare(request)
            await response.write(piece)
    return response


async def _if_it_is_there(blobs: Blobs, document: DocumentRecord) -> DocumentRecord:
    """Return the document without its Markdown when that is gone: the others are still good."""
    if document.markdown is None:
        return document
    try:
        await blobs.size(document.markdown.key)
    except BlobNotFound:
        reason = "The document is no longer stored"
        return msgspec.structs.replace(document, markdown=None, code="content_gone", reason=reason)
    return document


def _headers(form: Form, batch: BatchRecord) -> dict[str, str]:
    return {
        "Content-Type": form.content_type,
        "Content-Disposition": disposition("attachment", f"batch-{batch.batch_id}.{form.ending}"),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }


def _not_ready(batch: BatchRecord) -> Refused:
    """Return the contract's 400; ``status`` is in the details, beside ``error`` it is HTTP's."""
    progress = msgspec.to_builtins(batches.reply_of(batch))
    return Refused(
        400,
        "batch_not_ready",
        "Batch not ready for download",
        details={"status": batch.progress.state, "progress": progress},
        members={"progress": progress},
        headers={"Retry-After": answers.ASK_AGAIN_AFTER},
    )


def _kept(document: DocumentRecord) -> Blob | None:
    """Return the Markdown, if there is any that is still to be read."""
    return None if document.state in answers.REMOVED else document.markdown


async def _lines(
    blobs: Blobs, _batch: BatchRecord, documents: list[DocumentRecord]
) -> AsyncGenerator[bytes, None]:
    """Stream a line of JSON for each document (``application/x-ndjson``)."""
    for document in documents:
        line, markdown = msgspec.json.encode(_line(document)), _kept(document)
        if markdown is None:
            yield line + b"\n"
            continue
        # Inside of a string the quotes would be escaped, so the first match is the member.
        before, after = line.split(b'"content":""', 1)
        # With the first of the text, so that a blob that is gone is told before the answer begins.
        begun = before + b'"content":"'
        async with aclosing(content.chunks(blobs, markdown)) as chunks:
            async for text in content.as_json_text(chunks):
                yield begun + text
                begun = b""
        yield b'"' + after + b"\n"


def _line(document: DocumentRecord) -> BatchLine:
    is_kept = _kept(document) is not None
    return BatchLine(
        id=document.document_id,
        file_name=document.file_name,
        status=batches.shown_state(document),
        content="" if is_kept else UNSET,
        metadata=answers.content(document).metadata if is_kept else UNSET,
        error=document.reason,
        code=document.code or UNSET,
        processed_at=_instant(document.finished_at),
    )


async def _archive(
    blobs: Blobs, batch: BatchRecord, documents: list[DocumentRecord]
) -> AsyncGenerator[bytes, None]:
    """Stream a ZIP archive: the manifest, and the Markdown of each document that has any."""

    async def entries() -> AsyncIterator[Entry]:
        manifest = msgspec.json.format(msgspec.json.encode(_manifest(batch, documents)), indent=2)
        changed = batch.completed_at or datetime.now(UTC)
        yield Entry(MANIFEST, changed, len(manifest), _once(manifest))
        for number, document in enumerate(documents, 1):
            if (markdown := _kept(document)) is not None:
                name = entry_name(number, document.file_name)
                changed = document.finished_at or document.submitted_at
                yield Entry(name, changed, markdown.size, content.chunks(blobs, markdown))

    async with aclosing(zipped(entries())) as pieces:
        async for piece in pieces:
            yield piece


def _manifest(batch: BatchRecord, documents: list[DocumentRecord]) -> BatchManifest:
    return BatchManifest(
        batch_id=batch.batch_id,
        status=batch.progress.state,
        progress=batches.reply_of(batch),
        created_at=instant(batch.submitted_at),
        completed_at=batches.completed_at(batch, documents),
        documents=[_listed(number, document) for number, document in enumerate(documents, 1)],
    )


def _listed(number: int, document: DocumentRecord) -> ManifestDocument:
    markdown = _kept(document)
    return ManifestDocument(
        id=document.document_id,
        file_name=document.file_name,
        status=batches.shown_state(document),
        entry=entry_name(number, document.file_name) if markdown else None,
        pages=document.pages if markdown else None,
        size=markdown.size if markdown else None,
        sha256=markdown.sha256 if markdown else None,
        error=document.reason,
        code=document.code,
        processed_at=_instant(document.finished_at),
    )


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


def _instant(moment: datetime | None) -> str | None:
    return instant(moment) if moment else None


FORMS = {
    "jsonl": Form("application/x-ndjson; charset=utf-8", "jsonl", _lines),
    "zip": Form("application/zip", "zip", _archive),
}
