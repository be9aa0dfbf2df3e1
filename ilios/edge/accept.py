"""Accepts submissions: receives documents, publishes their event once, deletes what was not.

Requests may be repeated: under one ``Idempotency-Key`` something is made once. No table stands
behind this. The id of what is made is derived from the tenant and the key, its event carries a
fingerprint of the request, and the log takes the first event under an id only. So a repetition is
recognised for as long as its document exists, across restarts and by every edge. The header is
draft-ietf-httpapi-idempotency-key-header's; its value may also stand without quotes.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from aiohttp import web
from msgspec import Struct

from actors.blob_keys import new_suffix, original_key
from ilios.edge import browsers, multipart, passwords, publishing, requests, uploads
from ilios.edge.context import EDGE, TENANT
from ilios.edge.deadlines import absolute_deadline
from ilios.edge.errors import HttpProblem
from ilios.edge.publishing import HEADER, Accepted
from ilios.formats.declaration import FormatOptions
from ilios.visible import clean_name
from schemas.batches import BatchSubmitted
from schemas.documents import DocumentSubmitted, Operation, Remote, Stored
from schemas.ids import id_from_digest, new_id
from schemas.labels import NO_LABELS, Labels
from schemas.options import ConversionOptions
from schemas.requests import ConversionRequest, SubmitByUrl, SubmitFields

REPLAYED = web.RequestKey("replayed", bool)
MAX_KEY_LENGTH = 255

FINGERPRINTED_FIELDS = (
    "format",
    "priority",
    "retentionDays",
    "engine",
    "model",
    "useMistralBatch",
    "deadline",
)
"""Fields whose texts make another request of the same files. Options that came later are hashed by
their canonical values, and only where they differ from the default: fingerprints never change."""

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # RFC 9651, String
_UNQUOTED = re.compile(r'[^"].*')
_PRINTABLE = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_LENGTH}}}")

_E = TypeVar("_E", DocumentSubmitted, BatchSubmitted)
_R = TypeVar("_R", bound=SubmitFields)
_W = TypeVar("_W", bound=ConversionRequest)


class Received(Struct, Generic[_E, _W], frozen=True):
    """A submission that is ready to be published: its event, its blobs, what the request wants."""

    event: _E
    blob_keys: tuple[str, ...]
    wanted: _W
    passwords: passwords.Passwords


async def receive_document(
    request: web.Request,
    operation: Operation,
    priority: int,
    kinds: tuple[type[_R], type[SubmitByUrl]],
) -> Received[DocumentSubmitted, _R]:
    """Store the document of a request under a new id, or the one its idempotency key stands for.

    ``priority`` is that of a request which names none.
    ``kinds`` are what the fields of a form, and the members of a JSON body, are parsed into.

    :raises HttpProblem: the request cannot be accepted; nothing of it is stored.
    """
    edge, tenant, key = request.app[EDGE], request[TENANT], parse_key(request)
    new_document_id, now = choose_id(tenant, key), datetime.now(UTC)
    fields_kind, json_kind = kinds
    if is_json(request):
        body = await read_urls(request, requests.MAX_JSON_BYTES)
        members = requests.require_object(body)
        given = requests.add_query(members, request.query, fields_kind, json_kind)
        by_url = requests.parse_json(json_kind, given)
        wanted = msgspec.convert(by_url, fields_kind, from_attributes=True)
        options = requests.check_engine(edge, by_url.options)
        deadline = _deadline(wanted, now)
        source: Stored | Remote = Remote(by_url.url)
        file_name, content_type = name_of_url(by_url.url, by_url.file_name), None
        blob_keys: tuple[str, ...] = ()
        sources: list[tuple[Any, ...]] = [(by_url.url, by_url.file_name)]
        fields: Mapping[str, str] = as_texts(given)
    else:
        suffix = new_suffix()
        blob_key = original_key(tenant, new_document_id, suffix)
        form = await uploads.receive(request, uploads.SINGLE_FILE, lambda _: blob_key)
        blob_keys, fields = (blob_key,), form.fields
        (upload,) = form.files
        try:
            check_fields(request, form, fields_kind)
            wanted = requests.parse_texts(fields_kind, fields)
            options = requests.check_engine(edge, wanted.options)
            deadline = _deadline(wanted, now)
        except HttpProblem:
            await uploads.discard(edge.blobs, blob_key)
            raise
        source = upload.source(suffix)
        file_name, content_type = upload.file_name, upload.content_type
        sources = file_sources(form)
    event = DocumentSubmitted(
        document_id=new_document_id,
        tenant=tenant,
        priority=wanted.priority or priority,
        source=source,
        file_name=file_name,
        retention_days=wanted.retention_days,
        operation=operation,
        submitted_at=now,
        fingerprint=fingerprint(operation, sources, fields, wanted.options, wanted.labels)
        if key
        else None,
        options=options,
        reference=wanted.labels.reference,
        metadata=wanted.labels.metadata,
        deadline=deadline,
    )
    if content_type is not None:
        event = msgspec.structs.replace(event, content_type=content_type)
    given_passwords = {new_document_id: wanted.password} if wanted.password else {}
    return Received(event, blob_keys, wanted, given_passwords)


def _deadline(wanted: SubmitFields, now: datetime) -> datetime | None:
    return None if wanted.deadline is None else absolute_deadline(wanted.deadline, now)


async def accept(
    request: web.Request,
    event: DocumentSubmitted | BatchSubmitted,
    blob_keys: tuple[str, ...] = (),
    given: passwords.Passwords | None = None,
    *,
    only_first: bool = False,
) -> Accepted:
    """Publish the submission of a request; as ``publishing.accept``."""
    edge = request.app[EDGE]
    accepted = await publishing.accept(edge, event, blob_keys, given, only_first=only_first)
    request[REPLAYED] = accepted.replayed
    return accepted


def choose_id(tenant: str, key: str | None) -> str:
    """Return the id of what a request makes that came with this idempotency key, or with none."""
    return derive_id(tenant, key) if key else new_id()


def parse_key(request: web.Request) -> str | None:
    """Return the idempotency key of a request, or None.

    :raises HttpProblem: it is not one (400).
    """
    return parse_key_values(request.headers.getall(HEADER, []))


def parse_key_values(values: Sequence[str]) -> str | None:
    """Return the idempotency key of the header, which may be absent. Errors as ``parse_key``."""
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
    """Return the id of what a tenant makes under a key. A tenant's name has no line break."""
    return id_from_digest(hashlib.sha256(f"{tenant}\n{key}".encode()).digest())


def fingerprint(
    operation: str,
    sources: Sequence[tuple[Any, ...]],
    fields: Mapping[str, str],
    options: ConversionOptions,
    labels: Labels = NO_LABELS,
) -> str:
    """Return a digest of a request that its repetitions share with no other one."""
    names = (*FINGERPRINTED_FIELDS, *FormatOptions.__struct_encode_fields__)
    chosen = [(name, fields[name]) for name in names if fields.get(name)]
    defaults = ConversionOptions()
    for name in ConversionOptions.__struct_fields__:
        value = getattr(options, name)
        if name not in FINGERPRINTED_FIELDS and value != getattr(defaults, name):
            chosen.append((name, value))
    chosen += labels_to_hash(labels)
    return hashlib.sha256(msgspec.json.encode((operation, sources, chosen))).hexdigest()


def labels_to_hash(labels: Labels) -> list[tuple[str, Any]]:
    """Return the labels that were given, as they are hashed into a fingerprint."""
    found: list[tuple[str, Any]] = []
    if labels.reference is not None:
        found.append(("reference", labels.reference))
    if labels.metadata is not None:
        canonical = msgspec.json.encode(labels.metadata, order="sorted").decode()
        found.append(("metadata", canonical))
    return found


async def mark_replayed(request: web.Request, response: web.StreamResponse) -> None:
    """Show the client that its request had been carried out before (``on_response_prepare``)."""
    if request.get(REPLAYED):
        response.headers["Idempotent-Replayed"] = "true"


def is_json(request: web.Request) -> bool:
    """Whether a request carries JSON, which names documents by their URLs."""
    return multipart.media_type(request.headers.get("Content-Type")) == requests.JSON_TYPE


async def read_urls(request: web.Request, max_bytes: int) -> object:
    """Return the JSON of a request that names documents by their URLs.

    :raises HttpProblem: it may come from another site's page (403), or as ``requests.read_json``.
    """
    browsers.check_browser(request)
    request.app[EDGE].disk_space.check()
    found = await requests.read_json(request, max_bytes)
    requests.reject_surrogates(found)
    return found


def check_fields(
    request: web.Request, form: uploads.UploadForm, kind: type[ConversionRequest]
) -> None:
    """Refuse fields of a form that have no meaning; those of the query were checked before."""
    content_type = multipart.media_type(request.headers.get("Content-Type"))
    names = [name for name in form.fields if name not in request.query]
    if "fileName" in request.query and content_type == uploads.FORM_TYPE:
        names.append("fileName")  # the part has its own
    requests.reject_unknown(names, requests.members(kind), "field")
    requests.reject_unknown(form.unknown_files, (), "file field")


def file_sources(form: uploads.UploadForm) -> list[tuple[Any, ...]]:
    """Return the files of a form as they are hashed into a fingerprint."""
    return [
        (file.blob.sha256, file.blob.size, file.file_name, file.content_type) for file in form.files
    ]


def as_texts(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the members of a JSON object as a form would have them."""
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in given.items()
        if name in FINGERPRINTED_FIELDS and value is not None
    }


def name_of_url(url: str, file_name: str | None) -> str:
    """Return a name for a document of a URL: the given one, or the last part of the path."""
    return clean_name(file_name or unquote(urlsplit(url).path.rpartition("/")[2]))
