"""Responses from blobs: whole, in part (RFC 9110 section 14), or 304 when the client has them.

A blob's entity tag is the SHA-256 of its bytes: it never changes, and every host gives the same.
"""

import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext

import msgspec
import structlog
from aiohttp import ETag, web

from actors.page_markdown import derive_markdown
from actors.ports import BlobNotFound, Blobs
from ilios import __version__
from ilios.edge.errors import HttpProblem
from ilios.formats.as_json import split_at_content
from ilios.formats.declaration import Output, StoredDocument
from schemas.documents import Blob
from schemas.replies import DocumentContent

MAX_BUFFERED_BYTES = 256 * 1024
"""Blobs up to this many bytes are answered from memory, larger ones in chunks of it."""

REDIRECT_LIFETIME = 300
"""Seconds for which the URL of a blob in the store itself can be used."""

CONTENT_GONE = "content_gone"
"""The code of a blob that is not in the store."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_ANY_TAG = "*"

log = structlog.get_logger("edge")


class _DamagedError(Exception):
    """The store has other bytes than were stored; the argument is their number."""


async def send(
    request: web.Request,
    blobs: Blobs,
    blob: Blob,
    headers: dict[str, str],
    *,
    result: Blob | None = None,
) -> web.StreamResponse:
    """Answer a GET or HEAD with a blob, honouring conditions and a single range.

    Markdown that is lost is made again of the ``result``.

    :raises HttpProblem: a condition failed (412), no such range (416), or the blob is gone (410).
    """
    headers = headers | {"ETag": f'"{blob.sha256}"', "Accept-Ranges": "bytes"}
    if _is_not_modified(request, blob.sha256):
        return _not_modified(headers)
    byte_range = _requested_range(request, blob)
    if byte_range is None:
        return await _send_all(request, blobs, blob, headers, result)
    headers["Content-Range"] = f"bytes {byte_range.start}-{byte_range.stop - 1}/{blob.size}"
    if blob.size <= MAX_BUFFERED_BYTES:
        part = await read_part(blobs, blob, byte_range, result)
        return web.Response(status=206, body=part, headers=headers)
    response = _new_response(206, len(byte_range), headers)
    async with aclosing(blobs.read(blob.key, byte_range.start, byte_range.stop)) as pieces:
        try:
            first = await anext(
                pieces, b""
            )  # a blob that is gone is noticed before the answer begins
        except BlobNotFound:
            raise _gone_problem(blob) from None
        await response.prepare(request)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
    return response


async def redirect_or_send(
    request: web.Request, blobs: Blobs, blob: Blob, headers: dict[str, str]
) -> web.StreamResponse:
    """Answer a GET with a redirect to the store, if it has public URLs; otherwise as ``send``.

    Errors as ``send``, but a missing blob is the store's own 404.
    """
    if request.method != "GET" or _is_not_modified(request, blob.sha256):
        return await send(request, blobs, blob, headers)
    url = await blobs.presign_get(
        blob.key,
        expires_in=REDIRECT_LIFETIME,
        disposition=headers["Content-Disposition"],
        content_type=headers["Content-Type"],
    )
    if url is None:
        return await send(request, blobs, blob, headers)
    # The URL is a right: a cache that stores the answer stores the right.
    headers = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=307, headers=headers)


async def send_rendered(
    request: web.Request,
    blobs: Blobs,
    blob: Blob,
    output: Output,
    reply: DocumentContent,
    headers: dict[str, str],
    *,
    result: Blob | None = None,
) -> web.StreamResponse:
    """Answer with a document as a format renders it, in constant memory.

    :raises HttpProblem: a condition failed (412), or one of the blobs is gone (410).
    """
    tag = rendered_tag(blob, output, reply, result)
    headers = headers | {"ETag": f'"{tag}"'}
    if _is_not_modified(request, tag):
        return _not_modified(headers)
    if result is not None:
        await _require_stored(blobs, result)  # later the answer would have begun
    async with aclosing(rendered_chunks(blobs, blob, output, reply, result=result)) as whole:
        if blob.size + (result.size if result else 0) <= MAX_BUFFERED_BYTES:
            body = b"".join([piece async for piece in whole])
            return web.Response(body=body, headers=headers)
        response = web.StreamResponse(headers=headers)
        if request.method == "HEAD":
            return response
        first = await anext(whole)  # a blob that is gone is noticed before the answer begins
        await response.prepare(request)
        await response.write(first)
        async for piece in whole:
            await response.write(piece)
    return response


def rendered_tag(blob: Blob, output: Output, reply: DocumentContent, result: Blob | None) -> str:
    """Return the entity tag of a document as a format renders it."""
    # All the answer is made of, so it changes with every byte of it, also when ilios adds members.
    before, after = split_at_content(reply)
    parts = (before, blob.sha256.encode(), after, result.sha256.encode() if result else b"")
    how = (__version__, output.format.suffix, output.options)
    return hashlib.sha256(b"".join((*parts, msgspec.json.encode(how)))).hexdigest()


async def rendered_chunks(
    blobs: Blobs, blob: Blob, output: Output, reply: DocumentContent, *, result: Blob | None
) -> AsyncGenerator[bytes, None]:
    """Stream a document in a format.

    :raises HttpProblem: as ``verified_chunks``.
    """
    markdown = verified_chunks(blobs, blob, result)
    if output.format.render is None:
        async with aclosing(markdown):
            async for piece in markdown:
                yield piece
        return
    lines = verified_chunks(blobs, result) if result else None
    document = StoredDocument(reply, markdown, lines, output.options)
    async with (
        aclosing(markdown),
        aclosing(lines) if lines else nullcontext(),
        aclosing(output.format.render(document)) as pieces,
    ):
        async for piece in pieces:
            yield piece


async def verified_chunks(
    blobs: Blobs, blob: Blob, result: Blob | None = None
) -> AsyncGenerator[bytes, None]:
    """Stream a blob and check its size and hash, or the first digits of the hash.

    Markdown that is gone or damaged is made again of the ``result``, if that is small.

    :raises HttpProblem: it is gone (410), or not what was stored, which may show only at its end.
    """
    async with aclosing(_stored_chunks(blobs, blob)) as chunks:
        try:
            first = await anext(chunks, b"")
        except (BlobNotFound, _DamagedError) as error:
            derived = await derive_markdown(blobs, blob, result)
            if derived is None:
                raise _problem(blob, error) from None
            log.warning("Markdown made again of the result", key=blob.key)
            first = derived
        if first:
            yield first
        try:
            async for chunk in chunks:
                yield chunk
        except (BlobNotFound, _DamagedError) as error:
            raise _problem(blob, error) from None


async def _stored_chunks(blobs: Blobs, blob: Blob) -> AsyncGenerator[bytes, None]:
    size, sha256, last = 0, hashlib.sha256(), b""
    async with aclosing(blobs.read(blob.key)) as pieces:
        async for piece in pieces:
            size += len(piece)
            sha256.update(piece)
            if last:
                yield last
            last = piece
    if size != blob.size or not sha256.hexdigest().startswith(blob.sha256):
        raise _DamagedError(size)
    # Sent last, after the check: an answer with all of its bytes would look whole.
    if last:
        yield last


async def _send_all(
    request: web.Request, blobs: Blobs, blob: Blob, headers: dict[str, str], result: Blob | None
) -> web.StreamResponse:
    if request.method == "HEAD":
        return _new_response(200, blob.size, headers)
    if blob.size <= MAX_BUFFERED_BYTES:
        return web.Response(body=await _read_verified(blobs, blob, result), headers=headers)
    response = _new_response(200, blob.size, headers)
    async with aclosing(verified_chunks(blobs, blob, result)) as found:
        first = await anext(found)
        await response.prepare(request)
        await response.write(first)
        async for chunk in found:
            await response.write(chunk)
    return response


async def _read_verified(blobs: Blobs, blob: Blob, result: Blob | None) -> bytes:
    return b"".join([chunk async for chunk in verified_chunks(blobs, blob, result)])


def _new_response(status: int, length: int, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = length
    return response


async def _require_stored(blobs: Blobs, blob: Blob) -> None:
    try:
        await blobs.size(blob.key)
    except BlobNotFound:
        raise _gone_problem(blob) from None


def _problem(blob: Blob, error: Exception) -> HttpProblem:
    if isinstance(error, BlobNotFound):
        return _gone_problem(blob)
    log.error("blob damaged", key=blob.key, size=error.args[0], expected=blob.size)
    return HttpProblem(500, "content_damaged", "The stored document is damaged")


def _gone_problem(blob: Blob) -> HttpProblem:
    log.error("blob missing", key=blob.key)
    return HttpProblem(410, CONTENT_GONE, "The document is no longer stored")


def _is_not_modified(request: web.Request, tag: str) -> bool:
    """Whether the client has what ``tag`` stands for already (RFC 9110 section 13).

    A conversion is never conditional: no client can have its result yet.

    :raises HttpProblem: the client wants another version (412).
    """
    if request.method not in ("GET", "HEAD"):
        return False
    if (if_match := request.if_match) is not None and not _matches(if_match, tag):
        raise HttpProblem(412, "precondition_failed", "The document is not the one expected")
    return (if_none_match := request.if_none_match) is not None and _matches(if_none_match, tag)


def _not_modified(headers: dict[str, str]) -> web.Response:
    headers.pop("Content-Type", None)
    return web.Response(status=304, headers=headers)


def _matches(tags: tuple[ETag, ...], tag: str) -> bool:
    return any(named.value in (_ANY_TAG, tag) for named in tags)


def _requested_range(request: web.Request, blob: Blob) -> range | None:
    """Return the requested range, or None where everything is to be sent.

    Several ranges and what is not understood are ignored, as RFC 9110 section 14.2 allows, and so
    is any range if ``If-Range`` does not name exactly these bytes.
    """
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if request.method != "GET" or match is None or match[0] == "bytes=-":
        return None
    if request.headers.get("If-Range", f'"{blob.sha256}"') != f'"{blob.sha256}"':
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, blob.size - int(last)), blob.size
    else:
        start, stop = int(first), min(int(last) + 1 if last else blob.size, blob.size)
        if last and int(last) < int(first):
            return None
    if start >= stop:
        raise no_such_range(blob)
    return range(start, stop)


def no_such_range(blob: Blob) -> HttpProblem:
    """Return the answer to a request for a part that a blob does not have."""
    return HttpProblem(
        416,
        "range_not_satisfiable",
        "The document has no such range",
        headers={"Content-Range": f"bytes */{blob.size}"},
    )


async def read_part(blobs: Blobs, blob: Blob, part: range, result: Blob | None) -> bytes:
    """Return a part of a blob from memory. Errors as ``send``."""
    if blob.size <= MAX_BUFFERED_BYTES:
        return (await _read_verified(blobs, blob, result))[part.start : part.stop]
    try:
        async with aclosing(blobs.read(blob.key, part.start, part.stop)) as pieces:
            return b"".join([piece async for piece in pieces])
    except BlobNotFound:
        raise _gone_problem(blob) from None
