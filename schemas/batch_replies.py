"""JSON replies about batches; members as in ``replies``.

A member without a value yet is null, unless its description says that it is left out.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from .batches import EngineJobStatus
from .replies import DocumentMetadata, Instant
from .states import BatchState, DocumentState


class SubmittedDocument(Struct, frozen=True, kw_only=True, rename="camel"):
    """A document of an accepted batch; its size in bytes, left out when it is yet to be fetched."""

    id: str
    file_name: str
    file_size: int | UnsetType = UNSET
    status: Literal["pending"] = "pending"


class BatchSubmitted(Struct, frozen=True, kw_only=True, rename="camel"):
    """All documents of the batch are stored and will be converted; ask ``statusUrl``."""

    batch_id: str
    status: Literal["queued"] = "queued"
    total_documents: int
    documents: list[SubmittedDocument]
    created_at: Instant
    status_url: str


class BatchProgress(Struct, frozen=True, kw_only=True, rename="camel"):
    """How many documents of a batch are in which state; together they are ``total``."""

    total: int
    pending: int
    processing: int
    completed: int
    failed: int


class BatchDocumentStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far one document of a batch is; ``error`` and ``code`` give the reason why it failed."""

    id: str
    file_name: str
    status: DocumentState
    error: str | None
    code: str | None
    processed_at: Instant | None


class MistralStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far Mistral's own batch is, as Mistral names it; the counts are those of its requests."""

    status: EngineJobStatus
    total_requests: int
    completed_requests: int
    failed_requests: int


class BatchStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a batch is. ``documents`` is left out unless it was asked for.

    ``mistral_batch_job_id`` and ``mistral_status`` are there once it was handed over to Mistral.
    """

    batch_id: str
    status: BatchState
    progress: BatchProgress
    created_at: Instant
    completed_at: Instant | None
    download_url: str | None
    documents: list[BatchDocumentStatus] | UnsetType = UNSET
    mistral_batch_job_id: str | UnsetType = UNSET
    mistral_status: MistralStatus | UnsetType = UNSET


class BatchLine(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of one document of a batch, a line of its download.

    ``content`` (its Markdown) and ``metadata`` are left out where there is none, ``code`` where
    nothing went wrong. Of a document that was removed afterwards only the line is left.
    """

    id: str
    file_name: str
    status: DocumentState
    content: str | UnsetType = UNSET
    metadata: DocumentMetadata | UnsetType = UNSET
    error: str | None = None
    code: str | UnsetType = UNSET
    processed_at: Instant | None = None


class ManifestDocument(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of one document of a batch; ``entry`` is its Markdown in the archive.

    ``size`` and ``sha256`` are those of the Markdown.
    """

    id: str
    file_name: str
    status: DocumentState
    entry: str | None
    pages: int | None
    size: int | None
    sha256: str | None
    error: str | None
    code: str | None
    processed_at: Instant | None


class BatchManifest(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is in the ZIP archive of a batch: its ``manifest.json``."""

    batch_id: str
    status: BatchState
    progress: BatchProgress
    created_at: Instant
    completed_at: Instant | None
    documents: list[ManifestDocument]
