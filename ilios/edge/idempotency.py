"""Requests that may be repeated: under one ``Idempotency-Key`` something is made once.

No table stands behind this. The id of what is made is derived from the tenant and the key, its
event carries a fingerprint of the request, and the log takes the first event under an id only. So
a repetition is known for as long as its document is, across restarts and from every edge.

The header is draft-ietf-httpapi-idempotency-key-header's; its value may also stand without quotes.
"""

import hashlib
import re
from datetime import datetime

import msgspec
from aiohttp import web
from msgspec import Struct

from bus import failpoints
from bus.errors import AlreadyPublished, BusUnavailable, NotPublished
from ilios.edge import lookup
from ilios.edge.context import Edge
from ilios.edge.errors import HttpProblem
from ilios.edge.multipart import UploadForm
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentSubmitted
from schemas.ids import id_from_digest
from schemas.records import DocumentRecord

HEADER = "Idempotency-Key"
REPLAYED = web.RequestKey("replayed", bool)
MAX_KEY_LENGTH = 255

FINGERPRINTED_FIELDS = ("format", "priority", "retentionDays", "engine", "model", "useMistralBatch")
"""Fields whose values make another request of the same files."""
REMOVED_STATES = frozenset({"cancelled", "deleted"})

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # RFC 9651, String
_UNQUOTED = re.compile(r'[^"].*')
_PRINTABLE = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_LENGTH}}}")


class PriorSubmission(Struct, frozen=True):
    """What the first request under a key has made."""

    fingerprint: str | None
    submitted_at: datetime
    documents: list[DocumentRecord]


def parse_key(request: web.Request) -> str | None:
    """Return the key a request came with, or None.

    :raises Refused: it is not one.
    """
    values = request.headers.getall(HEADER, [])
    if not values:
        return None
    value = values[0].strip()
    if quoted := _QUOTED.fullmatch(value):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    else:
        key = value if _UNQUOTED.fullmatch(value) else ""
    if len(values) > 1 or not _PRINTABLE.fullmatch(key):
        raise HttpProblem(
            400,
            "invalid_idempotency_key",
            f"{HEADER} must be 1 to {MAX_KEY_LENGTH} printable ASCII characters, given once",
        )
    return key


def derive_id(tenant: str, key: str) -> str:
    """Return the id of what a tenant makes under a key. A tenant's name holds no line break."""
    return id_from_digest(hashlib.sha256(f"{tenant}\n{key}".encode()).digest())


def fingerprint(operation: str, form: UploadForm) -> str:
    """Return what tells this request from every other one, but for its repetitions."""
    files = [
        (file.blob.sha256, file.blob.size, file.file_name, file.content_type) for file in form.files
    ]
    fields = [(name, form.fields[name]) for name in FINGERPRINTED_FIELDS if form.fields.get(name)]
    return hashlib.sha256(msgspec.json.encode((operation, files, fields))).hexdigest()


async def publish_once(
    edge: Edge, event: DocumentSubmitted | BatchSubmitted, blob_keys: tuple[str, ...]
) -> PriorSubmission | None:
    """Say a submission, or return what the same request has made before.

    ``keys`` are those of the blobs the submission names.

    :raises Refused: the idempotency key was used for something else (422), or what was made under
        it is no longer there (410).
    """
    failpoints.reach("edge.stored")
    if event.fingerprint is None:
        await edge.publisher.publish(event)
        failpoints.reach("edge.said")
        return None
    try:
        prior = await _find_prior(edge, event)
    except BusUnavailable as error:
        raise NotPublished(str(error)) from error
    if prior is None:
        try:
            await edge.publisher.publish_if_first(event)
            failpoints.reach("edge.said")
            return None
        except AlreadyPublished:
            prior = await _find_prior(edge, event)
    if prior is None or prior.fingerprint != event.fingerprint:
        raise HttpProblem(
            422,
            "idempotency_key_reused",
            f"This {HEADER} was used for another request; use a new one for each request",
        )
    if all(document.state in REMOVED_STATES for document in prior.documents):
        raise HttpProblem(
            410,
            "document_removed",
            "What was submitted under this Idempotency-Key was cancelled or deleted; "
            "use a new one to submit it again",
        )
    original = prior.documents[0].original
    # An event of ours whose acknowledgement was lost is met again as somebody's: it names our blob.
    return None if original is not None and original.key in blob_keys else prior


async def mark_replayed(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the client that its request had been carried out before (``on_response_prepare``)."""
    if request.get(REPLAYED):
        response.headers["Idempotent-Replayed"] = "true"


async def _find_prior(
    edge: Edge, event: DocumentSubmitted | BatchSubmitted
) -> PriorSubmission | None:
    """Return what is known under the event's id: of its own kind first, then of the other."""
    if isinstance(event, BatchSubmitted):
        tenant, name, kinds = event.tenant, event.batch_id, (_prior_batch, _prior_document)
    else:
        tenant, name, kinds = event.tenant, event.document_id, (_prior_document, _prior_batch)
    for kind in kinds:
        if (prior := await kind(edge, tenant, name)) is not None:
            return prior
    return None


async def _prior_document(edge: Edge, tenant: str, name: str) -> PriorSubmission | None:
    found = await lookup.get_document(edge, tenant, name)
    return PriorSubmission(found.fingerprint, found.submitted_at, [found]) if found else None


async def _prior_batch(edge: Edge, tenant: str, name: str) -> PriorSubmission | None:
    found = await lookup.get_batch(edge, tenant, name)
    if found is None:
        return None
    documents = await lookup.batch_documents(edge, found)
    return PriorSubmission(found.fingerprint, found.submitted_at, documents)
