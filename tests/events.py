"""Events for tests: whole histories of documents, true to form."""

from datetime import UTC, datetime

from msgspec import structs

from actors.writes import LogEntry
from schemas.batches import BatchDocument, BatchSubmitted, document_id
from schemas.documents import (
    AnyDocumentEvent,
    Blob,
    DocumentArchived,
    DocumentCancelled,
    DocumentCompleted,
    DocumentConverted,
    DocumentDeleted,
    DocumentFailed,
    DocumentFetched,
    DocumentRejected,
    DocumentSubmitted,
    Inline,
    RemovalCause,
    Source,
)
from schemas.events import AnyEvent
from schemas.imports import BatchImported, DocumentImported, ImportedUsage
from schemas.quality import Quality
from schemas.warnings import MESSAGES, ConversionWarning

SHA256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
SUBMITTED_AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
COMPLETED_AT = datetime(2026, 1, 15, 10, 31, tzinfo=UTC)


def rejected(number: int = 1, *, sequence: int = 1) -> DocumentRejected:
    return DocumentRejected(
        document_id=id_of(number), sequence=sequence, reason="The event is invalid."
    )


def id_of(number: int) -> str:
    """Return the id of the ``number``-th document."""
    return f"document{number:016d}"


def submitted(
    number: int = 1,
    *,
    source: Source | None = None,
    priority: int = 5,
    tenant: str = "default",
    file_name: str = "hello.txt",
    submitted_at: datetime | None = SUBMITTED_AT,
) -> DocumentSubmitted:
    return DocumentSubmitted(
        document_id=id_of(number),
        tenant=tenant,
        priority=priority,
        source=source or Inline(b"foo"),
        file_name=file_name,
        content_type="text/plain",
        submitted_at=submitted_at,
    )


def fetched(
    number: int = 1, *, key: str = "original", priority: int = 5, tenant: str = "default"
) -> DocumentFetched:
    return DocumentFetched(
        document_id=id_of(number),
        tenant=tenant,
        priority=priority,
        original=Blob(key, 3, SHA256),
        content_type="application/pdf",
    )


UNREADABLE = (ConversionWarning("page_unreadable", MESSAGES["page_unreadable"], (2,)),)
HALF = Quality(score=0.5, lowest=0.0, conservation=0.99, recognised=1, unreadable=1)


def converted(
    number: int = 1,
    *,
    pages: int = 3,
    key: str = "markdown",
    unreadable: bool = False,
    partial: bool = False,
) -> DocumentConverted:
    return DocumentConverted(
        partial=partial,
        warnings=UNREADABLE if unreadable else (),
        quality=HALF if unreadable else None,
        document_id=id_of(number),
        markdown=Blob(key, 9, SHA256),
        pages=pages,
        engine="local",
        model="none",
        seconds=0.5,
        input_tokens=12,
        output_tokens=34,
    )


def completed(number: int = 1) -> DocumentCompleted:
    return DocumentCompleted(
        document_id=id_of(number),
        file_name="hello.txt",
        content_type="application/pdf",
        original=Blob("original", 3, SHA256),
        markdown=Blob("markdown", 9, SHA256),
        pages=3,
        engine="local",
        model="none",
        seconds=0.5,
        input_tokens=12,
        output_tokens=34,
        submitted_at=SUBMITTED_AT,
        completed_at=COMPLETED_AT,
    )


def failed(number: int = 1, *, code: str = "corrupt", reason: str = "It is.") -> DocumentFailed:
    return DocumentFailed(document_id=id_of(number), code=code, reason=reason, attempts=2)


def imported(number: int = 1) -> DocumentImported:
    return DocumentImported(
        document_id=id_of(number),
        file_name="paper.pdf",
        content_type="application/pdf",
        submitted_at=SUBMITTED_AT,
        finished_at=COMPLETED_AT,
        batch_id="batch0000000000000000001",
        original=Blob("original", 3, SHA256),
        markdown=Blob("markdown", 9, SHA256),
        usage=ImportedUsage(
            created_at=COMPLETED_AT,
            input_tokens=12,
            unit_micros=20_000,
            base_micros=60_000,
            margin_percent=30,
            total_micros=78_000,
        ),
        pages=3,
        engine="mistral",
        model="mistral-ocr-latest",
        seconds=0.5,
    )


def imported_failure(number: int = 1) -> DocumentImported:
    return DocumentImported(
        document_id=id_of(number),
        submitted_at=SUBMITTED_AT,
        finished_at=COMPLETED_AT,
        code="imported_failure",
        reason="It is.",
    )


def imported_batch() -> BatchImported:
    return BatchImported(
        batch_id="batch0000000000000000001",
        submitted_at=SUBMITTED_AT,
        completed_at=COMPLETED_AT,
        priority=8,
    )


def cancelled(number: int = 1) -> DocumentCancelled:
    return DocumentCancelled(document_id=id_of(number))


def archived(number: int = 1) -> DocumentArchived:
    return DocumentArchived(document_id=id_of(number), original=Blob("archive/original", 3, SHA256))


def deleted(number: int = 1, *, cause: RemovalCause = "requested") -> DocumentDeleted:
    return DocumentDeleted(document_id=id_of(number), cause=cause)


def requeued(event: AnyDocumentEvent, times: int = 1) -> AnyDocumentEvent:
    """Return the event of a document that was requeued so often."""
    return structs.replace(event, requeues=times)


def batch(number: int, documents: int, *, tenant: str = "default") -> BatchSubmitted:
    """Return a batch of so many documents, each with other bytes."""
    batch_id = f"batch{number:019d}"
    return BatchSubmitted(
        batch_id=batch_id,
        tenant=tenant,
        submitted_at=SUBMITTED_AT,
        documents=tuple(
            BatchDocument(
                document_id=document_id(batch_id, place),
                source=Inline(f"document {place}".encode()),
                file_name=f"{place}.txt",
            )
            for place in range(1, documents + 1)
        ),
    )


def entry(sequence: int, event: AnyEvent) -> LogEntry:
    """Return the log entry of ``event``, stored in its sequence-th second."""
    return LogEntry(sequence, datetime.fromtimestamp(1_768_473_000 + sequence, UTC), event)
