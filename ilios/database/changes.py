"""Effects of events on the database: the statements and their parameters, prices included."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

import msgspec
import structlog

from actors.blob_keys import original_key
from actors.pricing import Pricing
from actors.writes import LogEntry
from ilios.database import history, imports, rows, statements
from ilios.visible import clean_name
from schemas.batches import (
    TERMINAL_JOB_STATUSES,
    BatchCompleted,
    BatchEvent,
    BatchProgressed,
    BatchSubmitted,
    document_submissions,
)
from schemas.documents import (
    DocumentArchived,
    DocumentCancelled,
    DocumentCompleted,
    DocumentConverted,
    DocumentDeleted,
    DocumentEvent,
    DocumentFailed,
    DocumentFetched,
    DocumentRejected,
    DocumentSubmitted,
    Inline,
    Source,
    Stored,
    clamp_seconds,
    effective_time,
)
from schemas.events import AnyEvent
from schemas.imports import BatchImported, DocumentImported

log = structlog.get_logger("usage")


class Billing:
    """Prices conversions. Warns of a missing price once for each engine and model."""

    def __init__(self, pricing: Pricing) -> None:
        self._pricing = pricing
        self._warned: set[tuple[str, str]] = set()

    def price_parameters(self, converted: DocumentConverted, at: datetime) -> dict[str, object]:
        """Return the price parameters of a conversion that the log stored at a time."""
        engine, model = converted.engine, converted.model
        pages = converted.pages if converted.billed_pages is None else converted.billed_pages
        day = at.astimezone(UTC).date()
        price = self._pricing.price(engine, model, pages, day, converted.variant)
        if price.assumed and (engine, model) not in self._warned:
            self._warned.add((engine, model))
            log.warning(
                "no price for this model, billed at the highest",
                engine=engine,
                model=model,
                micros_per_page=price.unit_micros,
            )
        return {
            "unit_micros": price.unit_micros,
            "base_micros": price.base_micros,
            "margin_percent": price.margin_percent,
            "total_micros": price.total_micros,
        }


# The order of events for one document, except for those after its end.
_STATEMENT_ORDER = (
    statements.INSERT_REJECTED,
    history.RECORD_REJECTED,
    statements.INSERT_BATCH,
    imports.INSERT_BATCH,
    imports.INSERT_DOCUMENT,
    history.RECORD_IMPORTED_SUBMISSION,
    history.RECORD_IMPORTED_END,
    imports.INSERT_USAGE,
    statements.DELETE_REJECTED,
    history.ERASE_REPLACED,
    statements.INSERT_DOCUMENT,
    history.RECORD_SUBMITTED,
    statements.SET_FETCHED,
    history.RECORD_REQUEUED,
    history.RECORD_FETCHED,
    statements.SET_COMPLETED,
    statements.INSERT_USAGE,
    history.RECORD_COMPLETED,
    statements.SET_FAILED,
    history.RECORD_FAILED,
    statements.SET_ENGINE_JOB,
    statements.SET_BATCH_COMPLETED,
)

_RECORDED_AFTER = {
    statements.SET_ARCHIVED: (history.RECORD_ARCHIVED,),
    statements.SET_REMOVED: (
        statements.ERASE_BATCH_LABELS,
        history.RECORD_REMOVED,
        history.ERASE_DELETED,
    ),
}

Parameters = dict[str, object]
Change = tuple[str, list[Parameters]]
"""A statement and the parameters of each of its executions."""
_Statement = tuple[str, Parameters]


def changes_of(entries: tuple[LogEntry, ...], applied_up_to: int, billing: Billing) -> list[Change]:
    """Return the changes of entries, grouped by statement and in the order of execution.

    Entries up to the sequence ``applied_up_to`` are applied already.
    """
    found: list[Change] = []
    fresh = [entry for entry in entries if entry.sequence > applied_up_to]
    for (kind, _), run in groupby(fresh, key=_group_key):
        if kind is None:
            found += _forward_changes(run, billing)
        else:
            # In its place in the log: it may be between other events of its document.
            executions = [
                parameters for entry in run for _, parameters in _event_changes(entry, billing)
            ]
            found += [(one, executions) for one in (kind, *_RECORDED_AFTER[kind])]
    return found


def _group_key(entry: LogEntry) -> tuple[str | None, int]:
    """Return the key by which adjacent entries are grouped.

    It is the statement of an event that comes after the end of a document. Events of a requeued
    document are not grouped: they may come after its end, too. Nor are imported documents: whether
    an import or a submission of one id is the first is decided by the log.
    """
    event = entry.event
    if (statement := _RULES[type(event)].statement_after_end) is not None:
        return statement, 0
    requeued = isinstance(event, DocumentEvent) and event.requeues
    return None, entry.sequence if requeued or isinstance(event, DocumentImported) else 0


def _forward_changes(entries: Iterable[LogEntry], billing: Billing) -> list[Change]:
    """Return the changes of events that move documents forward, by statement.

    Events after the end of a document in the same group are left out: they have no effect.
    """
    found: dict[str, list[Parameters]] = defaultdict(list)
    ended: set[tuple[str, str]] = set()
    for entry in entries:
        event = entry.event
        if isinstance(event, DocumentEvent):
            name = (event.tenant, event.document_id)
            if name in ended:
                continue
            if _RULES[type(event)].ends_document:
                ended.add(name)
        for statement, parameters in _event_changes(entry, billing):
            found[statement].append(parameters)
    return [(statement, found[statement]) for statement in _STATEMENT_ORDER if statement in found]


def _event_changes(entry: LogEntry, billing: Billing) -> list[_Statement]:
    event = entry.event
    common: Parameters = {
        "sequence": entry.sequence,
        "at": rows.to_milliseconds(entry.stored_at),
        "tenant": event.tenant,
    }
    if isinstance(event, BatchEvent):
        common |= {"id": event.batch_id}
    else:
        common |= {"id": event.document_id, "requeues": event.requeues}
    return _RULES[type(event)].apply(event, common, entry, billing)


def _submitted(
    event: DocumentSubmitted, _common: Parameters, entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    return _insertion(_submission_parameters(event, entry))


def _insertion(document: Parameters) -> list[_Statement]:
    changes = [
        (statements.DELETE_REJECTED, document),
        (history.ERASE_REPLACED, document),
        (statements.INSERT_DOCUMENT, document),
    ]
    recorded = history.RECORD_REQUEUED if document["requeues"] else history.RECORD_SUBMITTED
    return [*changes, (recorded, document)]


def _rejected(
    event: DocumentRejected, common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    empty = DocumentSubmitted(document_id=event.document_id, source=Inline(b""))
    rejected = common | {
        "file_name": empty.file_name,
        "content_type": empty.content_type,
        "retention_days": empty.retention_days,
        "operation": empty.operation,
        "priority": event.priority,
        "code": event.code,
        "reason": event.reason,
        "attempts": 1,
        **rows.label_columns(event),
    }
    return [(statements.INSERT_REJECTED, rejected), (history.RECORD_REJECTED, rejected)]


def _fetched(
    event: DocumentFetched, common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    fetched = {"content_type": event.content_type, "held": event.held}
    blob = msgspec.structs.asdict(event.original)
    row = common | fetched | blob
    requeued = [(history.RECORD_REQUEUED, row)] if event.requeues else []
    return [(statements.SET_FETCHED, row), *requeued, (history.RECORD_FETCHED, row)]


def _converted(
    event: DocumentConverted, common: Parameters, entry: LogEntry, billing: Billing
) -> list[_Statement]:
    figures = (
        msgspec.structs.asdict(event)
        | msgspec.structs.asdict(event.markdown)
        | _result_parameters(event)
        | rows.assessment_columns(event)
    )
    used = common | billing.price_parameters(event, entry.stored_at)
    return [
        (statements.SET_COMPLETED, figures | common),
        (statements.INSERT_USAGE, used),
        (history.RECORD_COMPLETED, common),
    ]


def _failed(
    event: DocumentFailed, common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    row = msgspec.structs.asdict(event) | common
    return [(statements.SET_FAILED, row), (history.RECORD_FAILED, row)]


def _archived(
    event: DocumentArchived, common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    key = event.original.key if event.original else None
    return [(statements.SET_ARCHIVED, common | {"key": key})]


def _cancelled(
    _event: DocumentCancelled, common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    return [(statements.SET_REMOVED, common | {"cause": "requested"})]


def _deleted(
    event: DocumentDeleted, common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    return [(statements.SET_REMOVED, common | {"cause": event.cause})]


def _nothing(
    _event: DocumentCompleted, _common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    return []  # it is published from the row


def _batch_submitted(
    event: BatchSubmitted, common: Parameters, entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    batch = common | {
        "priority": event.priority,
        "retention_days": event.retention_days,
        "submitted_at": rows.to_milliseconds(effective_time(event.submitted_at, entry.stored_at)),
        "fingerprint": event.fingerprint,
        "engine_batch": event.engine_batch,
        **rows.label_columns(event),
    }
    documents = (
        _submission_parameters(document, entry, event.batch_id)
        for document in document_submissions(event)
    )
    return [
        (statements.INSERT_BATCH, batch),
        *(change for document in documents for change in _insertion(document)),
    ]


def _batch_progressed(
    event: BatchProgressed, common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    ended = {"ended": event.status in TERMINAL_JOB_STATUSES}
    return [(statements.SET_ENGINE_JOB, msgspec.structs.asdict(event) | ended | common)]


def _batch_completed(
    _event: BatchCompleted, common: Parameters, _entry: LogEntry, _billing: Billing
) -> list[_Statement]:
    return [(statements.SET_BATCH_COMPLETED, common)]


class _Rule(NamedTuple):
    """The effect of an event of one type on the database.

    An event that may come after the end of its document is executed in its place in the log, by
    ``statement_after_end`` alone.
    """

    apply: Callable[[Any, Parameters, LogEntry, Billing], list[_Statement]]
    ends_document: bool = False
    statement_after_end: str | None = None


_RULES: dict[type[AnyEvent], _Rule] = {
    DocumentSubmitted: _Rule(_submitted),
    DocumentFetched: _Rule(_fetched),
    DocumentConverted: _Rule(_converted, ends_document=True),
    DocumentCompleted: _Rule(_nothing),
    DocumentRejected: _Rule(_rejected),
    DocumentFailed: _Rule(_failed, ends_document=True),
    DocumentArchived: _Rule(_archived, statement_after_end=statements.SET_ARCHIVED),
    DocumentCancelled: _Rule(_cancelled, statement_after_end=statements.SET_REMOVED),
    DocumentDeleted: _Rule(_deleted, statement_after_end=statements.SET_REMOVED),
    BatchSubmitted: _Rule(_batch_submitted),
    BatchProgressed: _Rule(_batch_progressed),
    BatchCompleted: _Rule(_batch_completed),
    DocumentImported: _Rule(imports.document_statements),
    BatchImported: _Rule(imports.batch_statements),
}
"""Every type of event, declared once for the database."""


def _submission_parameters(
    event: DocumentSubmitted, entry: LogEntry, batch_id: str | None = None
) -> Parameters:
    key, sha256 = None, None
    if isinstance(event.source, Stored):
        key = original_key(event.tenant, event.document_id, event.source.suffix)
        sha256 = event.source.sha256
    return {
        "sequence": entry.sequence,
        "at": rows.to_milliseconds(entry.stored_at),
        "tenant": event.tenant,
        "id": event.document_id,
        # Without a fetcher it is converted from here on.
        "state": "pending" if event.detected is None else "processing",
        "file_name": clean_name(event.file_name),
        "content_type": event.detected or event.content_type,
        "file_size": _source_size(event.source),
        "priority": event.priority,
        "retention_days": event.retention_days,
        "operation": event.operation,
        "submitted_at": rows.to_milliseconds(effective_time(event.submitted_at, entry.stored_at)),
        "batch_id": batch_id,
        "fingerprint": event.fingerprint,
        "requeues": event.requeues,
        "options": rows.options_column(event.options),
        "held": event.held,
        "deadline": None if event.deadline is None else rows.to_milliseconds(event.deadline),
        "key": key,
        "sha256": sha256,
        **rows.label_columns(event),
    }


def _result_parameters(event: DocumentConverted) -> Parameters:
    result = event.result
    return {
        "seconds": clamp_seconds(event.seconds),
        "result_key": result.key if result else None,
        "result_size": result.size if result else None,
        "result_sha256": result.sha256 if result else None,
    }


def _source_size(source: Source) -> int | None:
    match source:
        case Stored(size=size):
            return size
        case Inline(data=data):
            return len(data)
        case _:
            return None
