"""The content of a document: its Markdown, its original, and the images of its pages."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from actors.blob_keys import archived_key, image_key
from actors.ports import BlobNotFound
from ilios.edge import blob_responses, documents, lookup, requests, responses
from ilios.edge.addresses import LEGACY, Addresses
from ilios.edge.context import EDGE, Edge
from ilios.edge.errors import (
    AUTHENTICATING,
    FINDING_DOCUMENT,
    GONE,
    READING_LOG,
    SENDING_BLOB,
    HttpProblem,
    Problems,
)
from ilios.edge.operation import (
    BYTES,
    DOCUMENT_ID,
    IF_MATCH,
    IF_NONE_MATCH,
    IMAGE_NAME,
    JSON,
    MARKDOWN,
    OCTET_STREAM,
    RANGE,
    TEXT,
    Response,
    operation,
)
from ilios.formats import DEFAULT_FORMAT, FORMATS
from ilios.formats.declaration import FormatOptions, Output
from schemas.documents import DEFAULT_CONTENT_TYPE, Blob
from schemas.records import DocumentRecord
from schemas.replies import (
    FailedDocument,
    Unfinished,
)
from schemas.states import REMOVED_STATES

CACHE_HEADERS = ("Cache-Control", "ETag")
_MARKDOWN_HEADERS = (
    "X-Document-Id",
    "X-Extracted-Pages",
    "X-Processing-Time-Ms",
    "X-Partial",
    "X-Warnings",
    *CACHE_HEADERS,
)
MARKDOWN_RESPONSE = Response(
    description="The document in the format: as Markdown, pages are separated by a line of `---`; "
    "as chunks, each line is a `DocumentChunk`.",
    content={one.media_type.partition(";")[0]: one.schema or TEXT for one in FORMATS.values()},
    headers=(*_MARKDOWN_HEADERS, "Accept-Ranges", "Content-Disposition"),
)
UNFINISHED_RESPONSE = Response(
    description="There is no Markdown yet; ask again.",
    content={JSON: Unfinished},
    headers=("Location", "Retry-After"),
)
_FAILED = Response(
    description="There will be no Markdown; `error` has the reason.", content={JSON: FailedDocument}
)
NOT_MODIFIED = "It is what `If-None-Match` names."
NO_RANGE = {416: ("range_not_satisfiable",)}
SENDING_MARKDOWN = {
    200: MARKDOWN_RESPONSE,
    206: Response(
        description="A part of the Markdown.",
        content={MARKDOWN: TEXT},
        headers=(*MARKDOWN_RESPONSE.headers, "Content-Range"),
    ),
    304: Response(description=NOT_MODIFIED, headers=MARKDOWN_RESPONSE.headers),
}
"""The answers with a completed document."""
_ORIGINAL = {OCTET_STREAM: BYTES, "*/*": BYTES}
_ORIGINAL_HEADERS = (*CACHE_HEADERS, "Accept-Ranges", "Content-Disposition")
SENDING_ORIGINAL = {
    200: Response(
        description="Its bytes, under the type they were found to be.",
        content=_ORIGINAL,
        headers=_ORIGINAL_HEADERS,
    ),
    206: Response(
        description="A part of its bytes.",
        content=_ORIGINAL,
        headers=(*_ORIGINAL_HEADERS, "Content-Range"),
    ),
    304: Response(description=NOT_MODIFIED, headers=_ORIGINAL_HEADERS),
    307: Response(
        description="Its bytes are at `Location`, for five minutes; no key belongs there.",
        headers=("Cache-Control", "Location"),
    ),
}
"""The answers with an original."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

IMAGE_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"}
"""Content types by the endings of names."""

# The digits are the first of the SHA-256 of the bytes.
_IMAGE_NAME = re.compile(rf"([0-9a-f]{{32}})\.({'|'.join(IMAGE_TYPES)})")
_IMAGE_HEADERS = (*CACHE_HEADERS, "Accept-Ranges", "Content-Disposition")
_IMAGES = dict.fromkeys((*IMAGE_TYPES.values(), OCTET_STREAM), BYTES)

FormatName = Annotated[
    str,
    Meta(
        description="What to answer with. `json` adds pages, model, sizes and tokens, and "
        "the details of each page. `text` and `html` are made of the Markdown, `chunks` are parts "
        "of it for retrieval.",
        extra={"code": "invalid_format"},
        extra_json_schema={"enum": list(FORMATS)},
    ),
]
"""The name of an output format, which ``parse_output`` checks."""


class FormatQuery(FormatOptions, frozen=True, kw_only=True, rename="camel"):
    """The query of a document."""

    format: FormatName = DEFAULT_FORMAT


@operation(
    "GET",
    "/api/documents/{id}",
    name="readDocument",
    tag=documents.TAG,
    summary="The Markdown of a document",
    description="Ranges hold for the Markdown, not for the other formats.",
    parameters=(DOCUMENT_ID, RANGE, IF_NONE_MATCH, IF_MATCH),
    query=FormatQuery,
    responses=SENDING_MARKDOWN | {202: UNFINISHED_RESPONSE, 500: _FAILED},
    problems=(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        READING_LOG,
        GONE,
        SENDING_BLOB,
        NO_RANGE,
    ),
)
async def markdown(request: web.Request) -> web.StreamResponse:
    """Answer with a document in the format of the query, as soon as it is converted."""
    document = await lookup.get_document_or_404(request)
    raise_if_removed(document)
    if responses.has_failed(document):
        return responses.failed_response(document)
    if document.markdown is None:
        return responses.unfinished_response(document)
    wanted = requests.parse_texts(FormatQuery, request.query)
    output = parse_output(wanted.format, wanted)
    return await send_document(request, document, output)


FINDING_ORIGINAL: Problems = {404: ("original_not_found",)}


@operation(
    "GET",
    "/api/documents/{id}/original",
    name="readOriginal",
    tag=documents.TAG,
    summary="The document as it was submitted",
    description="A document that is yet to be fetched from its address has no original.",
    parameters=(DOCUMENT_ID, RANGE, IF_NONE_MATCH, IF_MATCH),
    responses=SENDING_ORIGINAL
    | {
        202: Response(
            description="There is no original yet; ask again.",
            content={JSON: Unfinished},
            headers=("Location", "Retry-After"),
        ),
        500: Response(
            description="It could not be fetched; `error` has the reason.",
            content={JSON: FailedDocument},
        ),
    },
    problems=(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        FINDING_ORIGINAL,
        READING_LOG,
        GONE,
        SENDING_BLOB,
        NO_RANGE,
    ),
)
async def original(request: web.Request) -> web.StreamResponse:
    """Answer with the bytes as they were submitted.

    A document that is yet to be fetched has none, and is answered as one without Markdown.
    """
    edge, document = request.app[EDGE], await lookup.get_document_or_404(request)
    raise_if_removed(document)
    blob = await lookup.find_original(edge, document)
    if blob is None:
        raise_if_imported_without(document)
        failed = responses.has_failed(document)
        return (
            responses.failed_response(document)
            if failed
            else responses.unfinished_response(document)
        )
    return await send_original(request, document, blob)


def raise_if_imported_without(document: DocumentRecord) -> None:
    """Raise for a converted document without an original, which will never have one.

    :raises HttpProblem: 404, it is such a document.
    """
    if document.markdown is not None:
        text = "The document was imported without its original"
        raise HttpProblem(404, "original_not_found", text)


async def send_original(
    request: web.Request, document: DocumentRecord, blob: Blob
) -> web.StreamResponse:
    """Answer with the original of a document, or a redirect to it."""
    edge = request.app[EDGE]
    headers = {
        # A publisher may have given a type that is fit for no header.
        "Content-Type": document.content_type
        if document.content_type.isprintable()
        else DEFAULT_CONTENT_TYPE,
        "Content-Disposition": responses.format_disposition("attachment", document.file_name),
        # The client may have chosen the type; a browser must not run it on this origin.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
    async with gone_if_removed(edge, document):
        blob = await _locate_original(edge, blob)
        if edge.original_redirect:
            return await blob_responses.redirect_or_send(request, edge.blobs, blob, headers)
        return await blob_responses.send(request, edge.blobs, blob, headers)


@operation(
    "GET",
    "/api/documents/{id}/images/{name}",
    name="readImage",
    tag=documents.TAG,
    summary="An image of a page",
    description="The Markdown leads here, and so does the `name` of an image in the `pages` of "
    "the JSON.",
    parameters=(DOCUMENT_ID, IMAGE_NAME, RANGE, IF_NONE_MATCH, IF_MATCH),
    responses={
        200: Response(
            description="Its bytes.",
            content=_IMAGES,
            headers=_IMAGE_HEADERS,
        ),
        206: Response(
            description="A part of its bytes.",
            content=_IMAGES,
            headers=(*_IMAGE_HEADERS, "Content-Range"),
        ),
        304: Response(
            description=NOT_MODIFIED,
            headers=_IMAGE_HEADERS,
        ),
    },
    problems=(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        READING_LOG,
        GONE,
        SENDING_BLOB,
        NO_RANGE,
        {404: ("image_not_found",)},
    ),
)
async def image(request: web.Request) -> web.StreamResponse:
    """Answer with an image of a page of a completed document.

    :raises HttpProblem: there is none of this name (404), or the document was removed (410).
    """
    edge, document = request.app[EDGE], await lookup.get_document_or_404(request)
    raise_if_removed(document)
    match = _IMAGE_NAME.fullmatch(request.match_info["name"])
    if match is None or document.result is None:
        raise _image_not_found()
    key = image_key(document.tenant, document.document_id, match[0])
    try:
        size = await edge.blobs.size(key)
    except BlobNotFound:
        raise _image_not_found() from None
    headers = {
        "Content-Type": IMAGE_TYPES[match[2]],
        "Content-Disposition": responses.format_disposition("inline", match[0]),
        # The type comes from a remote engine; a browser must not sniff another one.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
    async with gone_if_removed(edge, document):
        return await blob_responses.send(request, edge.blobs, Blob(key, size, match[1]), headers)


def parse_output(name: str, wanted: Struct, member: str = "format") -> Output:
    """Return an output format with the options of a request.

    :raises HttpProblem: there is no format of this name, or it has not such an option (400).
    """
    if (output := FORMATS.get(name)) is None:
        allowed = " or ".join(f'"{one}"' for one in FORMATS)
        raise HttpProblem(
            400, f"invalid_{requests.snake_case(member)}", f"{member} must be {allowed}"
        )
    options = FormatOptions.of(wanted)
    if (option := options.not_of(output)) is not None:
        having = " or ".join(
            f'"{one}"' for one, other in FORMATS.items() if not options.not_of(other)
        )
        error = f"{option} is not an option of this {member}: leave it out, or choose {having}"
        raise HttpProblem(400, f"invalid_{requests.snake_case(option)}", error)
    return Output(output, options)


async def send_document(
    request: web.Request,
    document: DocumentRecord,
    output: Output,
    addresses: Addresses = LEGACY,
    further_headers: Mapping[str, str] = NO_HEADERS,
) -> web.StreamResponse:
    """Answer with a completed document in a format."""
    edge, blob = request.app[EDGE], document.markdown
    assert blob is not None
    async with gone_if_removed(edge, document):
        headers = responses.file_headers(document, output.format) | dict(further_headers)
        if output.format.render is None:
            return await blob_responses.send(
                request, edge.blobs, blob, headers, result=document.result
            )
        reply = responses.document_content(document, addresses)
        return await blob_responses.send_rendered(
            request, edge.blobs, blob, output, reply, headers, result=document.result
        )


def raise_if_removed(document: DocumentRecord) -> None:
    """Let pass a document that has not been removed.

    :raises HttpProblem: it was cancelled or deleted, or has expired (410).
    """
    if document.state in REMOVED_STATES:
        raise responses.gone_problem(document)


async def _locate_original(edge: Edge, original: Blob) -> Blob:
    """Return the original's blob: it is moved to the archive before the database shows that."""
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
    """Replace the problem of a missing blob by that of its document, if that was just removed."""
    try:
        yield
    except HttpProblem as problem:
        if problem.code == blob_responses.CONTENT_GONE:
            current = await edge.reads.document(document.tenant, document.document_id)
            raise_if_removed(current or document)
        raise


def _image_not_found() -> HttpProblem:
    return HttpProblem(404, "image_not_found", "The document has no such image")
