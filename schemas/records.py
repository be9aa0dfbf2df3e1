"""Rows of the database as values: documents, batches and usage."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from .batches import EngineJobStatus
from .documents import Blob, Operation, RemovalCause
from .options import NO_OPTIONS, ConversionOptions, EngineName
from .quality import ConversionWarnings, Quality
from .states import BatchState, DocumentState


class QueuedDocument(Struct, frozen=True):
    """An unfinished document as far as it matters to its place in the queue.

    ``sequence`` is that of its submission on the log; ``size`` is in bytes, 0 if unknown.
    """

    tenant: str
    document_id: str
    priority: int
    sequence: int
    content_type: str
    size: int
    engine: EngineName | None = None

    @property
    def name(self) -> tuple[str, str]:
        """Its tenant and its id."""
        return self.tenant, self.document_id


class DocumentRecord(Struct, frozen=True, kw_only=True):
    """A document in the state that the applied events give it. Times are UTC.

    ``original`` is set once the bytes are in the blob store, ``markdown`` and the figures after it
    once the document is completed, ``code`` and ``reason`` once it has failed or was cancelled. The
    bytes of a removed document (``removed_at``, ``removal``) are erased soon, ``erased_at`` is
    when. ``requeues`` is how often it had failed and was requeued, ``result`` what the engine
    reports of its pages, ``held`` whether it waits for a batch of its engine. ``reference`` and
    ``metadata`` are the client's own, until the document is removed.
    """

    tenant: str
    document_id: str
    state: DocumentState
    file_name: str
    content_type: str
    file_size: int | None
    priority: int
    retention_days: int
    operation: Operation
    submitted_at: datetime
    finished_at: datetime | None = None
    original: Blob | None = None
    markdown: Blob | None = None
    pages: int | None = None
    engine: str | None = None
    model: str | None = None
    seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    code: str | None = None
    reason: str | None = None
    retryable: bool | None = None
    batch_id: str | None = None
    fingerprint: str | None = None
    archived_at: datetime | None = None
    removed_at: datetime | None = None
    removal: RemovalCause | None = None
    erased_at: datetime | None = None
    original_sha256: str | None = None
    requeues: int = 0
    options: ConversionOptions = NO_OPTIONS
    held: bool = False
    result: Blob | None = None
    fallback_from: EngineName | None = None
    warnings: ConversionWarnings = ()
    quality: Quality | None = None
    partial: bool = False
    reference: str | None = None
    metadata: dict[str, Any] | None = None
    deadline: datetime | None = None


class HistoryStep(Struct, frozen=True, kw_only=True):
    """Something that happened to a document, when it had been requeued ``requeues`` times.

    ``attempts``, ``code`` and ``reason`` are those of a failure.
    """

    event: str
    requeues: int
    at: datetime
    attempts: int | None = None
    code: str | None = None
    reason: str | None = None


class DocumentHistory(Struct, frozen=True, kw_only=True):
    """What is recorded of a document, in no order, and its cost in millionths of a US dollar."""

    steps: tuple[HistoryStep, ...]
    total_micros: int | None = None


class BatchCounts(Struct, frozen=True, kw_only=True):
    """Counts of the documents of a batch by state; computed when read, not stored.

    Documents archived or deleted after their end count as they ended, cancelled ones as failed.
    """

    total: int = 0
    pending: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether every document has ended."""
        return self.completed + self.failed == self.total

    @property
    def state(self) -> BatchState:
        """The state of the batch as a whole."""
        if self.is_finished:
            return "failed" if self.failed == self.total else "completed"
        return "processing" if self.completed + self.failed else "pending"


class EngineBatch(Struct, frozen=True, kw_only=True):
    """State of the batch at the engine; ``job`` is None until the engine has accepted it."""

    job: str | None = None
    status: EngineJobStatus | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchRecord(Struct, frozen=True, kw_only=True):
    """A batch in the state that the applied events give it. Times are UTC."""

    tenant: str
    batch_id: str
    priority: int
    retention_days: int
    submitted_at: datetime
    progress: BatchCounts
    completed_at: datetime | None = None
    fingerprint: str | None = None
    engine_batch: EngineBatch | None = None
    reference: str | None = None
    metadata: dict[str, Any] | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """Sums over operations; ``total_micros`` is their cost in millionths of a US dollar."""

    operations: int
    pages: int
    input_tokens: int
    output_tokens: int
    total_micros: int


class UsageTotal(Usage, frozen=True, kw_only=True):
    """The usage of a tenant, and how many different documents it was for."""

    documents: int


class OperationUsage(Usage, frozen=True, kw_only=True):
    """The usage of one operation."""

    operation: str
