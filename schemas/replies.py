"""Bodies of JSON replies. Members are camelCase, times ISO 8601 in UTC with milliseconds.

A member without a value is left out, unless its description differs.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from .batches import EngineJobStatus
from .options import EngineName
from .quality import ConversionWarnings, Quality
from .results import PageResult
from .states import BatchState, DocumentState

ClientMetadata = Annotated[
    dict[str, Any], Meta(description="The `metadata` of the submission, as its client gave it.")
]
ClientReference = Annotated[
    str, Meta(description="The `reference` of the submission, as its client gave it.")
]

Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time as replies carry it: ``2026-01-15T10:30:00.000Z``."""


def format_instant(time: datetime) -> Instant:
    """Return a time as replies carry it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class Problem(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The reason why a request was not served (RFC 9457, ``application/problem+json``).

    ``code`` is stable and meant for programs. ``error`` is the same sentence as ``detail``, under
    the name clients of ilios have always read. ``details`` holds figures some errors come with,
    ``id`` the document the error is about. Of a document that has failed, ``cause`` is the code,
    ``reason`` a sentence for its owner, and ``retryable`` whether another try may go well.
    """

    type: str = field(default_factory=lambda: "about:blank")
    title: str
    status: int
    detail: str
    error: str
    code: str
    instance: str
    request_id: str
    details: dict[str, Any] | None = None
    id: str | None = None
    cause: str | None = None
    reason: str | None = None
    retryable: bool | None = None


class Submitted(Struct, frozen=True, kw_only=True, rename="camel"):
    """The document is accepted; ``fileSize`` is left out where it is yet to be fetched."""

    id: str
    status: DocumentState
    file_name: str
    file_size: int | UnsetType = UNSET
    retention_days: int
    created_at: Instant
    status_url: str
    reference: ClientReference | UnsetType = UNSET
    client_metadata: ClientMetadata | UnsetType = UNSET
    deadline: Instant | UnsetType = UNSET


class StatusMetadata(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Pages, engine, model and duration of the conversion in milliseconds.

    ``fallback_from`` names the engine that was wanted and could not do it.
    """

    pages: int | None = None
    processing_time_ms: int | None = None
    model: str | None = None
    engine: str | None = None
    fallback_from: EngineName | None = None


class PageProgress(Struct, frozen=True, kw_only=True):
    """How many of the selected pages are converted."""

    pages: int
    of: int


class DocumentStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """State of a document. ``error`` and ``code`` are the reason of a failure or cancellation.

    ``archived_at`` is present from its archiving on, ``deleted_at`` from its removal on.
    ``warnings`` are about what a reader sees in the document and the Markdown lacks; ``quality``
    is how far the Markdown can be trusted, left out where that was not measured. A ``partial`` one
    lacks the last pages, because its time budget ended. Until its end ``position`` is how many
    documents of the same tenant go before it, and ``eta_seconds`` an estimate of the time left;
    both and ``progress`` are left out while they are not known.
    """

    id: str
    status: DocumentState
    file_name: str
    file_size: int | None = None
    created_at: Instant | None = None
    processed_at: Instant | None = None
    archived_at: Instant | None = None
    deleted_at: Instant | None = None
    metadata: StatusMetadata | None = None
    warnings: ConversionWarnings = ()
    quality: Quality | None = None
    partial: bool = False
    progress: PageProgress | None = None
    position: int | None = None
    eta_seconds: int | None = None
    download_url: str | None = None
    error: str | None = None
    code: str | None = None
    retryable: bool | None = None
    reference: ClientReference | None = None
    client_metadata: ClientMetadata | None = None
    deadline: Instant | None = None


class Unfinished(Struct, frozen=True, kw_only=True, rename="camel"):
    """The Markdown does not exist yet; ask ``status_url`` again."""

    id: str
    status: DocumentState
    status_url: str
    reference: ClientReference | UnsetType = UNSET
    client_metadata: ClientMetadata | UnsetType = UNSET


class FailedDocument(Struct, frozen=True, kw_only=True, rename="camel"):
    """The Markdown will never exist; ``error`` is the reason."""

    id: str
    error: str
    code: str
    retryable: bool
    status: DocumentState = "failed"


class DeletionReceipt(Struct, frozen=True, kw_only=True, rename="camel"):
    """The document is removed. Size in bytes and SHA-256 are those of the original.

    Both are null where the original was never received; ``deleted_at`` is while it is being done.
    """

    id: str
    status: Literal["deleted", "cancelled"]
    file_name: str
    file_size: int | None
    sha256: str | None
    deleted_at: Instant | None


class DocumentMetadata(Struct, frozen=True, kw_only=True, rename="camel"):
    """The converted file, its engine and model, and the duration in the engine in milliseconds.

    ``fallback_from`` is left out unless another engine was wanted and could not do it.
    """

    model: str | None
    engine: str | None
    pages: int
    extracted_pages: int
    processing_time_ms: int
    file_name: str
    file_size: int
    mime_type: str
    fallback_from: EngineName | UnsetType = UNSET


class TokenUsage(Struct, frozen=True, kw_only=True):
    """Tokens of the conversion, estimated where the engine does not count them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class DocumentContent(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A converted document, ``content`` being its Markdown.

    ``warnings``, ``quality``, ``partial`` as in the status. ``pages`` is present if the engine
    reports on each page: its images, tables, links, size. An image with a ``name`` is at
    ``/api/documents/{id}/images/{name}``.
    """

    id: str
    content: str
    metadata: DocumentMetadata
    usage: TokenUsage
    download_url: str
    file_name: str
    created_at: Instant
    processed_at: Instant | None = None
    warnings: ConversionWarnings = ()
    quality: Quality | None = None
    partial: bool = False
    pages: list[PageResult] | None = None
    reference: ClientReference | None = None
    client_metadata: ClientMetadata | None = None


class SubmittedDocument(Struct, frozen=True, kw_only=True, rename="camel"):
    """A document of an accepted batch; its size in bytes, left out when it is yet to be fetched."""

    id: str
    file_name: str
    file_size: int | UnsetType = UNSET
    status: Literal["pending"] = "pending"
    reference: ClientReference | UnsetType = UNSET
    client_metadata: ClientMetadata | UnsetType = UNSET


class BatchSubmitted(Struct, frozen=True, kw_only=True, rename="camel"):
    """All documents of the batch are stored and will be converted; ask ``statusUrl``."""

    batch_id: str
    status: Literal["queued"] = "queued"
    total_documents: int
    documents: list[SubmittedDocument]
    created_at: Instant
    status_url: str
    reference: ClientReference | UnsetType = UNSET
    client_metadata: ClientMetadata | UnsetType = UNSET
    deadline: Instant | UnsetType = UNSET


class BatchProgress(Struct, frozen=True, kw_only=True, rename="camel"):
    """How many documents of a batch are in which state; together they are ``total``."""

    total: int
    pending: int
    processing: int
    completed: int
    failed: int


class BatchDocument(Struct, frozen=True, kw_only=True, rename="camel"):
    """A document of a batch; ``warnings``, ``quality`` and ``partial`` are those of its result."""

    id: str
    file_name: str
    status: DocumentState
    warnings: ConversionWarnings | UnsetType = UNSET
    quality: Quality | UnsetType = UNSET
    partial: bool | UnsetType = UNSET
    reference: ClientReference | UnsetType = UNSET
    client_metadata: ClientMetadata | UnsetType = UNSET


class BatchDocumentStatus(BatchDocument, frozen=True, kw_only=True, rename="camel"):
    """State of one document of a batch; ``error`` and ``code`` are the reason of a failure.

    ``progress``, ``position`` and ``eta_seconds`` as in the status of a document.
    """

    error: str | None
    code: str | None
    processed_at: Instant | None
    progress: PageProgress | UnsetType = UNSET
    position: int | UnsetType = UNSET
    eta_seconds: int | UnsetType = UNSET


class MistralStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """State of the batch at Mistral, as Mistral names it; the counts are those of its requests."""

    status: EngineJobStatus
    total_requests: int
    completed_requests: int
    failed_requests: int


class BatchStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """State of a batch. ``documents`` is left out unless requested.

    ``mistral_batch_job_id`` and ``mistral_status`` are there once it was handed over to Mistral.
    Until its end ``position`` is how many documents of the same tenant go before its first one, and
    ``eta_seconds`` an estimate of the time until its last one has ended, as far as they are known.
    """

    batch_id: str
    status: BatchState
    progress: BatchProgress
    created_at: Instant
    completed_at: Instant | None
    download_url: str | None
    documents: list[BatchDocumentStatus] | UnsetType = UNSET
    position: int | UnsetType = UNSET
    eta_seconds: int | UnsetType = UNSET
    mistral_batch_job_id: str | UnsetType = UNSET
    mistral_status: MistralStatus | UnsetType = UNSET
    reference: ClientReference | UnsetType = UNSET
    client_metadata: ClientMetadata | UnsetType = UNSET


class BatchLine(BatchDocument, frozen=True, kw_only=True, rename="camel"):
    """Result of one document of a batch, a line of its download.

    ``content`` (its Markdown, or another ``contentFormat``) and ``metadata`` are left out where
    there is none, ``code`` where nothing went wrong. Of a document that was removed afterwards
    only the line is left.
    """

    content: str | UnsetType = UNSET
    metadata: DocumentMetadata | UnsetType = UNSET
    error: str | None = None
    code: str | UnsetType = UNSET
    processed_at: Instant | None = None


class ManifestDocument(BatchDocument, frozen=True, kw_only=True, rename="camel"):
    """Result of one document of a batch; ``entry`` is its file in the archive.

    ``size`` and ``sha256`` are those of the Markdown, null where the file is of another format.
    """

    entry: str | None
    pages: int | None
    size: int | None
    sha256: str | None
    error: str | None
    code: str | None
    processed_at: Instant | None


class BatchManifest(Struct, frozen=True, kw_only=True, rename="camel"):
    """Contents of the ZIP archive of a batch: its ``manifest.json``."""

    batch_id: str
    status: BatchState
    progress: BatchProgress
    created_at: Instant
    completed_at: Instant | None
    documents: list[ManifestDocument]
    reference: ClientReference | UnsetType = UNSET
    client_metadata: ClientMetadata | UnsetType = UNSET


class DocumentChunk(Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of a document for retrieval, a line of the format ``chunks``.

    ``text`` is its Markdown, with the header of a table and the signs of a code block that it
    begins or ends in. ``start`` and ``end`` are where it stands in the Markdown of the document, in
    Unicode code points; each chunk starts where the one before it ends. ``page`` is its first page,
    counted from 1, ``pages`` its first and last; ``headings`` are those above it, the highest
    first. ``tokens`` is an estimate: a quarter of the bytes of ``text`` in UTF-8, rounded up.
    ``documentId`` is left out by the command line, which has ``fileName`` instead.
    """

    document_id: str | UnsetType = UNSET
    file_name: str | UnsetType = UNSET
    index: int
    page: int
    pages: Annotated[tuple[int, ...], Meta(min_length=2, max_length=2)]
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    tokens: int


class UploadUrl(Struct, frozen=True, kw_only=True, rename="camel"):
    """The URL to which the bytes are PUT. ``expiresIn`` is in seconds."""

    id: str
    upload_url: str
    s3_key: str
    expires_in: int


class UploadConfirmed(Struct, frozen=True, kw_only=True, rename="camel"):
    """The upload has arrived and its document will be converted."""

    id: str
    status: Literal["pending"] = "pending"
    message: str
