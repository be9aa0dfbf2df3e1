"""Events of an import: documents and batches that another service has processed and billed.

They carry facts that happened elsewhere and earlier, with their times and prices, so that a
database that is made from the log again has them.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from .batches import BatchEvent, BatchId
from .documents import (
    DEFAULT_CONTENT_TYPE,
    DEFAULT_PRIORITY,
    DEFAULT_RETENTION_DAYS,
    Blob,
    ContentType,
    DocumentEvent,
    FileName,
    Operation,
    Pages,
    Priority,
    RetentionDays,
    Tokens,
    reject_implausible,
)

Micros = Annotated[int, Meta(ge=0, le=10**15)]
"""Millionths of a US dollar; the limit keeps sums below 64 bits."""


class ImportedUsage(Struct, frozen=True, kw_only=True):
    """The bill of a document, as it was made when it was converted."""

    created_at: datetime
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    unit_micros: Micros = 0
    base_micros: Micros = 0
    margin_percent: Annotated[int, Meta(ge=0, le=100_000)] = 0
    total_micros: Micros = 0


class DocumentImported(DocumentEvent, frozen=True, kw_only=True, tag="document.imported/1"):
    """A document that has ended elsewhere: with ``markdown`` and ``usage``, or with a ``code``.

    It has no effect on a document of this id that exists.
    """

    file_name: FileName = "document"
    content_type: ContentType = DEFAULT_CONTENT_TYPE
    retention_days: RetentionDays = DEFAULT_RETENTION_DAYS
    operation: Operation = "convert"
    submitted_at: datetime
    finished_at: datetime
    batch_id: BatchId | None = None
    original: Blob | None = None
    markdown: Blob | None = None
    usage: ImportedUsage | None = None
    pages: Pages = 0
    engine: str = ""
    model: str = ""
    seconds: float = 0.0
    code: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """Reject times out of bounds, and an end that is neither of the two.

        :raises ValueError: with a sentence for the publisher.
        """
        reject_implausible("submitted_at", self.submitted_at)
        reject_implausible("finished_at", self.finished_at)
        completed = self.markdown is not None
        if completed != (self.usage is not None) or completed == (self.code is not None):
            raise ValueError("an imported document has markdown and usage, or a code")


class BatchImported(BatchEvent, frozen=True, kw_only=True, tag="batch.imported/1"):
    """A batch of imported documents, which name it themselves."""

    submitted_at: datetime
    priority: Priority = DEFAULT_PRIORITY
    retention_days: RetentionDays = DEFAULT_RETENTION_DAYS
    completed_at: datetime | None = None

    def __post_init__(self) -> None:
        """Reject times out of bounds.

        :raises ValueError: with a sentence for the publisher.
        """
        reject_implausible("submitted_at", self.submitted_at)
        reject_implausible("completed_at", self.completed_at)


AnyImportEvent = DocumentImported | BatchImported
