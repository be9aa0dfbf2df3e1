"""What an event changes: the statements it runs, and with which parameters."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

import msgspec

from actors.blob_keys import original_key
from actors.writes import LogEntry
from ilios.database import rows, statements
from ilios.database.billing import Billing
from ilios.file_names import clean_name
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
    DocumentConverted,
    DocumentDeleted,
    DocumentEvent,
    DocumentFailed,
    DocumentFetched,
    DocumentSubmitted,
    Inline,
    Source,
    Stored,
    clamp_seconds,
)
from schemas.times import effective_time

_FINAL_EVENTS = (DocumentConverted, DocumentFailed)
_AFTER_FINAL_EVENTS = (DocumentArchived, DocumentCancelled, DocumentDeleted)

# The order of events for one document, but for those after its end, which ``_flow`` leaves out.
_STATEMENT_ORDER = (
    statements.INSERT_BATCH,
    statements.INSERT_DOCUMENT,
    statements.SET_FETCHED,
    statements.SET_COMPLETED,
    statements.INSERT_USAGE,
    statements.SET_FAILED,
    statements.SET_ENGINE_JOB,
    statements.SET_BATCH_COMPLETED,
)

Parameters = dict[str, object]
Change = tuple[str, list[Parameters]]
"""A statement, and the parameters with which it is to be run, once each."""


def changes_of(entries: tuple[LogEntry, ...], applied_up_to: int, billing: Billing) -> list[Change]:
    """Sort what the entries change by statement, so that a group costs few statements.

    ``done`` is the sequence up to which everything is known. The statements are to be run in the
    order given.
    """
    found: list[Change] = []
    fresh = [entry for entry in entries if entry.sequence > applied_up_to]
    for (kind, _), run in groupby(fresh, key=_group_key):
        if kind is None:
            found += _forward_changes(run, billing)
        else:
            # Done in its place: it may stand in the midst of the flow.
            found.append(
                (
                    kind,
                    [
                        parameters
                        for entry in run
                        for _, parameters in _event_changes(entry, billing)
                    ],
                )
            )
    return found


def _group_key(entry: LogEntry) -> tuple[str | None, int]:
    """Return what runs of events can be done at once: those with the same answer.

    It is the statement of an event that does not belong to the flow. An event of what was requeued
    flows alone: it may follow the end of its document.
    """
    event = entry.event
    if isinstance(event, _AFTER_FINAL_EVENTS):
        archived = isinstance(event, DocumentArchived)
        return (statements.SET_ARCHIVED if archived else statements.SET_REMOVED), 0
    requeued = isinstance(event, DocumentEvent) and event.requeues
    return None, entry.sequence if requeued else 0


def _forward_changes(entries: Iterable[LogEntry], billing: Billing) -> list[Change]:
    """Sort the events that carry documents forward.

    What follows a document's end in the same group is left out: it changes nothing, as it would
    one by one.
    """
    found: dict[str, list[Parameters]] = defaultdict(list)
    ended: set[tuple[str, str]] = set()
    for entry in entries:
        event = entry.event
        if isinstance(event, DocumentEvent):
            name = (event.tenant, event.document_id)
            if name in ended:
                continue
            if isinstance(event, _FINAL_EVENTS):
                ended.add(name)
        for statement, parameters in _event_changes(entry, billing):
            found[statement].append(parameters)
    return [(statement, found[statement]) for statement in _STATEMENT_ORDER if statement in found]


def _event_changes(entry: LogEntry, billing: Billing) -> list[tuple[str, Parameters]]:
    event = entry.event
    common: Parameters = {"sequence": entry.sequence, "at": rows.to_milliseconds(entry.stored_at)}
    if isinstance(event, BatchEvent):
        return _batch_changes(event, entry, common)
    common |= {"tenant": event.tenant, "id": event.document_id, "requeues": event.requeues}
    found: list[tuple[str, Parameters]] = []
    match event:
        case DocumentSubmitted():
            found = [(statements.INSERT_DOCUMENT, _submission_parameters(event, entry))]
        case DocumentFetched(original=blob):
            fetched = {"content_type": event.content_type, "held": event.held}
            found = [(statements.SET_FETCHED, common | fetched | msgspec.structs.asdict(blob))]
        case DocumentConverted(markdown=blob):
            figures = (
                msgspec.structs.asdict(event)
                | msgspec.structs.asdict(blob)
                | _result_parameters(event)
            )
            used = common | billing.price_parameters(event, entry.stored_at)
            found = [(statements.SET_COMPLETED, figures | common), (statements.INSERT_USAGE, used)]
        case DocumentFailed():
            found = [(statements.SET_FAILED, msgspec.structs.asdict(event) | common)]
        case DocumentArchived(original=original):
            found = [
                (statements.SET_ARCHIVED, common | {"key": original.key if original else None})
            ]
        case DocumentCancelled():
            found = [(statements.SET_REMOVED, common | {"cause": "requested"})]
        case DocumentDeleted(cause=cause):
            found = [(statements.SET_REMOVED, common | {"cause": cause})]
    return found


def _batch_changes(
    event: BatchEvent, entry: LogEntry, common: Parameters
) -> list[tuple[str, Parameters]]:
    common = common | {"tenant": event.tenant, "id": event.batch_id}
    match event:
        case BatchProgressed():
            progressed = msgspec.structs.asdict(event) | {
                "ended": event.status in TERMINAL_JOB_STATUSES
            }
            return [(statements.SET_ENGINE_JOB, progressed | common)]
        case BatchCompleted():
            return [(statements.SET_BATCH_COMPLETED, common)]
        case BatchSubmitted():
            batch = common | {
                "priority": event.priority,
                "retention_days": event.retention_days,
                "submitted_at": rows.to_milliseconds(
                    effective_time(event.submitted_at, entry.stored_at)
                ),
                "fingerprint": event.fingerprint,
                "engine_batch": event.engine_batch,
            }
            documents = (
                _submission_parameters(document, entry, event.batch_id)
                for document in document_submissions(event)
            )
            return [
                (statements.INSERT_BATCH, batch),
                *((statements.INSERT_DOCUMENT, document) for document in documents),
            ]
        case _:
            return []


def _submission_parameters(
    event: DocumentSubmitted, entry: LogEntry, batch_id: str | None = None
) -> Parameters:
    key, sha256 = None, None
    if isinstance(event.source, Stored):
        key = original_key(event.tenant, event.document_id, event.source.suffix)
        sha256 = event.source.sha256
    return {
        "sequence": entry.sequence,
        "tenant": event.tenant,
        "id": event.document_id,
        "file_name": clean_name(event.file_name),
        "content_type": event.content_type,
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
        "key": key,
        "sha256": sha256,
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
