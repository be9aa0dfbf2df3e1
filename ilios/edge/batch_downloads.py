"""Downloads of batches: all results as JSON lines or as a ZIP archive, in constant memory.

An archive is written while it is sent: no part of it is stored, its size is not computed before.
Sizes and checksums follow each entry (data descriptors, APPNOTE 4.3.9), as for any output without
seeking.

When a blob turns out to be missing after the answer has begun, the connection is closed, so that a
client does not take a part for the whole.
"""

import asyncio
import re
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct

from actors.page_markdown import derive_markdown
from actors.ports import BlobNotFound, Blobs
from ilios.edge import batches, blob_responses, content, lookup, requests, responses
from ilios.edge.context import EDGE
from ilios.edge.errors import AUTHENTICATING, FINDING_BATCH, READING_LOG, HttpProblem
from ilios.edge.operation import BATCH_ID, BYTES, OCTET_STREAM, TEXT, Response, operation
from ilios.formats import DEFAULT_FORMAT, FORMATS
from ilios.formats.as_json import as_json_text, split_at_content
from ilios.formats.declaration import FormatOptions, Output
from ilios.visible import clean_name
from schemas.documents import Blob
from schemas.records import BatchRecord, DocumentRecord
from schemas.replies import BatchLine, BatchManifest, ManifestDocument, format_instant
from schemas.states import REMOVED_STATES

COMPRESSION_LEVEL = 3  # of 9: text shrinks nearly as well as at 6, in half the time
MAX_GROWTH = 256  # of what is rendered, at most
MIN_YEAR = 1980  # the format has no earlier ones
MAX_STEM = 100  # characters
PERMISSIONS = 0o100644 << 16

_FORBIDDEN_CHARACTERS = re.compile(r'[<>:"/\\|?*]')  # what file systems of Windows refuse


class ZipEntry(Struct, frozen=True):
    """A file of the archive. ``size`` may be a guess: it decides whether ZIP64 is needed."""

    name: str
    modified_at: datetime
    size: int
    content: AsyncIterable[bytes]


class _OutputBuffer:
    """Output of the archive until it is sent. It has no ``tell``, so ``zipfile`` does not seek."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: writes are not buffered."""

    def close(self) -> None:
        """Do nothing: the output is still to be drained."""

    def drain(self) -> bytes:
        written, self._written = self._written, []
        return b"".join(written)


async def stream_zip(entries: AsyncIterable[ZipEntry]) -> AsyncGenerator[bytes, None]:
    """Stream an archive of these entries, one content after the other.

    Packing is done in a thread. What a content raises is raised here: the archive then has no
    directory, and nobody takes it for whole.
    """
    buffer = _OutputBuffer()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL
    ) as archive:
        async for entry in entries:
            with archive.open(_zip_info(entry), "w") as packing:
                async for chunk in entry.content:
                    await _in_thread(packing.write, chunk)
                    if piece := buffer.drain():
                        yield piece
            yield buffer.drain()
    yield buffer.drain()


async def _in_thread(write: Callable[[bytes], int], chunk: bytes) -> None:
    """Write in a thread; when cancelled, wait until the thread has ended."""
    writing = asyncio.ensure_future(asyncio.to_thread(write, chunk))
    try:
        await asyncio.shield(writing)
    finally:
        await asyncio.wait({writing})


def entry_name(number: int, file_name: str, suffix: str) -> str:
    """Return a name for the ``number``-th document's file: unique, and fit for every system."""
    name = _FORBIDDEN_CHARACTERS.sub("_", clean_name(file_name))
    stem = name.rpartition(".")[0] or name
    return f"{number:03d}-{stem[:MAX_STEM].strip(' .') or 'document'}.{suffix}"


def _zip_info(entry: ZipEntry) -> zipfile.ZipInfo:
    changed = entry.modified_at
    year = max(changed.year, MIN_YEAR)
    date = (year, changed.month, changed.day, changed.hour, changed.minute, changed.second)
    described = zipfile.ZipInfo(entry.name, date)
    described.compress_type = zipfile.ZIP_DEFLATED
    described.file_size = entry.size
    described.external_attr = PERMISSIONS
    return described


MANIFEST = "manifest.json"

StreamFunction = Callable[
    [Blobs, BatchRecord, list[DocumentRecord], Output], AsyncGenerator[bytes, None]
]


class DownloadFormat(Struct, frozen=True):
    """A container for the documents of a batch."""

    content_type: str
    suffix: str
    stream: StreamFunction


class DownloadQuery(FormatOptions, frozen=True, kw_only=True, rename="camel"):
    """The query of a download."""

    format: Annotated[
        str,
        Meta(
            description="What to answer with.",
            extra={"code": "unsupported_format"},
            extra_json_schema={"enum": ["jsonl", "zip"]},
        ),
    ] = "jsonl"
    content_format: Annotated[
        str,
        Meta(
            description="The format of each document in the lines or in the archive.",
            extra_json_schema={"enum": list(FORMATS)},
        ),
    ] = DEFAULT_FORMAT


async def _without_missing_blobs(
    blobs: Blobs, document: DocumentRecord, output: Output
) -> DocumentRecord:
    """Return the document without blobs that are missing: one must not fail the batch."""
    markdown = document.markdown
    if markdown is None:
        return document
    if output.format.render is not None and document.result is not None:
        try:
            await blobs.size(document.result.key)
        except BlobNotFound:  # the Markdown is enough to render
            document = msgspec.structs.replace(document, result=None)
    try:
        await blobs.size(markdown.key)
    except BlobNotFound:
        if await derive_markdown(blobs, markdown, document.result) is not None:
            return document
        reason = "The document is no longer stored"
        return msgspec.structs.replace(document, markdown=None, code="content_gone", reason=reason)
    return document


def _headers(download_format: DownloadFormat, batch: BatchRecord) -> dict[str, str]:
    return {
        "Content-Type": download_format.content_type,
        "Content-Disposition": responses.format_disposition(
            "attachment", f"batch-{batch.batch_id}.{download_format.suffix}"
        ),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }


def _not_ready(batch: BatchRecord) -> HttpProblem:
    """Return the contract's 400; ``status`` is in the details, beside ``error`` it is HTTP's."""
    progress = msgspec.to_builtins(batches.progress_reply(batch))
    return HttpProblem(
        400,
        "batch_not_ready",
        "Batch not ready for download",
        details={"status": batch.progress.state, "progress": progress},
        members={"progress": progress},
        headers={"Retry-After": responses.POLL_AFTER},
    )


def _available_markdown(document: DocumentRecord) -> Blob | None:
    """Return the Markdown, unless there is none or it was removed."""
    return None if document.state in REMOVED_STATES else document.markdown


def _content(
    blobs: Blobs, document: DocumentRecord, markdown: Blob, output: Output
) -> AsyncGenerator[bytes, None]:
    reply = responses.document_content(document)
    return blob_responses.rendered_chunks(blobs, markdown, output, reply, result=document.result)


async def _stream_jsonl(
    blobs: Blobs, _batch: BatchRecord, documents: list[DocumentRecord], output: Output
) -> AsyncGenerator[bytes, None]:
    """Stream a line of JSON for each document (``application/x-ndjson``)."""
    for document in documents:
        line, markdown = _batch_line(document), _available_markdown(document)
        if markdown is None:
            yield msgspec.json.encode(line) + b"\n"
            continue
        # With the first of the text, so that a missing blob is noticed before the answer begins.
        prefix, after = split_at_content(line)
        async with aclosing(_content(blobs, document, markdown, output)) as chunks:
            async for text in as_json_text(chunks):
                yield prefix + text
                prefix = b""
        yield after + b"\n"


def _batch_line(document: DocumentRecord) -> BatchLine:
    has_content = _available_markdown(document) is not None
    return BatchLine(
        id=document.document_id,
        file_name=document.file_name,
        status=batches.public_state(document),
        content="" if has_content else UNSET,
        metadata=responses.document_content(document).metadata if has_content else UNSET,
        error=document.reason,
        code=document.code or UNSET,
        processed_at=_optional_instant(document.finished_at),
        warnings=document.warnings or UNSET,
        quality=document.quality or UNSET,
        partial=document.partial or UNSET,
        reference=document.reference or UNSET,
        client_metadata=responses.given(document.metadata),
    )


async def _stream_zip(
    blobs: Blobs, batch: BatchRecord, documents: list[DocumentRecord], output: Output
) -> AsyncGenerator[bytes, None]:
    """Stream a ZIP archive: the manifest, and a file of each document that has Markdown."""

    async def entries() -> AsyncIterator[ZipEntry]:
        manifest = msgspec.json.format(
            msgspec.json.encode(_manifest(batch, documents, output)), indent=2
        )
        changed = batch.completed_at or datetime.now(UTC)
        yield ZipEntry(MANIFEST, changed, len(manifest), _single_chunk(manifest))
        for number, document in enumerate(documents, 1):
            if (markdown := _available_markdown(document)) is not None:
                name = entry_name(number, document.file_name, output.format.suffix)
                changed = document.finished_at or document.submitted_at
                size = markdown.size
                if output.format.render is not None:
                    size = MAX_GROWTH * (size + (document.result.size if document.result else 0))
                yield ZipEntry(name, changed, size, _content(blobs, document, markdown, output))

    async with aclosing(stream_zip(entries())) as pieces:
        async for piece in pieces:
            yield piece


def _manifest(batch: BatchRecord, documents: list[DocumentRecord], output: Output) -> BatchManifest:
    return BatchManifest(
        batch_id=batch.batch_id,
        status=batch.progress.state,
        progress=batches.progress_reply(batch),
        created_at=format_instant(batch.submitted_at),
        completed_at=batches.completed_at(batch, documents),
        documents=[
            _manifest_entry(number, document, output)
            for number, document in enumerate(documents, 1)
        ],
        reference=batch.reference or UNSET,
        client_metadata=responses.given(batch.metadata),
    )


def _manifest_entry(number: int, document: DocumentRecord, output: Output) -> ManifestDocument:
    markdown = _available_markdown(document)
    stored = markdown if output.format.render is None else None
    suffix = output.format.suffix
    return ManifestDocument(
        id=document.document_id,
        file_name=document.file_name,
        status=batches.public_state(document),
        entry=entry_name(number, document.file_name, suffix) if markdown else None,
        pages=document.pages if markdown else None,
        size=stored.size if stored else None,
        sha256=stored.sha256 if stored else None,
        error=document.reason,
        code=document.code,
        processed_at=_optional_instant(document.finished_at),
        warnings=document.warnings or UNSET,
        quality=document.quality or UNSET,
        partial=document.partial or UNSET,
        reference=document.reference or UNSET,
        client_metadata=responses.given(document.metadata),
    )


async def _single_chunk(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


def _optional_instant(moment: datetime | None) -> str | None:
    return format_instant(moment) if moment else None


CONTAINERS = {
    "jsonl": DownloadFormat("application/x-ndjson; charset=utf-8", "jsonl", _stream_jsonl),
    "zip": DownloadFormat("application/zip", "zip", _stream_zip),
}
"""What a batch can be downloaded as: a container of its documents."""


@operation(
    "GET",
    "/v1/batch/download/{id}",
    name="downloadBatch",
    tag=batches.TAG,
    summary="The results of a batch",
    description="As JSON lines, one `BatchLine` for each document in the order they were "
    "submitted, or as a ZIP archive with a file for each and a `manifest.json`, which is "
    "a `BatchManifest`. The documents are Markdown, or of another `contentFormat`.",
    parameters=(BATCH_ID,),
    query=DownloadQuery,
    responses={
        200: Response(
            description="The results.",
            content={"application/x-ndjson": TEXT, "application/zip": BYTES, OCTET_STREAM: BYTES},
            headers=("Cache-Control", "Content-Disposition"),
        ),
        400: Response(description="", headers=("Retry-After",)),
    },
    problems=(
        AUTHENTICATING,
        FINDING_BATCH,
        READING_LOG,
        {
            400: ("batch_not_ready",),
            410: ("content_gone",),
            500: ("content_damaged",),
        },
    ),
)
async def download(request: web.Request) -> web.StreamResponse:
    """Answer with every document of a batch that has ended, in the order of submission."""
    edge = request.app[EDGE]
    wanted = requests.parse_texts(DownloadQuery, request.query)
    download_format = CONTAINERS.get(wanted.format)
    if download_format is None:
        supported = {"supportedFormats": list(CONTAINERS)}
        raise HttpProblem(
            400, "unsupported_format", "Unsupported format", details=supported, members=supported
        )
    output = content.parse_output(wanted.content_format, wanted, "contentFormat")
    batch = await lookup.get_batch_or_404(request)
    if not batch.progress.is_finished:
        raise _not_ready(batch)
    response = web.StreamResponse(headers=_headers(download_format, batch))
    if request.method == "HEAD":
        return response
    documents = [
        await _without_missing_blobs(edge.blobs, document, output)
        for document in await lookup.batch_documents(edge, batch)
    ]
    async with aclosing(download_format.stream(edge.blobs, batch, documents, output)) as pieces:
        async for piece in pieces:
            if not response.prepared:  # a blob missing at the start is still a problem
                await response.prepare(request)
            await response.write(piece)
    return response
