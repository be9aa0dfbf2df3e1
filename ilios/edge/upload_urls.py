"""Uploads in a request of their own: reserve a URL, PUT the bytes there, confirm the upload.

The reservation is a blob beside the upload; the log and the database have nothing before the upload
is confirmed. Each step may be repeated: the log takes the submission once.
"""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from actors import sniffing
from actors.blob_keys import original_key, password_key, upload_key
from actors.ports import BlobNotFound
from actors.text_sniffing import Claim
from bus import failpoints
from ilios.edge import accept, lookup, requests, reservations, responses, signed_urls, uploads
from ilios.edge.connection import mark_authenticated
from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.deadlines import absolute_deadline
from ilios.edge.errors import (
    AUTHENTICATING,
    FINDING_DOCUMENT,
    GONE,
    PUBLISHING,
    READING_JSON,
    READING_LOG,
    SELECTING_ENGINE,
    HttpProblem,
    document_not_found,
)
from ilios.edge.multipart import CHUNK_BYTES, ReadDeadline, media_type
from ilios.edge.operation import (
    ANY_TYPE,
    DOCUMENT_ID,
    JSON,
    RAW_BODY,
    RequestBody,
    Response,
    operation,
)
from ilios.edge.reservations import Reservation
from ilios.visible import clean_name
from schemas.documents import DEFAULT_CONTENT_TYPE, DEFAULT_PRIORITY, DocumentSubmitted, Stored
from schemas.ids import is_id, new_id
from schemas.options import options_to_json
from schemas.replies import UploadConfirmed, UploadUrl, format_instant
from schemas.requests import UploadWanted
from schemas.states import REMOVED_STATES

URL_LIFETIME = 3600
"""Seconds an upload URL can be used."""
UPLOAD_SUFFIX = "upload"
"""The suffix of an original that was uploaded this way: constant, so a repetition finds it."""

_MAX_REPORTED_SIZE = 2**63 - 1  # larger ones do not fit in every reader of JSON

_BODY_PROBLEMS = {
    400: ("malformed_request",),
    408: ("upload_too_slow",),
    415: ("encoding_unsupported",),
    417: ("expectation_failed",),
    507: ("storage_full",),
}

TAG = "Uploads"


@operation(
    "POST",
    "/api/documents/upload-url",
    name="askForUpload",
    tag=TAG,
    summary="Ask where to upload a document",
    description="For clients without a key, such as a browser: anybody with the URL may PUT "
    "exactly so many bytes there, for an hour.",
    json=UploadWanted,
    body=RequestBody(description="What will be uploaded.", content={}),
    responses={
        200: Response(
            description="PUT the bytes there.",
            content={JSON: UploadUrl},
            headers=("Cache-Control",),
        )
    },
    problems=(
        AUTHENTICATING,
        _BODY_PROBLEMS,
        SELECTING_ENGINE,
        READING_JSON,
        {400: ("file_too_large",)},
    ),
)
async def reserve(request: web.Request) -> web.StreamResponse:
    """Answer with a URL for a PUT of exactly the announced size."""
    edge, document_id = request.app[EDGE], new_id()
    edge.disk_space.check()
    wanted = requests.parse_json(UploadWanted, await requests.read_json_object(request))
    if wanted.file_size > edge.limits.max_file_bytes:
        raise uploads.too_large(min(wanted.file_size, _MAX_REPORTED_SIZE), edge.limits)
    options = requests.check_engine(edge, wanted.options)
    expires_at = int(time.time()) + URL_LIFETIME
    reservation = Reservation(
        tenant=request[TENANT],
        file_name=clean_name(wanted.file_name),
        size=wanted.file_size,
        content_type=media_type(wanted.mime_type) or DEFAULT_CONTENT_TYPE,
        retention_days=wanted.retention_days,
        created_at=datetime.now(UTC),
        expires_at=datetime.fromtimestamp(expires_at, UTC),
        options=msgspec.Raw(options_to_json(options)),
        engine=options.engine,
        model=options.model,
        priority=wanted.priority or DEFAULT_PRIORITY,
        reference=wanted.labels.reference,
        metadata=wanted.labels.metadata,
        deadline=absolute_deadline(wanted.deadline, datetime.now(UTC)),
    )
    key = upload_key(document_id)
    if wanted.password:
        await edge.passwords.put(reservation.tenant, document_id, wanted.password)
    await reservations.store(edge, document_id, reservation)
    url = await edge.blobs.presign_put(key, size=reservation.size, expires_in=URL_LIFETIME)
    if url is None:
        url = signed_urls.make_url(request, document_id, reservation.size, expires_at)
    reply = UploadUrl(id=document_id, upload_url=url, s3_key=key, expires_in=URL_LIFETIME)
    # The URL is a right: a cache that stores the answer stores the right.
    return responses.json_response(reply, headers={"Cache-Control": "no-store"})


@operation(
    "PUT",
    "/api/uploads/{id}",
    name="upload",
    tag=TAG,
    summary="Upload a document to an address that was given out",
    description="The address holds all that is needed; no key is. It may be done again until the "
    "upload is confirmed: what came last counts.",
    public=True,
    parameters=(DOCUMENT_ID,),
    query=signed_urls.UploadSignature,
    body=RequestBody(description=f"The document. {ANY_TYPE}", content=RAW_BODY),
    responses={
        200: Response(description="The bytes are stored; confirm the upload.", headers=("ETag",))
    },
    problems=(
        READING_LOG,
        _BODY_PROBLEMS,
        {
            400: ("upload_size_differs",),
            403: ("upload_url_expired", "upload_url_invalid"),
            404: ("route_not_found",),
            409: ("upload_completed",),
            500: ("internal_error",),
            503: ("not_ready", "overloaded"),
        },
    ),
)
async def put(request: web.Request) -> web.StreamResponse:
    """Store the bytes; the signature in the URL is the right to send them.

    It may be repeated until the upload is confirmed; the last one counts.
    """
    edge, document_id = request.app[EDGE], request.match_info["id"]
    size = signed_urls.verify(request)
    mark_authenticated(request)
    reservation = await reservations.load(edge, document_id)
    if reservation is None or reservation.withdrawn_at is not None:
        raise _already_completed()  # the signature shows that there was one
    await _require_open(edge, reservation.tenant, document_id)
    uploads.reject_compressed(request)
    if request.content_length is not None and request.content_length != size:
        raise _size_mismatch(request.content_length, size)
    edge.disk_space.check(size)
    key = upload_key(document_id)
    async with request.app[uploads.UPLOAD_LIMITER].slot(reservation.tenant):
        await uploads.send_continue(request)
        blob = await edge.blobs.put(key, _exact_chunks(request, size))
    try:
        await _require_open(edge, reservation.tenant, document_id)
    except HttpProblem:
        await uploads.discard(edge.blobs, key)
        raise
    return web.Response(headers={"ETag": f'"{blob.sha256}"'})


@operation(
    "POST",
    "/api/documents/upload-complete/{id}",
    name="confirmUpload",
    tag=TAG,
    summary="Confirm an upload, so that the document is converted",
    description="Asking again gets the same answer, until the document is removed; it is "
    "converted once.",
    parameters=(DOCUMENT_ID,),
    responses={
        200: Response(
            description="The document is stored and will be converted.",
            content={JSON: UploadConfirmed},
        )
    },
    problems=(
        AUTHENTICATING,
        FINDING_DOCUMENT,
        GONE,
        PUBLISHING,
        {
            400: ("malformed_json", "upload_missing", "upload_size_differs"),
            413: ("request_too_large",),
            415: ("encoding_unsupported",),
        },
    ),
)
async def complete(request: web.Request) -> web.StreamResponse:
    """Submit the upload, once."""
    await requests.reject_fields(request)  # options belong to the reservation
    edge, tenant, document_id = request.app[EDGE], request[TENANT], request.match_info["id"]
    if not is_id(document_id):
        raise HttpProblem(400, "invalid_id", "Invalid document ID format")
    async with edge.upload_locks.lock(tenant, document_id):
        document = await lookup.get_document(edge, tenant, document_id)
        if document is None:
            edge.disk_space.check()
            await _submit(request, tenant, document_id)
        elif document.state in REMOVED_STATES:
            raise responses.gone_problem(document)
    message = "Upload confirmed, queued for processing"
    return responses.json_response(UploadConfirmed(id=document_id, message=message))


async def withdraw(edge: Edge, tenant: str, document_id: str) -> Reservation | None:
    """Withdraw an upload, if it is the tenant's and was not confirmed.

    A repetition returns the same, until the janitor has swept the reservation.
    """
    async with edge.upload_locks.lock(tenant, document_id):
        reservation = await reservations.load(edge, document_id)
        if reservation is None or reservation.tenant != tenant:
            return None
        if await lookup.get_document(edge, tenant, document_id) is not None:
            return None  # completed a moment ago
        if reservation.withdrawn_at is None:
            reservation = msgspec.structs.replace(reservation, withdrawn_at=datetime.now(UTC))
            await reservations.store(edge, document_id, reservation)
        stored = upload_key(document_id), _original_key(tenant, document_id)
        await uploads.discard(edge.blobs, *stored, password_key(tenant, document_id))
        return reservation


async def _submit(request: web.Request, tenant: str, document_id: str) -> None:
    """Submit the upload. Interrupted anywhere, it can be repeated.

    :raises HttpProblem: no such upload (404), nothing or something else was uploaded (400), or it
        was withdrawn (410).
    """
    edge = request.app[EDGE]
    reservation = await reservations.load(edge, document_id)
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
        ends = await edge.blobs.read_ends(original, sniffing.SNIFF_LENGTH)
    except BlobNotFound:
        detail = "Nothing was uploaded to the URL."
        raise HttpProblem(400, "upload_missing", "File upload failed", detail=detail) from None
    if blob.size != reservation.size:
        await uploads.discard(edge.blobs, original)
        raise _size_mismatch(blob.size, reservation.size)
    claim = Claim.of(reservation.file_name, reservation.content_type)
    event = DocumentSubmitted(
        document_id=document_id,
        tenant=tenant,
        source=Stored(blob.size, blob.sha256, UPLOAD_SUFFIX, sniffing.sniff(*ends, claim)),
        file_name=reservation.file_name,
        content_type=reservation.content_type,
        retention_days=reservation.retention_days,
        submitted_at=datetime.now(UTC),
        options=reservation.conversion,
        priority=reservation.priority,
        reference=reservation.reference,
        metadata=reservation.metadata,
        deadline=reservation.deadline,
    )
    accepted = await accept.accept(request, event, only_first=True)
    if accepted.prior is None:  # otherwise the reservation may be that of this very upload
        await reservations.discard(edge, document_id)


async def _require_open(edge: Edge, tenant: str, document_id: str) -> None:
    """Let pass an upload that is still open.

    :raises HttpProblem: its bytes belong to a document, or are about to (409).
    """
    try:
        await edge.blobs.size(_original_key(tenant, document_id))
    except BlobNotFound:
        if await lookup.get_document(edge, tenant, document_id) is None:
            return
    raise _already_completed()


async def _exact_chunks(request: web.Request, size: int) -> AsyncIterator[bytes]:
    edge = request.app[EDGE]
    deadline, received = ReadDeadline(edge.limits), 0
    while chunk := await deadline.read_chunk(request.content, CHUNK_BYTES):
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
