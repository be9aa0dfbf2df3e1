"""Submissions by requests on the bus: stored and published as those by HTTP."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from actors.blob_keys import new_suffix, original_key
from actors.sniffing import Ends
from actors.text_sniffing import Claim
from ilios.edge import accept, batches, deadlines, passwords, requests, uploads
from ilios.edge.bus_service.answers import Call
from ilios.edge.context import Edge, Limits
from ilios.edge.errors import HttpProblem
from ilios.edge.multipart import CHUNK_BYTES, media_type
from ilios.edge.publishing import HEADER, Accepted
from ilios.edge.publishing import accept as publish
from ilios.edge.uploads import UploadRules
from ilios.visible import clean_name
from schemas.batches import BatchDocument, BatchSubmitted, document_id
from schemas.bus_requests import BatchItem, SubmitBatch, SubmitDocument
from schemas.documents import (
    DEFAULT_CONTENT_TYPE,
    MAX_INLINE_BYTES,
    DocumentSubmitted,
    Inline,
    Object,
    Operation,
    Remote,
    Source,
    Stored,
    effective_time,
    is_implausible,
)
from schemas.labels import METADATA_EXPECTED
from schemas.options import ConversionOptions
from schemas.requests import Url

_LARGER = "larger ones are put into the bucket, or submitted by HTTP or by their address"

_S = TypeVar("_S", SubmitDocument, SubmitBatch)


class _Address(Struct, frozen=True):
    """A source by its address, as HTTP checks it."""

    kind: Literal["url"]
    url: Url


class Submission(Struct, frozen=True):
    """A submission that is ready to be published."""

    event: DocumentSubmitted | BatchSubmitted
    blob_keys: tuple[str, ...]
    passwords: passwords.Passwords


class _Original(Struct, frozen=True):
    """The original of a document as its event and its fingerprint have it."""

    source: Source
    file_name: str
    content_type: str
    blob_key: str | None
    fingerprint: tuple[Any, ...]


async def receive_document(
    call: Call, kind: type[SubmitDocument], operation: Operation, priority: int
) -> tuple[Submission, SubmitDocument]:
    """Store the document of a request, if it brings its bytes.

    ``priority`` is that of requests without one.

    :raises HttpProblem: the request cannot be accepted; nothing of it is stored.
    """
    edge, tenant, given = call.edge, call.tenant, call.members
    wanted = _parse(kind, given)
    options = requests.check_engine(edge, wanted.options)
    name = _choose_id(call, wanted.document_id, "document_id")
    key = original_key(tenant, name, suffix := new_suffix())
    original = await _store(edge, wanted, key, suffix, uploads.SINGLE_FILE)
    digest = None
    if call.key or wanted.document_id:
        sources, fields = [original.fingerprint], _texts(given)
        digest = accept.fingerprint(operation, sources, fields, wanted.options, wanted.labels)
    event = DocumentSubmitted(
        document_id=name,
        tenant=tenant,
        priority=wanted.priority if "priority" in given else priority,
        source=original.source,
        file_name=original.file_name,
        content_type=original.content_type,
        retention_days=wanted.retention_days,
        operation=operation,
        submitted_at=_submitted_at(wanted.submitted_at),
        deadline=wanted.deadline,
        fingerprint=digest,
        options=options,
        reference=wanted.reference,
        metadata=wanted.metadata,
    )
    secrets = {name: wanted.password} if wanted.password else {}
    blob_keys = (original.blob_key,) if original.blob_key else ()
    return Submission(event, blob_keys, secrets), wanted


async def receive_batch(call: Call) -> Submission:
    """Store the documents of a batch, all of them or none. Errors as ``receive_document``."""
    edge, tenant, given = call.edge, call.tenant, call.members
    documents = given.get("documents")
    if isinstance(documents, list):
        if len(documents) > uploads.BATCH_FILES.max_files:
            raise uploads.BATCH_FILES.too_many(len(documents))
        for one in documents:
            _check_item(one)
    wanted = _parse(SubmitBatch, given)
    options = requests.check_engine(edge, wanted.options, mistral_batch=wanted.engine_batch)
    batch_id = _choose_id(call, wanted.batch_id, "batch_id")
    names = _document_ids(wanted, batch_id)
    originals: list[_Original] = []
    suffix = new_suffix()
    try:
        for name, one in zip(names, wanted.documents, strict=True):
            key = original_key(tenant, name, suffix)
            originals.append(await _store(edge, one, key, suffix, uploads.BATCH_FILES))
    except BaseException:
        await uploads.discard(edge.blobs, *_keys(originals))
        raise
    digest = None
    if call.key or wanted.batch_id:
        fields = _texts(given)
        if wanted.engine_batch:
            fields["useMistralBatch"] = "true"
        sources = [
            (*one.fingerprint, *accept.labels_to_hash(asked.labels))
            for one, asked in zip(originals, wanted.documents, strict=True)
        ]
        digest = accept.fingerprint(
            batches.OPERATION, sources, fields, wanted.options, wanted.labels
        )
    event = BatchSubmitted(
        batch_id=batch_id,
        tenant=tenant,
        documents=tuple(
            BatchDocument(
                document_id=name,
                source=one.source,
                file_name=one.file_name,
                content_type=one.content_type,
                reference=asked.reference,
                metadata=asked.metadata,
            )
            for name, one, asked in zip(names, originals, wanted.documents, strict=True)
        ),
        priority=wanted.priority,
        retention_days=wanted.retention_days,
        submitted_at=_submitted_at(wanted.submitted_at),
        deadline=wanted.deadline,
        fingerprint=digest,
        options=options,
        reference=wanted.reference,
        metadata=wanted.metadata,
        engine_batch=wanted.engine_batch,
    )
    secrets = {
        name: password
        for name, one in zip(names, wanted.documents, strict=True)
        if (password := one.password or wanted.password)
    }
    return Submission(event, _keys(originals), secrets)


async def accept_submission(call: Call, submission: Submission) -> Accepted:
    """Publish a submission, unless the same request has published one before.

    :raises HttpProblem: as ``publishing.accept``, or its id is that of another request (409).
    """
    event = submission.event
    try:
        return await publish(call.edge, event, submission.blob_keys, submission.passwords)
    except HttpProblem as refused:
        if call.key is None and refused.code == "idempotency_key_reused":
            error = "Something else was submitted under this id; choose a new one for each request"
            raise HttpProblem(409, "id_taken", error) from None
        raise


def _parse(kind: type[_S], given: Mapping[str, Any]) -> _S:
    """Return the members of a submission.

    :raises HttpProblem: a member is unknown, missing or has a wrong value (400).
    """
    if isinstance(options := given.get("options"), dict):
        requests.parse_json(ConversionOptions, options)
    _check_source(given.get("source"), uploads.SINGLE_FILE, given.get("file_name"))
    _check_metadata(given)
    wanted = requests.parse_json(kind, given)
    if wanted.submitted_at is not None and is_implausible(wanted.submitted_at):
        raise HttpProblem(
            400, "invalid_submitted_at", "submitted_at must be in the years 1970 to 2199"
        )
    if wanted.deadline is not None:
        deadlines.require_ahead(wanted.deadline, datetime.now(UTC))
    return wanted


def _check_item(item: object) -> None:
    """Let pass a document of a batch. Errors as ``_parse``."""
    if isinstance(item, dict):
        _check_source(item.get("source"), uploads.BATCH_FILES, item.get("file_name"))
        _check_metadata(item)
        requests.parse_json(BatchItem, item)


def _check_metadata(given: Mapping[str, Any]) -> None:
    """Refuse metadata as text, which is for forms."""
    if isinstance(given.get("metadata"), str):
        raise HttpProblem(400, "invalid_metadata", f"metadata must be {METADATA_EXPECTED}")


def _check_source(source: object, rules: UploadRules, name: object) -> None:
    """Refuse what HTTP refuses with a problem of its own. What is no source is left to the parser.

    :raises HttpProblem: an address that is none, no bytes, or too many of them (400).
    """
    if not isinstance(source, dict):
        return
    kind = source.get("kind")
    for members in (Inline, Object):
        if members.__struct_config__.tag == kind:
            requests.reject_unknown(source, {"kind", *members.__struct_fields__}, "member")
    match kind:
        case "url":
            requests.parse_json(_Address, source)
        case "stored":
            error = 'source cannot be of the kind "stored" here: send the bytes, or an address'
            raise HttpProblem(400, "invalid_source", error)
        case "inline" if isinstance(data := source.get("data"), str):
            shown = clean_name(name if isinstance(name, str) else "")
            if not data:
                raise rules.empty(shown)
            size = len(data) // 4 * 3 - data[-2:].count("=")
            if size > MAX_INLINE_BYTES:
                limits = Limits(max_file_bytes=MAX_INLINE_BYTES)
                problem = rules.too_large(shown, size, limits)
                problem.detail = f"{problem.error} of documents in a message; {_LARGER}"
                raise problem


def _choose_id(call: Call, given: str | None, member: str) -> str:
    if given is not None and call.key is not None:
        error = f"{member} cannot go together with {HEADER}, from which the id is made"
        raise HttpProblem(400, f"invalid_{member}", error)
    return given or accept.choose_id(call.tenant, call.key)


def _document_ids(wanted: SubmitBatch, batch_id: str) -> list[str]:
    """Return the ids of the documents of a batch: the given ones, or those HTTP would choose.

    :raises HttpProblem: some are given and some not, or they are not those of the batch (400).
    """
    given = [one.document_id for one in wanted.documents if one.document_id is not None]
    if not given:
        return [document_id(batch_id, number) for number in range(1, len(wanted.documents) + 1)]
    fitting = all(one.startswith(batch_id) and one != batch_id for one in given)
    if not fitting or len(set(given)) < len(wanted.documents):
        raise HttpProblem(
            400,
            "invalid_document_id",
            "document_id must begin with the batch_id and be longer, and each must be another; "
            "give them for all documents or for none",
        )
    return given


async def _store(
    edge: Edge,
    wanted: SubmitDocument | BatchItem,
    key: str,
    suffix: str,
    rules: UploadRules,
) -> _Original:
    """Store the bytes of a document, if it brings them.

    :raises HttpProblem: there are more than this service takes (400).
    :raises StorageFull, StorageUnavailable: they cannot be stored.
    """
    source, claimed = wanted.source, media_type(wanted.content_type) or DEFAULT_CONTENT_TYPE
    if isinstance(source, Remote):
        name = accept.name_of_url(source.url, wanted.file_name)
        # What is fetched has the type its server gives, unless the publisher gives one.
        return _Original(source, name, claimed, None, (source.url, wanted.file_name))
    name = clean_name(wanted.file_name or (source.name if isinstance(source, Object) else ""))
    if not isinstance(source, Inline):
        return _Original(source, name, claimed, None, (msgspec.json.encode(source).decode(), name))
    size = len(source.data)
    if size > edge.limits.max_file_bytes:
        raise rules.too_large(name, size, edge.limits)
    edge.disk_space.check(size)
    edge.disk_space.reserve(size)
    ends = Ends()
    ends.add(source.data)
    claim = None if claimed == DEFAULT_CONTENT_TYPE else claimed
    blob = await edge.blobs.put(key, _chunks(source.data))
    stored = Stored(blob.size, blob.sha256, suffix, ends.sniff(Claim.of(name, claim)))
    return _Original(stored, name, claimed, key, (blob.sha256, blob.size, name, claimed))


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


def _submitted_at(given: datetime | None) -> datetime:
    return effective_time(given, datetime.now(UTC))


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the members that are hashed into a fingerprint by the names HTTP has for them."""
    options = given.get("options")
    members = dict(options) if isinstance(options, dict) else {}
    for name, http_name in (
        ("priority", "priority"),
        ("retention_days", "retentionDays"),
        ("deadline", "deadline"),
    ):
        if name in given:
            members[http_name] = given[name]
    return accept.as_texts(members)


def _keys(originals: Sequence[_Original]) -> tuple[str, ...]:
    return tuple(one.blob_key for one in originals if one.blob_key)
