"""What the database knows, as the edge reads it: a projection of the log, record by document."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from .documents import Blob, Operation

DocumentState = Literal["pending", "processing", "completed", "failed", "archived"]


class DocumentRecord(Struct, frozen=True, kw_only=True):
    """A document as far as the log has been applied. Times are UTC.

    ``original`` is known once the document was fetched, ``markdown`` and the figures after it once
    it is completed, ``code`` and ``reason`` once it has failed.
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
