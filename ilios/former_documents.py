"""Translation of rows of the original service into events of an import."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from bus import codec, subjects
from ilios.api_keys import tenant_of
from ilios.database.original import OriginalBatch, OriginalBill, OriginalDocument
from schemas.documents import (
    DEFAULT_CONTENT_TYPE,
    DEFAULT_PRIORITY,
    DEFAULT_RETENTION_DAYS,
    Blob,
    Operation,
    clamp_seconds,
)
from schemas.ids import DEFAULT_TENANT, is_id
from schemas.imports import BatchImported, DocumentImported, ImportedUsage

ENGINE, MODEL = "mistral", "mistral-ocr-latest"
PAGE_SEPARATOR = "\n\n---\n\n"
FAILED, UNFINISHED = "failed_before_import", "unfinished_before_import"
UNFINISHED_REASON = "The document was not converted before it was imported; submit it again."
NO_CONTENT_REASON = "The document was completed without content before it was imported."
MICROS_PER_CENT = 10_000
MAX_REASON_CHARS = 500
MAX_NAME_CHARS = 255
MAX_RETENTION_DAYS = 3650
_MILLISECONDS_FROM = 10**11  # as seconds it would be in the year 5138
_IMMEDIATE_KEYS = "convert/"
_UNFINISHED_STATES = ("pending", "processing")


_E = TypeVar("_E", BatchImported, DocumentImported)


class NotImportable(ValueError):
    """A row cannot become an event; the message has the reason."""


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse a row with values that an event cannot have: SQLite checks no types.

    :raises NotImportable: it has.
    """
    try:
        yield
    except NotImportable:
        raise
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise NotImportable(str(error)) from error


def tenant_of_row(api_key: str | None) -> str:
    """Return the tenant of a row, as that of a request with this key."""
    return tenant_of(api_key) if api_key else DEFAULT_TENANT


def is_completed(document: OriginalDocument) -> bool:
    """Whether the document has content: the original marked some of these as failed."""
    return document.content is not None


def is_unfinished(document: OriginalDocument) -> bool:
    """Whether the original had not ended the document."""
    return not is_completed(document) and document.status in _UNFINISHED_STATES


def check_id(name: str) -> str:
    """Return an id that can be used here, too.

    :raises NotImportable: it cannot.
    """
    if not is_id(name):
        raise NotImportable("its id is not 20 to 30 characters of a-z and 0-9")
    return name


@_refusing()
def batch_event(batch: OriginalBatch) -> BatchImported:
    """Return the event of a batch.

    :raises NotImportable: a value is out of bounds.
    """
    return _build(
        BatchImported,
        batch_id=check_id(batch.id),
        tenant=tenant_of_row(batch.api_key),
        priority=min(max(batch.priority or DEFAULT_PRIORITY, 1), 10),
        submitted_at=_time(batch.created_at),
        completed_at=None if batch.completed_at is None else _time(batch.completed_at),
    )


@_refusing()
def document_event(
    document: OriginalDocument, original: Blob | None, markdown: Blob | None
) -> DocumentImported:
    """Return the event of a document whose bytes are stored.

    :raises NotImportable: a value is out of bounds.
    """
    created = _time(document.created_at)
    ended = max(created, _time(document.processed_at or document.created_at))
    days = document.retention_days or DEFAULT_RETENTION_DAYS
    end = _failure(document)
    if markdown is not None:
        end = _completion(document, markdown, ended)
    return _build(
        DocumentImported,
        document_id=check_id(document.id),
        tenant=tenant_of_row(document.api_key),
        file_name=str(document.file_name)[:MAX_NAME_CHARS] or "document",
        content_type=str(document.mime_type)[:MAX_NAME_CHARS] or DEFAULT_CONTENT_TYPE,
        retention_days=min(max(days, 1), MAX_RETENTION_DAYS),
        operation=_operation(document),
        submitted_at=created,
        finished_at=ended,
        batch_id=document.batch_id,
        original=original,
        **end,
    )


def _completion(document: OriginalDocument, markdown: Blob, ended: datetime) -> dict[str, Any]:
    metadata = _metadata(document.metadata)
    content = document.content or ""
    pages = _number(metadata, "extractedPages", "pages") or content.count(PAGE_SEPARATOR) + 1
    return {
        "markdown": markdown,
        "pages": pages,
        "engine": ENGINE,
        "model": str(metadata.get("model") or MODEL),
        "seconds": clamp_seconds(_number(metadata, "processingTimeMs") / 1000),
        "usage": _usage(document.bill, pages, ended),
    }


def _failure(document: OriginalDocument) -> dict[str, Any]:
    if is_unfinished(document):
        return {"code": UNFINISHED, "reason": UNFINISHED_REASON}
    return {"code": FAILED, "reason": (document.error or NO_CONTENT_REASON)[:MAX_REASON_CHARS]}


def _usage(bill: OriginalBill, pages: int, ended: datetime) -> ImportedUsage:
    base = int(bill.base_cents) * MICROS_PER_CENT
    return ImportedUsage(
        created_at=ended if bill.created_at is None else _time(bill.created_at),
        input_tokens=int(bill.input_tokens),
        output_tokens=int(bill.output_tokens),
        unit_micros=base // max(pages, 1),
        base_micros=base,
        margin_percent=int(bill.margin or 0),
        total_micros=int(bill.total_cents) * MICROS_PER_CENT,
    )


def _operation(document: OriginalDocument) -> Operation:
    immediate = document.bill.operation == "convert-immediate"
    if immediate or document.s3_key.startswith(_IMMEDIATE_KEYS):
        return "convert-immediate"
    return "convert"


def _metadata(text: str | None) -> dict[str, Any]:
    """Return the metadata of a document, empty where it is no JSON object."""
    try:
        found = msgspec.json.decode(text or "{}")
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(metadata: dict[str, Any], *names: str) -> int:
    """Return the first of these members that is a positive number, rounded; 0 without one."""
    for name in names:
        value = metadata.get(name)
        if isinstance(value, int | float) and 0 < value < 10**9:
            return round(value)
    return 0


def _time(value: int) -> datetime:
    seconds = value / 1000 if value >= _MILLISECONDS_FROM else value
    return datetime.fromtimestamp(seconds, UTC)


def _build(kind: type[_E], **members: Any) -> _E:  # noqa: ANN401  # checked by the struct
    """Return an event that a reader of the log accepts."""
    event = kind(**members)
    codec.decode(subjects.subject_for(event), codec.encode(event))
    return event
