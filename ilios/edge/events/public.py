"""What HTTP clients are shown of an event of the log: a declared part of it, and never keys."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from bus.reader import LogPosition
from schemas.batches import BatchCompleted, BatchEvent, BatchProgressed, BatchSubmitted
from schemas.documents import (
    DocumentCompleted,
    DocumentEvent,
    DocumentFailed,
    DocumentRejected,
    DocumentSubmitted,
    LabelledEvent,
    clamp_seconds,
)
from schemas.event_replies import BatchEventData, DocumentEventData, EventName
from schemas.replies import format_instant
from schemas.states import DocumentState

_encode = msgspec.json.Encoder().encode

_STATES: dict[EventName, DocumentState] = {
    "document.submitted": "pending",
    "document.processing": "processing",
    "document.completed": "completed",
    "document.failed": "failed",
    "document.rejected": "failed",
    "document.cancelled": "cancelled",
    "document.deleted": "deleted",
}


class PublicEvent(Struct, frozen=True):
    """An event as clients receive it: its position on the log, its name, and its data as JSON."""

    position: LogPosition
    name: EventName
    data: bytes


def public_event(
    event: DocumentEvent | BatchEvent, name: EventName, position: LogPosition
) -> PublicEvent:
    """Return what clients are shown of an event with an effect of this name."""
    if isinstance(event, BatchEvent):
        data: Struct = _batch_data(event, position.stored_at)
    else:
        data = _document_data(event, name, position.stored_at)
    return PublicEvent(position, name, _encode(data))


def _document_data(event: DocumentEvent, name: EventName, at: datetime) -> DocumentEventData:
    status = _STATES[name]
    more: dict[str, Any] = {}
    match event:
        case DocumentSubmitted():
            status = "pending" if event.detected is None else "processing"
        case DocumentCompleted():
            more = {
                "file_name": event.file_name,
                "content_type": event.content_type,
                "pages": event.pages,
                "engine": event.engine,
                "model": event.model,
                "processing_time_ms": round(clamp_seconds(event.seconds) * 1000),
                "partial": event.partial,
                "fallback_from": event.fallback_from,
                "warnings": event.warnings,
                "quality": event.quality,
            }
        case DocumentFailed():
            more = {"code": event.code, "error": event.reason, "retryable": event.retryable}
        case DocumentRejected():
            more = {"code": event.code, "error": event.reason}
        case _:
            pass
    if isinstance(event, LabelledEvent):
        more |= _labels(event)
    return DocumentEventData(
        id=event.document_id,
        status=status,
        at=format_instant(at),
        attempt=event.requeues + 1,
        **more,
    )


def _batch_data(event: BatchEvent, at: datetime) -> BatchEventData:
    instant = format_instant(at)
    match event:
        case BatchSubmitted():
            return BatchEventData(
                batch_id=event.batch_id,
                status="pending",
                at=instant,
                total=len(event.documents),
                **_labels(event),
            )
        case BatchProgressed():
            return BatchEventData(
                batch_id=event.batch_id,
                status="processing",
                at=instant,
                total=event.total,
                completed=event.completed,
                failed=event.failed,
                mistral_status=event.status,
            )
        case BatchCompleted():
            return BatchEventData(
                batch_id=event.batch_id,
                status="failed" if event.failed == event.total else "completed",
                at=instant,
                total=event.total,
                completed=event.completed,
                failed=event.failed,
                **_labels(event),
            )
        case _:
            raise TypeError(f"{type(event).__name__} is not shown to clients")


def _labels(event: LabelledEvent | BatchSubmitted | BatchCompleted) -> dict[str, Any]:
    """Return the labels as the states of documents and batches have them."""
    return {"reference": event.reference, "client_metadata": event.metadata}
