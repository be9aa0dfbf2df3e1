"""Uploads in a request of their own: ask for a URL, PUT the bytes there, say that it is complete.

What was asked for lies in the blob store beside the upload, as a reservation; nothing is on the log
or in the database before the upload is complete. Each step may be done again: what counts is the
submission, which the log takes once.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

import msgspec
import structlog
from aiohttp import web
from msgspec import Struct

from actors.blob_keys import original_key, upload_key
from actors.ports import BlobNotFound
from bus import failpoints
from bus.errors import AlreadyPublished
from ilios.edge import engine_selection, json_body, lookup, responses, signed_urls, uploads
from ilios.edge.body_reader import ReadDeadline
from ilios.edge.connection import mark_authenticated
from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.errors import HttpProblem, document_not_found
from ilios.edge.multipart import CHUNK_BYTES, media_type, too_large
from ilios.edge.upload_limiter import UPLOAD_LIMITER
from ilios.file_names import clean_name
from schemas.documents import DEFAULT_CONTENT_TYPE, DocumentSubmitted, Stored
from schemas.ids import is_id, new_id
from schemas.options import ConversionOptions, EngineName
from schemas.replies import format_instant
from schemas.upload_replies import UploadConfirmed, UploadUrl, UploadWanted

URL_LIFETIME = 3600
"""Seconds an upload URL can be used."""
UPLOAD_SUFFIX = "upload"
"""Ends the key of an original that came this way: there is one, so a repetition finds it."""
RESERVATION_SUFFIX = "request"

_FIELD_ERRORS = {
    "fileName": ("invalid_file_name", "fileName must be text of 1 to 255 characters"),
    "fileSize": ("invalid_file_size", "fileSize must be a whole number of bytes, 1 or more"),
    "mimeType": ("invalid_mime_type", "mimeType must be text of at most 255 characters"),
    "retentionDays": (
        "invalid_retention_days",
        "retentionDays must be a whole number from 1 to 3650",
    ),
    "engine": engine_selection.INVALID_ENGINE,
    "model": engine_selection.INVALID_MODEL,
}
_MAX_REPORTED_SIZE = 2**63 - 1  # a size that is too large is told up to this one

log = structlog.get_logger("edge")


class Reservation(Struct, frozen=True):
    """What an upload URL was asked for, as it lies in the store. Times are UTC."""

    tenant: str
    file_name: str
    size: int
    content_type: str
    retention_days: int
    created_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None = None
    engine: EngineName | None = None
    model: str | None = None


class KeyedLock:
    """Lets those who complete the same upload in one process do so one after another."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def lock(self, tenant: str, document_id: str) -> asyncio.Lock:
        """Return the lock of one upload; it lives for as long as somebody holds or awaits it."""
        return self._locks.setdefault((tenant, document_id), asyncio.Lock())


UPLOAD_LOCKS = web.AppKey("turns", KeyedLock)


async def reserve(request: web.Request) -> web.StreamResponse:
    """``POST /api/documents/upload-url``: a URL for one PUT of exactly the size asked for."""
    edge, document_id = request.app[EDGE], new_id()
    edge.disk_space.check()
    wanted = _parse_wanted(await json_body.read_object(request))
    if wanted.file_size > edge.limits.max_file_bytes:
        raise too_large(min(wanted.file_size, _MAX_REPORTED_SIZE), edge.limits)
    selection = engine_selection.select_engine(edge, wanted.engine, wanted.model)
    expires_at = int(time.time()) + URL_LIFETIME
    reservation = Reservation(
        tenant=request[TENANT],
        file_name=clean_name(wanted.file_name),
        size=wanted.file_size,
        content_type=media_type(wanted.mime_type) or DEFAULT_CONTENT_TYPE,
        retention_days=wanted.retention_days,
        created_at=datetime.now(UTC),
        expires_at=datetime.fromtimestamp(expires_at, UTC),
        engine=selection.engine,
        model=selection.model,
    )
    key = upload_key(document_id)
    await edge.blobs.put_bytes(
        upload_key(document_id, RESERVATION_SUFFIX), msgspec.json.encode(reservation)
    )
    url = await edge.blobs.presign_put(key, size=reservation.size, expires_in=URL_LIFETIME)
    if url is None:
        url = signed_urls.make_url(request, document_id, reservation.size, expires_at)
    reply = UploadUrl(id=document_id, upload_url=url, s3_key=key, expires_in=URL_LIFETIME)
    # The URL is a right: whoever keeps the answer keeps that.
    return responses.json_response(reply, headers={"Cache-Control": "no-store"})


async def put(request: web.Request) -> web.StreamResponse:
    """``PUT /api/uploads/{id}``: takes the bytes; its signature is the right to send them.

    May be done again, until the upload is complete; what came last counts.
    """
    edge, document_id = request.app[EDGE], request.match_info["id"]
    size = signed_urls.verify(request)
    mark_authenticated(request)
    reservation = await _load_reservation(edge, document_id)
    if reservation is None or reservation.withdrawn_at is not None:
        raise _already_completed()  # the signature shows that there was one
    await _require_open(edge, reservation.tenant, document_id)
    uploads.reject_compressed(request)
    if request.content_length is not None and request.content_length != size:
        raise _size_mismatch(request.content_length, size)
    edge.disk_space.check(size)
    key = upload_key(document_id)
    async with request.app[UPLOAD_LIMITER].slot(reservation.tenant):
        await uploads.send_continue(request)
        blob = await edge.blobs.put(key, _exact_chunks(request, size))
    try:
        await _require_open(edge, reservation.tenant, document_id)
    except HttpProblem:
        await uploads.discard(edge.blobs, key)
        raise
    return web.Response(headers={"ETag": f'"{blob.sha256}"'})


async def complete(request: web.Request) -> web.StreamResponse:
    """``POST /api/documents/upload-complete/{id}``: submits what was uploaded, once."""
    edge, tenant, document_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    if not is_id(document_id):
        raise HttpProblem(400, "invalid_id", "Invalid document ID format")
    async with request.app[UPLOAD_LOCKS].lock(tenant, document_id):
        document = await lookup.get_document(edge, tenant, document_id)
        if document is None:
            edge.disk_space.check()
            await _submit(edge, tenant, document_id)
        elif document.state in responses.REMOVED_STATES:
            raise responses.gone_problem(document)
    message = "Upload confirmed, queued for processing"
    return responses.json_response(UploadConfirmed(id=document_id, message=message))


async def withdraw(request: web.Request) -> Reservation | None:
    """Give up the upload the path names, if it is the asking tenant's and was not completed.

    Done again it returns the same, until the janitor has swept the reservation.
    """
    edge, tenant, document_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    async with request.app[UPLOAD_LOCKS].lock(tenant, document_id):
        reservation = await _load_reservation(edge, document_id)
        if reservation is None or reservation.tenant != tenant:
            return None
        if await lookup.get_document(edge, tenant, document_id) is not None:
            return None  # completed a moment ago
        if reservation.withdrawn_at is None:
            reservation = msgspec.structs.replace(reservation, withdrawn_at=datetime.now(UTC))
            await edge.blobs.put_bytes(
                upload_key(document_id, RESERVATION_SUFFIX), msgspec.json.encode(reservation)
            )
        await uploads.discard(
            edge.blobs, upload_key(document_id), _original_key(tenant, document_id)
        )
        return reservation


async def _submit(edge: Edge, tenant: str, document_id: str) -> None:
    """Submit the upload. Broken off anywhere, it can be done again.

    :raises Refused: no such upload (404), nothing or something else was uploaded (400), or it was
        given up (410).
    """
    reservation = await _load_reservation(edge, document_id)
    if reservation is None or reservation.tenant != tenant:
        if await lookup.get_document(edge, tenant, document_id) is not None:
            return  # another edge was faster
        raise document_not_found()
    if reservation.withdrawn_at is not None:
        raise HttpProblem(
            410,
            "document_cancelled",
            f"The upload was given up at {format_instant(reservation.withdrawn_at)}; ask for "
            "another URL",
        )
    original = _original_key(tenant, document_id)
    with suppress(BlobNotFound):  # or it was moved already, before somebody was killed
        await edge.blobs.move(upload_key(document_id), original)
        failpoints.reach("uploads.moved")
    try:
        blob = await edge.blobs.digest(original)
    except BlobNotFound:
        raise HttpProblem(
            400, "upload_missing", "File upload failed", detail="Nothing was uploaded to the URL."
        ) from None
    if blob.size != reservation.size:
        await uploads.discard(edge.blobs, original)
        raise _size_mismatch(blob.size, reservation.size)
    event = DocumentSubmitted(
        document_id=document_id,
        tenant=tenant,
        source=Stored(size=blob.size, sha256=blob.sha256, suffix=UPLOAD_SUFFIX),
        file_name=reservation.file_name,
        content_type=reservation.content_type,
        retention_days=reservation.retention_days,
        submitted_at=datetime.now(UTC),
        options=ConversionOptions(engine=reservation.engine, model=reservation.model),
    )
    try:
        await edge.publisher.publish_if_first(event)
    except AlreadyPublished:
        return  # nothing is deleted: that may have been this very upload
    log.info("document accepted", document_id=document_id, tenant=tenant, size=blob.size)
    await uploads.discard(edge.blobs, upload_key(document_id, RESERVATION_SUFFIX))


def _parse_wanted(body: dict[str, Any]) -> UploadWanted:
    if body.get("fileName") in (None, "") or body.get("fileSize") is None:
        raise HttpProblem(400, "missing_fields", "fileName and fileSize are required")
    for member in msgspec.structs.fields(UploadWanted):
        if member.encode_name in body:
            try:
                msgspec.convert(body[member.encode_name], member.type)
            except msgspec.ValidationError:
                raise HttpProblem(400, *_FIELD_ERRORS[member.encode_name]) from None
    return msgspec.convert(body, UploadWanted)


async def _require_open(edge: Edge, tenant: str, document_id: str) -> None:
    """Let pass an upload that is still open.

    :raises Refused: its bytes are those of a document by now, or are about to be (409).
    """
    try:
        await edge.blobs.size(_original_key(tenant, document_id))
    except BlobNotFound:
        if await lookup.get_document(edge, tenant, document_id) is None:
            return
    raise _already_completed()


async def _load_reservation(edge: Edge, document_id: str) -> Reservation | None:
    try:
        chunks = edge.blobs.read(upload_key(document_id, RESERVATION_SUFFIX))
        text = b"".join([chunk async for chunk in chunks])
    except BlobNotFound:
        return None
    return msgspec.json.decode(text, type=Reservation)


async def _exact_chunks(request: web.Request, size: int) -> AsyncIterator[bytes]:
    edge = request.app[EDGE]
    deadline, received = ReadDeadline(edge.limits), 0
    while chunk := await deadline.read(request.content.read(CHUNK_BYTES)):
        received += len(chunk)
        if received > size:
            raise _size_mismatch(received, size)
        edge.disk_space.reserve(len(chunk))
        yield chunk
    if received < size:
        raise _size_mismatch(received, size)


def _already_completed() -> HttpProblem:
    return HttpProblem(409, "upload_completed", "The upload is complete already, or was given up")


def _original_key(tenant: str, document_id: str) -> str:
    return original_key(tenant, document_id, UPLOAD_SUFFIX)


def _size_mismatch(found: int, reserved: int) -> HttpProblem:
    return HttpProblem(
        400,
        "upload_size_differs",
        f"The upload does not have the {reserved} bytes that were announced",
        details={"fileSize": found, "expectedSize": reserved},
    )
