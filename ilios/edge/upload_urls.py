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

from actors.keys import original_key, upload_key
from actors.ports import BlobNotFound
from bus import failpoints
from bus.errors import AlreadySaid
from ilios.edge import answers, engine_choice, json_bodies, known, signed_urls, uploads
from ilios.edge.connection import show_key
from ilios.edge.errors import Refused, document_not_found
from ilios.edge.forms import CHUNK_BYTES, media_type, too_large
from ilios.edge.keys import EDGE, TENANT, Edge
from ilios.edge.pace import Pace
from ilios.edge.upload_places import PLACES
from ilios.file_names import clean_name
from schemas.documents import UNKNOWN_TYPE, DocumentSubmitted, EngineName, Stored
from schemas.ids import is_id, new_id
from schemas.replies import instant
from schemas.upload_replies import UploadConfirmed, UploadUrl, UploadWanted

GOOD_FOR = 3600
"""Seconds an upload URL can be used."""
SUFFIX = "upload"
"""Ends the key of an original that came this way: there is one, so a repetition finds it."""
RESERVATION = "request"

_COMPLAINTS = {
    "fileName": ("invalid_file_name", "fileName must be text of 1 to 255 characters"),
    "fileSize": ("invalid_file_size", "fileSize must be a whole number of bytes, 1 or more"),
    "mimeType": ("invalid_mime_type", "mimeType must be text of at most 255 characters"),
    "retentionDays": (
        "invalid_retention_days",
        "retentionDays must be a whole number from 1 to 3650",
    ),
    "engine": engine_choice.INVALID_ENGINE,
    "model": engine_choice.INVALID_MODEL,
}
_LARGEST = 2**63 - 1  # a size that is too large is told up to this one

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


class Turns:
    """Lets those who complete the same upload in one process do so one after another."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def of(self, tenant: str, document_id: str) -> asyncio.Lock:
        """Return the lock of one upload; it lives for as long as somebody holds or awaits it."""
        return self._locks.setdefault((tenant, document_id), asyncio.Lock())


TURNS = web.AppKey("turns", Turns)


async def reserve(request: web.Request) -> web.StreamResponse:
    """``POST /api/documents/upload-url``: a URL for one PUT of exactly the size asked for."""
    edge, document_id = request.app[EDGE], new_id()
    edge.room.refuse()
    wanted = _wanted(await json_bodies.read_object(request))
    if wanted.file_size > edge.limits.max_file_bytes:
        raise too_large(min(wanted.file_size, _LARGEST), edge.limits)
    choice = engine_choice.chosen(edge, wanted.engine, wanted.model)
    expires_at = int(time.time()) + GOOD_FOR
    reservation = Reservation(
        tenant=request[TENANT],
        file_name=clean_name(wanted.file_name),
        size=wanted.file_size,
        content_type=media_type(wanted.mime_type) or UNKNOWN_TYPE,
        retention_days=wanted.retention_days,
        created_at=datetime.now(UTC),
        expires_at=datetime.fromtimestamp(expires_at, UTC),
        engine=choice.engine,
        model=choice.model,
    )
    key = upload_key(document_id)
    await edge.blobs.put_bytes(
        upload_key(document_id, RESERVATION), msgspec.json.encode(reservation)
    )
    url = await edge.blobs.presign_put(key, size=reservation.size, expires_in=GOOD_FOR)
    if url is None:
        url = signed_urls.make(request, document_id, reservation.size, expires_at)
    reply = UploadUrl(id=document_id, upload_url=url, s3_key=key, expires_in=GOOD_FOR)
    # The URL is a right: whoever keeps the answer keeps that.
    return answers.answer(reply, headers={"Cache-Control": "no-store"})


async def put(request: web.Request) -> web.StreamResponse:
    """``PUT /api/uploads/{id}``: takes the bytes; its signature is the right to send them.

    May be done again, until the upload is complete; what came last counts.
    """
    edge, document_id = request.app[EDGE], request.match_info["id"]
    size = signed_urls.read(request)
    show_key(request)
    reservation = await _reservation(edge, document_id)
    if reservation is None or reservation.withdrawn_at is not None:
        raise _closed()  # the signature shows that there was one
    await _refuse_completed(edge, reservation.tenant, document_id)
    uploads.refuse_compressed(request)
    if request.content_length is not None and request.content_length != size:
        raise _other_size(request.content_length, size)
    edge.room.refuse(size)
    key = upload_key(document_id)
    async with request.app[PLACES].held_by(reservation.tenant):
        await uploads.invite(request)
        blob = await edge.blobs.put(key, _exactly(request, size))
    try:
        await _refuse_completed(edge, reservation.tenant, document_id)
    except Refused:
        await uploads.discard(edge.blobs, key)
        raise
    return web.Response(headers={"ETag": f'"{blob.sha256}"'})


async def complete(request: web.Request) -> web.StreamResponse:
    """``POST /api/documents/upload-complete/{id}``: submits what was uploaded, once."""
    edge, tenant, document_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    if not is_id(document_id):
        raise Refused(400, "invalid_id", "Invalid document ID format")
    async with request.app[TURNS].of(tenant, document_id):
        document = await known.document(edge, tenant, document_id)
        if document is None:
            edge.room.refuse()
            await _submit(edge, tenant, document_id)
        elif document.state in answers.REMOVED:
            raise answers.gone(document)
    message = "Upload confirmed, queued for processing"
    return answers.answer(UploadConfirmed(id=document_id, message=message))


async def withdraw(request: web.Request) -> Reservation | None:
    """Give up the upload the path names, if it is the asking tenant's and was not completed.

    Done again it returns the same, until the janitor has swept the reservation.
    """
    edge, tenant, document_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    async with request.app[TURNS].of(tenant, document_id):
        reservation = await _reservation(edge, document_id)
        if reservation is None or reservation.tenant != tenant:
            return None
        if await known.document(edge, tenant, document_id) is not None:
            return None  # completed a moment ago
        if reservation.withdrawn_at is None:
            reservation = msgspec.structs.replace(reservation, withdrawn_at=datetime.now(UTC))
            await edge.blobs.put_bytes(
                upload_key(document_id, RESERVATION), msgspec.json.encode(reservation)
            )
        await uploads.discard(edge.blobs, upload_key(document_id), _original(tenant, document_id))
        return reservation


async def _submit(edge: Edge, tenant: str, document_id: str) -> None:
    """Submit the upload. Broken off anywhere, it can be done again.

    :raises Refused: no such upload (404), nothing or something else was uploaded (400), or it was
        given up (410).
    """
    reservation = await _reservation(edge, document_id)
    if reservation is None or reservation.tenant != tenant:
        if await known.document(edge, tenant, document_id) is not None:
            return  # another edge was faster
        raise document_not_found()
    if reservation.withdrawn_at is not None:
        raise Refused(
            410,
            "document_cancelled",
            f"The upload was given up at {instant(reservation.withdrawn_at)}; ask for another URL",
        )
    original = _original(tenant, document_id)
    with suppress(BlobNotFound):  # or it was moved already, before somebody was killed
        await edge.blobs.move(upload_key(document_id), original)
        failpoints.reach("uploads.moved")
    try:
        blob = await edge.blobs.examine(original)
    except BlobNotFound:
        raise Refused(
            400, "upload_missing", "File upload failed", detail="Nothing was uploaded to the URL."
        ) from None
    if blob.size != reservation.size:
        await uploads.discard(edge.blobs, original)
        raise _other_size(blob.size, reservation.size)
    event = DocumentSubmitted(
        document_id=document_id,
        tenant=tenant,
        source=Stored(size=blob.size, sha256=blob.sha256, suffix=SUFFIX),
        file_name=reservation.file_name,
        content_type=reservation.content_type,
        retention_days=reservation.retention_days,
        submitted_at=datetime.now(UTC),
        engine=reservation.engine,
        model=reservation.model,
    )
    try:
        await edge.publisher.say_first(event)
    except AlreadySaid:
        return  # nothing is deleted: that may have been this very upload
    log.info("document accepted", document_id=document_id, tenant=tenant, size=blob.size)
    await uploads.discard(edge.blobs, upload_key(document_id, RESERVATION))


def _wanted(body: dict[str, Any]) -> UploadWanted:
    if body.get("fileName") in (None, "") or body.get("fileSize") is None:
        raise Refused(400, "missing_fields", "fileName and fileSize are required")
    for member in msgspec.structs.fields(UploadWanted):
        if member.encode_name in body:
            try:
                msgspec.convert(body[member.encode_name], member.type)
            except msgspec.ValidationError:
                raise Refused(400, *_COMPLAINTS[member.encode_name]) from None
    return msgspec.convert(body, UploadWanted)


async def _refuse_completed(edge: Edge, tenant: str, document_id: str) -> None:
    """Let pass an upload that is still open.

    :raises Refused: its bytes are those of a document by now, or are about to be (409).
    """
    try:
        await edge.blobs.size(_original(tenant, document_id))
    except BlobNotFound:
        if await known.document(edge, tenant, document_id) is None:
            return
    raise _closed()


async def _reservation(edge: Edge, document_id: str) -> Reservation | None:
    try:
        chunks = edge.blobs.read(upload_key(document_id, RESERVATION))
        text = b"".join([chunk async for chunk in chunks])
    except BlobNotFound:
        return None
    return msgspec.json.decode(text, type=Reservation)


async def _exactly(request: web.Request, size: int) -> AsyncIterator[bytes]:
    edge = request.app[EDGE]
    pace, received = Pace(edge.limits), 0
    while chunk := await pace.read(request.content.read(CHUNK_BYTES)):
        received += len(chunk)
        if received > size:
            raise _other_size(received, size)
        edge.room.take(len(chunk))
        yield chunk
    if received < size:
        raise _other_size(received, size)


def _closed() -> Refused:
    return Refused(409, "upload_completed", "The upload is complete already, or was given up")


def _original(tenant: str, document_id: str) -> str:
    return original_key(tenant, document_id, SUFFIX)


def _other_size(found: int, reserved: int) -> Refused:
    return Refused(
        400,
        "upload_size_differs",
        f"The upload does not have the {reserved} bytes that were announced",
        details={"fileSize": found, "expectedSize": reserved},
    )
