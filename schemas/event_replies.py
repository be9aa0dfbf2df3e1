"""Events as HTTP clients receive them (server-sent events), and tickets to receive them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .batches import EngineJobStatus
from .labels import Metadata, Reference
from .options import EngineName
from .quality import ConversionWarnings, Quality
from .replies import BatchStatus, DocumentStatus, Instant
from .states import BatchState, DocumentState

EventName = Literal[
    "document.submitted",
    "document.processing",
    "document.completed",
    "document.failed",
    "document.rejected",
    "document.cancelled",
    "document.deleted",
    "batch.submitted",
    "batch.progressed",
    "batch.completed",
]
"""All events but ``reset``."""

ResetReason = Annotated[
    Literal["unknown_event_id", "log_ended"],
    Meta(description="The `Last-Event-ID` is none of this stream, or events after it are gone."),
]


class DocumentEventData(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What happened to a document.

    ``attempt`` is 1, and one more with each time a failed document was requeued. The members from
    ``fileName`` to ``quality`` are those of a completed document, ``code``, ``error`` and
    ``retryable`` those of a failed or rejected one.
    """

    id: str
    status: DocumentState
    at: Instant
    attempt: int
    reference: Reference | None = None
    client_metadata: Metadata | None = None
    file_name: str | None = None
    content_type: str | None = None
    pages: int | None = None
    engine: str | None = None
    model: str | None = None
    processing_time_ms: int | None = None
    partial: bool = False
    fallback_from: EngineName | None = None
    warnings: ConversionWarnings = ()
    quality: Quality | None = None
    code: str | None = None
    error: str | None = None
    retryable: bool = False


class BatchEventData(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What happened to a batch: the counts of its documents, or of its requests at Mistral."""

    batch_id: str
    status: BatchState
    at: Instant
    total: int
    completed: int | None = None
    failed: int | None = None
    mistral_status: EngineJobStatus | None = None
    reference: Reference | None = None
    client_metadata: Metadata | None = None


class ResetData(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Events may be missing before this one: what follows is the present state.

    ``document`` or ``batch`` is what the stream is about. On the stream of everything ``documents``
    are the newest ones, and ``more`` is whether the list of documents has others.
    """

    reason: ResetReason
    document: DocumentStatus | None = None
    batch: BatchStatus | None = None
    documents: list[DocumentStatus] | None = None
    more: bool = False


class EventTicket(Struct, frozen=True, kw_only=True, rename="camel"):
    """A ticket for one stream of events, and the URL of the stream with it."""

    ticket: str
    url: str
    expires_at: Instant
