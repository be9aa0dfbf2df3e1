"""What the database knows, as the edge reads it: a projection of the log, record by document."""

from datetime import datetime

from msgspec import Struct

from .batches import EngineJobStatus
from .documents import Blob, Operation, RemovalCause
from .options import NO_OPTIONS, ConversionOptions, EngineName
from .states import BatchState, DocumentState


class DocumentRecord(Struct, frozen=True, kw_only=True):
    """A document as far as the log has been applied. Times are UTC.

    ``original`` is known once the bytes lie in the blob store, ``markdown`` and the figures after
    it once it is completed, ``code`` and ``reason`` once it has failed or was cancelled. Of a
    removed document (``removed_at``, ``removal``) the bytes are gone or about to go; ``erased_at``
    says since when. ``requeues`` is how often it had failed and was tried again, ``result`` what
    the engine tells of its pages, ``held`` whether it waits for a batch of its engine's.
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


class BatchCounts(Struct, frozen=True, kw_only=True):
    """How many of a batch's documents are how far: always counted, never kept.

    What was archived or deleted after its end counts as it ended; what was cancelled, as failed.
    """

    total: int = 0
    pending: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether every document has."""
        return self.completed + self.failed == self.total

    @property
    def state(self) -> BatchState:
        """What the batch as a whole is."""
        if self.is_finished:
            return "failed" if self.failed == self.total else "completed"
        return "processing" if self.completed + self.failed else "pending"


class EngineBatch(Struct, frozen=True, kw_only=True):
    """How far the engine's own batch is; ``job`` is None until the documents are handed over."""

    job: str | None = None
    status: EngineJobStatus | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchRecord(Struct, frozen=True, kw_only=True):
    """A batch as far as the log has been applied. Times are UTC."""

    tenant: str
    batch_id: str
    priority: int
    retention_days: int
    submitted_at: datetime
    progress: BatchCounts
    completed_at: datetime | None = None
    fingerprint: str | None = None
    engine_batch: EngineBatch | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """How many operations there were, and their sums; ``total_micros`` is what they cost."""

    operations: int
    pages: int
    input_tokens: int
    output_tokens: int
    total_micros: int


class UsageTotal(Usage, frozen=True, kw_only=True):
    """The usage of a tenant, and how many different documents it was for."""

    documents: int


class OperationUsage(Usage, frozen=True, kw_only=True):
    """The share of one operation."""

    operation: str
