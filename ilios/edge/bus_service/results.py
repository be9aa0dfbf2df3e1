"""Results of documents as replies on the bus, which are limited in size."""

from contextlib import aclosing
from typing import Annotated

from msgspec import Meta, Struct

from ilios.edge import blob_responses, content, responses
from ilios.edge.addresses import RESOURCE, Addresses
from ilios.edge.blob_responses import rendered_chunks, rendered_tag, verified_chunks
from ilios.edge.bus_service.answers import Content
from ilios.edge.content import FormatName
from ilios.edge.context import Edge
from ilios.edge.errors import HttpProblem
from ilios.formats import DEFAULT_FORMAT
from ilios.formats.declaration import ChunkSize, Output
from schemas.bus_requests import DocumentReference, SubmitDocument
from schemas.records import DocumentRecord

Offset = Annotated[
    Annotated[int, Meta(ge=0, le=2**53 - 1)] | None,
    Meta(
        description="Answer with the Markdown from this byte on, as much as a reply has room for; "
        "`Content-Range` has the bytes that came and how many there are.",
        extra={"expected": "a whole number of bytes from 0"},
    ),
]


class ReadResult(DocumentReference, frozen=True, kw_only=True):
    """The result of a document in a format; the Markdown also in parts."""

    format: FormatName = DEFAULT_FORMAT
    chunk_size: ChunkSize = None
    offset: Offset = None


class ConvertDocument(SubmitDocument, frozen=True, kw_only=True):
    """A document that is converted while the client waits: a submission, and a format."""

    format: FormatName = DEFAULT_FORMAT
    chunk_size: ChunkSize = None


class Room(Struct, frozen=True):
    """How much of a result is wanted: all of it, if it has room, or a part from ``offset`` on."""

    max_bytes: int
    offset: int | None = None


def parse_wanted(wanted: ReadResult | ConvertDocument) -> Output:
    """Return the output format of a request. Errors as ``content.parse_output``."""
    return content.parse_output(wanted.format, wanted)


async def read_result(
    edge: Edge,
    document: DocumentRecord,
    output: Output,
    room: Room,
    addresses: Addresses,
) -> Content:
    """Return a completed document in a format, or a part of its Markdown.

    :raises HttpProblem: it is too large (413), there is no such part (416), or as by HTTP.
    """
    async with content.gone_if_removed(edge, document):
        if room.offset is not None:
            part = range(room.offset, room.offset + room.max_bytes)
            return await _read_part(edge, document, output, part)
        return await _read_whole(edge, document, output, room.max_bytes, addresses)


async def _read_whole(
    edge: Edge, document: DocumentRecord, output: Output, max_bytes: int, addresses: Addresses
) -> Content:
    blob, result = document.markdown, document.result
    assert blob is not None
    headers = responses.file_headers(document, output.format)
    if output.format.render is None:
        tag = blob.sha256
        if blob.size > max_bytes:
            raise too_large_problem(document, max_bytes, blob.size)
        pieces = verified_chunks(edge.blobs, blob, result)
    else:
        reply = responses.document_content(document, addresses)
        tag = rendered_tag(blob, output, reply, result)
        pieces = rendered_chunks(edge.blobs, blob, output, reply, result=result)
    body = bytearray()
    async with aclosing(pieces):
        async for piece in pieces:
            body += piece
            if len(body) > max_bytes:
                raise too_large_problem(document, max_bytes, None)
    return Content(200, bytes(body), headers | {"ETag": f'"{tag}"'})


async def _read_part(edge: Edge, document: DocumentRecord, output: Output, part: range) -> Content:
    blob = document.markdown
    assert blob is not None
    if output.format.render is not None:
        raise HttpProblem(400, "invalid_offset", f'offset is for the format "{DEFAULT_FORMAT}"')
    if part.start >= blob.size:
        raise blob_responses.no_such_range(blob)
    part = range(part.start, min(part.stop, blob.size))
    body = await blob_responses.read_part(edge.blobs, blob, part, document.result)
    headers = responses.file_headers(document, output.format) | {
        "ETag": f'"{blob.sha256}"',
        "Content-Range": f"bytes {part.start}-{part.stop - 1}/{blob.size}",
    }
    return Content(206, body, headers)


def too_large_problem(document: DocumentRecord, max_bytes: int, size: int | None) -> HttpProblem:
    """Return the 413 of a result that does not fit into a reply."""
    url = RESOURCE.content_of(document.document_id)
    return HttpProblem(
        413,
        "result_too_large",
        f"The result is larger than a message may be ({max_bytes} bytes)",
        detail=f"The result is larger than a message may be ({max_bytes} bytes): read the Markdown "
        f"in parts, by ilios.api.result with an offset from 0 on, or read it by HTTP at {url}.",
        details={"maxSize": max_bytes, "url": url} | ({"size": size} if size else {}),
        document_id=document.document_id,
    )
