"""Events about batches: documents that were submitted together.

The ids of its documents begin with the id of the batch. So the batch is found from the id of a
document, and no document of another owner can become part of a batch.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from .documents import (
    DEFAULT_CONTENT_TYPE,
    DEFAULT_PRIORITY,
    DEFAULT_RETENTION_DAYS,
    ContentType,
    DocumentId,
    DocumentSubmitted,
    FileName,
    Priority,
    RetentionDays,
    Sha256,
    Source,
    Tenant,
    fold_former_members,
    reject_implausible,
)
from .labels import Metadata, Reference, check_metadata
from .options import NO_OPTIONS, ConversionOptions, EngineName, Model

MAX_BATCH_DOCUMENTS = 100

BatchId = Annotated[str, Meta(pattern=r"^[a-z0-9]{20,27}\Z")]


EngineJobId = Annotated[str, Meta(min_length=1, max_length=200)]
EngineJobStatus = Literal[
    "QUEUED",
    "RUNNING",
    "SUCCESS",
    "FAILED",
    "TIMEOUT_EXCEEDED",
    "CANCELLATION_REQUESTED",
    "CANCELLED",
]
TERMINAL_JOB_STATUSES = frozenset({"SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"})
"""The job has ended, and its results can be read."""
RequestCount = Annotated[int, Meta(ge=0, le=1_000_000)]


class BatchDocument(Struct, frozen=True, kw_only=True):
    """One document of a batch; ``document_id`` begins with the batch's id."""

    document_id: DocumentId
    source: Source
    file_name: FileName = "document"
    content_type: ContentType = DEFAULT_CONTENT_TYPE
    reference: Reference | None = None
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        """Reject metadata out of bounds.

        :raises ValueError: with a sentence for the publisher.
        """
        check_metadata(self.metadata)


class BatchEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Members of every event about a batch; ``tenant`` and ``batch_id`` identify it together."""

    batch_id: BatchId
    tenant: Tenant = "default"


class BatchSubmitted(BatchEvent, frozen=True, kw_only=True, tag="batch.submitted/1"):
    """Documents were submitted for conversion, all of them or none.

    ``submitted_at``, ``fingerprint`` and ``options`` (and the members of former versions) as with
    a document, and the ``deadline`` is that of each. ``engine_batch`` has them converted in one
    batch of the engine, which is cheaper and takes longer. ``reference`` and ``metadata`` are those
    of the batch; its documents have their own.
    """

    documents: Annotated[
        tuple[BatchDocument, ...], Meta(min_length=1, max_length=MAX_BATCH_DOCUMENTS)
    ]
    priority: Priority = DEFAULT_PRIORITY
    retention_days: RetentionDays = DEFAULT_RETENTION_DAYS
    submitted_at: datetime | None = None
    fingerprint: Sha256 | None = None
    options: ConversionOptions = NO_OPTIONS
    former_engine: EngineName | None = field(default=None, name="engine")
    former_model: Model | None = field(default=None, name="model")
    engine_batch: bool = False
    deadline: datetime | None = None
    reference: Reference | None = None
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        """Reject a time that no publisher can mean, and metadata out of bounds.

        :raises ValueError: with a sentence for the publisher.
        """
        fold_former_members(self)
        check_metadata(self.metadata)
        reject_implausible("deadline", self.deadline)
        reject_implausible("submitted_at", self.submitted_at)


class BatchProgressed(BatchEvent, frozen=True, kw_only=True, tag="batch.progressed/1"):
    """The state of the batch at the engine, first published when the engine has accepted it.

    ``job`` and ``status`` are those of the engine; the counts are those of its requests.
    """

    job: EngineJobId
    status: EngineJobStatus
    total: RequestCount = 0
    completed: RequestCount = 0
    failed: RequestCount = 0


class BatchCompleted(BatchEvent, frozen=True, kw_only=True, tag="batch.completed/1"):
    """Every document of the batch has ended; published once, with the counts of its documents."""

    total: int
    completed: int
    failed: int
    reference: Reference | None = None
    metadata: Metadata | None = None


AnyBatchEvent = BatchSubmitted | BatchProgressed | BatchCompleted


def document_id(batch_id: str, number: int) -> str:
    """Return the id of the ``number``-th document (from 1) of a batch."""
    return f"{batch_id}{number:03d}"


def batch_id_of(document_id: str) -> str | None:
    """Return the id of the batch a document of this id can belong to, or None.

    It works for ids made by ``new_id`` and ``document_id``; publishers may choose other forms.
    """
    return document_id[:24] if len(document_id) == 27 else None


def document_submissions(batch: BatchSubmitted) -> Iterator[DocumentSubmitted]:
    """Return the submission of each document of the batch, in its order."""
    for document in batch.documents:
        yield DocumentSubmitted(
            document_id=document.document_id,
            tenant=batch.tenant,
            priority=batch.priority,
            source=document.source,
            file_name=document.file_name,
            content_type=document.content_type,
            retention_days=batch.retention_days,
            submitted_at=batch.submitted_at,
            options=batch.options,
            held=batch.engine_batch,
            reference=document.reference,
            metadata=document.metadata,
            deadline=batch.deadline,
        )


def find_submission(batch: BatchSubmitted, document_id: str) -> DocumentSubmitted | None:
    """Return the submission of a document of the batch, or None for any other document."""
    submissions = document_submissions(batch)
    return next((one for one in submissions if one.document_id == document_id), None)
