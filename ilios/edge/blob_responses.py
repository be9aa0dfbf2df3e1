"""Sends blobs: whole, in part (RFC 9110 section 14) or not at all when the client has them already.

A blob's entity tag is the SHA-256 of its bytes, so it is the same from every host and for ever.
"""

import codecs
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import msgspec
import structlog
from aiohttp import ETag, web

from actors.ports import BlobNotFound, Blobs
from ilios.edge.errors import HttpProblem
from schemas.documents import Blob
from schemas.replies import DocumentContent

MAX_BUFFERED_BYTES = 256 * 1024
"""Blobs up to this many bytes are answered from memory, larger ones in chunks of it."""

REDIRECT_LIFETIME = 300
"""Seconds for which the URL of a blob in the store itself can be used."""

CONTENT_GONE = "content_gone"
"""The code of what is to be sent and does not lie in the store."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_ANY_TAG = "*"

log = structlog.get_logger("edge")


async def send(
    request: web.Request, blobs: Blobs, blob: Blob, headers: dict[str, str]
) -> web.StreamResponse:
    """Answer a GET or HEAD with a blob, honouring conditions and a single range.

    :raises Refused: a condition failed (412), no such range (416), or the blob is gone (410).
    """
    headers = headers | {"ETag": f'"{blob.sha256}"', "Accept-Ranges": "bytes"}
    if _is_not_modified(request, blob.sha256):
        return _not_modified(headers)
    byte_range = _requested_range(request, blob)
    if byte_range is None:
        return await _send_all(request, blobs, blob, headers)
    headers["Content-Range"] = f"bytes {byte_range.start}-{byte_range.stop - 1}/{blob.size}"
    response = _new_response(206, len(byte_range), headers)
    async with aclosing(blobs.read(blob.key, byte_range.start, byte_range.stop)) as pieces:
        try:
            first = await anext(pieces, b"")  # a blob that is gone is told before the answer begins
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
    """Answer a GET with where the store itself gives the blob away, if it does; else as ``send``.

    Errors as ``send``, but that the blob is gone is for the store to say.
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
    # The URL is a right: whoever keeps the answer keeps that.
    headers = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=307, headers=headers)


async def send_json(
    request: web.Request,
    blobs: Blobs,
    blob: Blob,
    reply: DocumentContent,
    headers: dict[str, str],
    *,
    result: Blob | None = None,
) -> web.StreamResponse:
    """Answer with ``reply``, its content being the blob, in constant memory.

    Its ``pages`` are those of the ``result``.

    :raises Refused: a condition failed (412), or one of the blobs is gone (410).
    """
    # The id before it cannot hold a quote, so the first match is the member.
    before, after = msgspec.json.encode(reply).split(b'"content":""', 1)
    before, after = before + b'"content":"', b'"' + after
    # All the answer is made of, so it changes with every byte of it, also when ilios tells more.
    parts = (before, blob.sha256.encode(), after, result.sha256.encode() if result else b"")
    tag = hashlib.sha256(b"".join(parts)).hexdigest()
    headers = headers | {"Content-Type": "application/json", "ETag": f'"{tag}"'}
    if _is_not_modified(request, tag):
        return _not_modified(headers)
    if result is not None:
        await _require_stored(blobs, result)  # later the answer would have begun
    whole = _stream_json(blobs, blob, result, before, after)
    if blob.size + (result.size if result else 0) <= MAX_BUFFERED_BYTES:
        body = b"".join([piece async for piece in whole])
        return web.Response(body=body, headers=headers)
    response = web.StreamResponse(headers=headers)
    if request.method == "HEAD":
        return response
    async with aclosing(whole) as pieces:
        first = await anext(pieces)  # a blob that is gone is told before the answer begins
        await response.prepare(request)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
    return response


async def verified_chunks(blobs: Blobs, blob: Blob) -> AsyncGenerator[bytes, None]:
    """Stream a blob, of whose hash the first digits may do.

    :raises Refused: it is gone (410), or not what was stored, which may show only at its end.
    """
    size, sha256, last = 0, hashlib.sha256(), b""
    try:
        async with aclosing(blobs.read(blob.key)) as pieces:
            async for piece in pieces:
                size += len(piece)
                sha256.update(piece)
                if last:
                    yield last
                last = piece
    except BlobNotFound:
        raise _gone_problem(blob) from None
    if size != blob.size or not sha256.hexdigest().startswith(blob.sha256):
        log.error("blob damaged", key=blob.key, size=size, expected=blob.size)
        raise HttpProblem(500, "content_damaged", "The stored document is damaged")
    # Held back until now: an answer with all of its bytes would look whole.
    if last:
        yield last


async def as_json_text(text: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Make of UTF-8 what stands between the quotes of a JSON string, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for chunk in text:
        yield _escape_json(decoder.decode(chunk))
    yield _escape_json(decoder.decode(b"", final=True))


async def _stream_json(
    blobs: Blobs, blob: Blob, result: Blob | None, before: bytes, after: bytes
) -> AsyncGenerator[bytes, None]:
    """Stream what ``send_json`` answers with, the first piece with the first of the blob's."""
    async with aclosing(verified_chunks(blobs, blob)) as text:
        async for piece in as_json_text(text):
            yield before + piece
            before = b""
    if result is None:
        yield after
        return
    yield after.removesuffix(b"}") + b',"pages":['
    async with aclosing(verified_chunks(blobs, result)) as lines:
        async for piece in as_json_items(lines):
            yield piece
    yield b"]}"


async def as_json_items(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Make of all JSON lines but the first what stands between the brackets of a JSON array."""
    in_first, pending = True, b""
    async for chunk in lines:
        rest = chunk
        if in_first:
            _, newline, rest = chunk.partition(b"\n")
            in_first = not newline
        if not rest:
            continue
        whole = pending + rest
        items = whole.removesuffix(b"\n")
        # The newline at the end of a piece may be the last of all, after which nothing comes.
        pending = whole[len(items) :]
        if items:
            yield items.replace(b"\n", b",")


async def _send_all(
    request: web.Request, blobs: Blobs, blob: Blob, headers: dict[str, str]
) -> web.StreamResponse:
    if request.method == "HEAD":
        return _new_response(200, blob.size, headers)
    found = verified_chunks(blobs, blob)
    if blob.size <= MAX_BUFFERED_BYTES:
        return web.Response(body=b"".join([chunk async for chunk in found]), headers=headers)
    response = _new_response(200, blob.size, headers)
    async with aclosing(found):
        first = await anext(found)
        await response.prepare(request)
        await response.write(first)
        async for chunk in found:
            await response.write(chunk)
    return response


def _new_response(status: int, length: int, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = length
    return response


async def _require_stored(blobs: Blobs, blob: Blob) -> None:
    try:
        await blobs.size(blob.key)
    except BlobNotFound:
        raise _gone_problem(blob) from None


def _gone_problem(blob: Blob) -> HttpProblem:
    log.error("blob missing", key=blob.key)
    return HttpProblem(410, CONTENT_GONE, "The document is no longer stored")


def _is_not_modified(request: web.Request, tag: str) -> bool:
    """Whether the client has what ``tag`` stands for already (RFC 9110 section 13).

    A conversion is never conditional: nobody has what is yet to be made.

    :raises Refused: it wants something else.
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
    """Return the one range asked for, or None where everything is to be sent.

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
        raise HttpProblem(
            416,
            "range_not_satisfiable",
            "The document has no such range",
            headers={"Content-Range": f"bytes */{blob.size}"},
        )
    return range(start, stop)


def _escape_json(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]
