"""Conversion of rows to records and back: the order and the units of columns."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from actors.writes import ClockReading, ClockState, Hold
from schemas.documents import Blob, DocumentCompleted, DocumentConverted, clamp_seconds
from schemas.options import (
    NO_OPTIONS,
    ConversionOptions,
    UnsupportedOptions,
    options_from_json,
    options_to_json,
)
from schemas.quality import ConversionWarnings, Quality
from schemas.records import (
    BatchCounts,
    BatchRecord,
    DocumentRecord,
    EngineBatch,
    HistoryStep,
    QueuedDocument,
)

_warnings = msgspec.json.Decoder(ConversionWarnings)
_quality = msgspec.json.Decoder(Quality)
_metadata = msgspec.json.Decoder(dict[str, Any])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
EARLIEST = _FIRST
"""The earliest time in milliseconds."""
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
LATEST = _LAST
"""The latest time in milliseconds."""


def to_milliseconds(time: datetime) -> int:
    """Return UTC milliseconds since 1970; a time without a zone counts as UTC.

    A time outside the years 1 to 9999 in UTC is moved to their limit: it could be stored, but not
    be read again.
    """
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return min(max((aware - _EPOCH) // _MILLISECOND, _FIRST), _LAST)


def from_milliseconds(value: int) -> datetime:
    """Return the UTC time of milliseconds since 1970."""
    return _EPOCH + value * _MILLISECOND


def _optional_time(value: int | None) -> datetime | None:
    return None if value is None else from_milliseconds(value)


def duration_milliseconds(value: timedelta) -> int:
    """Return a duration in whole milliseconds."""
    return value // _MILLISECOND


def clock_state(row: Sequence[Any]) -> ClockState:
    """Read a row of ``statements.CLOCK_STATE``."""
    believed_at, believed_ran, seen_at, seen_ran, held_since, held_ahead = row
    return ClockState(
        trusted=_clock_reading(believed_at, believed_ran),
        latest=_clock_reading(seen_at, seen_ran),
        hold=None
        if held_since is None
        else Hold(held_since * _MILLISECOND, held_ahead * _MILLISECOND),
    )


def _clock_reading(at: int | None, ran: int | None) -> ClockReading | None:
    return (
        None
        if at is None or ran is None
        else ClockReading(from_milliseconds(at), ran * _MILLISECOND)
    )


def clock_parameters(state: ClockState) -> dict[str, object]:
    """Return the parameters of ``statements.MARK_CLOCK``."""
    believed, seen, hold = state.trusted, state.latest, state.hold
    return {
        "believed_ran": duration_milliseconds(believed.running_time) if believed else None,
        "seen_at": to_milliseconds(seen.wall_time) if seen else None,
        "seen_ran": duration_milliseconds(seen.running_time) if seen else None,
        "held_since": duration_milliseconds(hold.since) if hold else None,
        "held_ahead": duration_milliseconds(hold.ahead) if hold else None,
    }


def history_step(row: Sequence[Any]) -> HistoryStep:
    """Read a row of ``history.OF_DOCUMENT``."""
    event, requeues, at, attempts, code, reason = row
    return HistoryStep(
        event=event,
        requeues=requeues,
        at=from_milliseconds(at),
        attempts=attempts,
        code=code,
        reason=reason,
    )


def document_record(row: Sequence[Any]) -> DocumentRecord:
    """Read a row of ``statements.DOCUMENT``."""
    (
        tenant, document_id, state, file_name, content_type, file_size, priority,
        retention_days, operation, submitted_at, finished_at, original_key,
        original_sha256, markdown_key, markdown_size, markdown_sha256, pages, engine,
        model, seconds, input_tokens, output_tokens, code, reason, retryable, batch_id,
        fingerprint, archived_at, removed_at, removal, erased_at, requeues,
        options, held, result_key, result_size, result_sha256, fallback_from,
        warnings, quality, partial, reference, metadata, deadline,
    ) = row  # fmt: skip
    return DocumentRecord(
        tenant=tenant,
        document_id=document_id,
        state=state,
        file_name=file_name,
        content_type=content_type,
        file_size=file_size,
        priority=priority,
        retention_days=retention_days,
        operation=operation,
        submitted_at=from_milliseconds(submitted_at),
        finished_at=_optional_time(finished_at),
        original=Blob(original_key, file_size, original_sha256) if original_key else None,
        markdown=Blob(markdown_key, markdown_size, markdown_sha256) if markdown_key else None,
        pages=pages,
        engine=engine,
        model=model,
        seconds=None if seconds is None else clamp_seconds(seconds),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        code=code,
        reason=reason,
        retryable=None if retryable is None else bool(retryable),
        batch_id=batch_id,
        fingerprint=fingerprint,
        archived_at=_optional_time(archived_at),
        removed_at=_optional_time(removed_at),
        removal=removal,
        erased_at=_optional_time(erased_at),
        original_sha256=original_sha256,
        requeues=requeues,
        options=_options(options),
        held=bool(held),
        result=Blob(result_key, result_size, result_sha256) if result_key else None,
        fallback_from=fallback_from,
        warnings=() if warnings is None else _warnings.decode(warnings),
        quality=None if quality is None else _quality.decode(quality),
        partial=bool(partial),
        reference=reference,
        metadata=_optional_metadata(metadata),
        deadline=_optional_time(deadline),
    )


def assessment_columns(event: DocumentConverted) -> dict[str, str | None]:
    """Return the JSON of warnings and quality for their columns; None where there are none."""
    warnings, quality = event.warnings, event.quality
    return {
        "warnings": msgspec.json.encode(warnings).decode() if warnings else None,
        "quality": msgspec.json.encode(quality).decode() if quality else None,
    }


class _Labelled(Protocol):
    @property
    def reference(self) -> str | None: ...
    @property
    def metadata(self) -> dict[str, Any] | None: ...


def label_columns(labelled: _Labelled) -> dict[str, str | None]:
    """Return the reference and the JSON of the metadata for their columns."""
    metadata = labelled.metadata
    return {
        "reference": labelled.reference,
        "metadata": None if metadata is None else msgspec.json.encode(metadata).decode(),
    }


def _optional_metadata(column: str | None) -> dict[str, Any] | None:
    return None if column is None else _metadata.decode(column)


def options_column(options: ConversionOptions) -> str | None:
    """Return the JSON of options for the column ``options``; None where nothing is asked for."""
    return None if options == NO_OPTIONS else options_to_json(options).decode()


def _options(column: str | None) -> ConversionOptions:
    """Read the column ``options``, also as a later version may have written it."""
    if column is None:
        return NO_OPTIONS
    try:
        return options_from_json(column)
    except msgspec.ValidationError:
        # A value that this version does not have: nothing is converted by such options, but the
        # document can be listed, and a later version finds them.
        members = msgspec.json.decode(column, type=dict[str, msgspec.Raw])
        return UnsupportedOptions(unknown_members=members)


def queued_document(row: Sequence[Any]) -> QueuedDocument:
    """Read a row of ``queue_statements.QUEUE``."""
    tenant, document_id, priority, sequence, content_type, size, options = row
    engine = _options(options).engine
    return QueuedDocument(tenant, document_id, priority, sequence, content_type, size, engine)


def batch_record(row: Sequence[Any]) -> BatchRecord:
    """Read a row of ``statements.BATCH``."""
    (
        tenant, batch_id, priority, retention_days, submitted_at, completed_at, fingerprint,
        engine_batch, engine_job, engine_status, reference, metadata, *figures
    ) = row  # fmt: skip
    engine_total, engine_completed, engine_failed, *counts = figures
    total, pending, processing, completed, failed = map(int, counts)
    return BatchRecord(
        tenant=tenant,
        batch_id=batch_id,
        priority=priority,
        retention_days=retention_days,
        submitted_at=from_milliseconds(submitted_at),
        completed_at=_optional_time(completed_at),
        fingerprint=fingerprint,
        progress=BatchCounts(
            total=total,
            pending=pending,
            processing=processing,
            completed=completed,
            failed=failed,
        ),
        engine_batch=EngineBatch(
            job=engine_job,
            status=engine_status,
            total=engine_total,
            completed=engine_completed,
            failed=engine_failed,
        )
        if engine_batch
        else None,
        reference=reference,
        metadata=_optional_metadata(metadata),
    )


def completed_event(record: DocumentRecord) -> DocumentCompleted | None:
    """Return the completion of a document from its record; None if it is not completed."""
    if record.original is None or record.markdown is None or record.finished_at is None:
        return None
    return DocumentCompleted(
        document_id=record.document_id,
        tenant=record.tenant,
        priority=record.priority,
        requeues=record.requeues,
        file_name=record.file_name,
        content_type=record.content_type,
        original=record.original,
        markdown=record.markdown,
        pages=record.pages or 0,
        engine=record.engine or "",
        model=record.model or "",
        seconds=record.seconds or 0.0,
        input_tokens=record.input_tokens or 0,
        output_tokens=record.output_tokens or 0,
        submitted_at=record.submitted_at,
        completed_at=record.finished_at,
        result=record.result,
        fallback_from=record.fallback_from,
        warnings=record.warnings,
        quality=record.quality,
        partial=record.partial,
        reference=record.reference,
        metadata=record.metadata,
    )
