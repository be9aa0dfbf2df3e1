"""What an event changes: the statements it runs, and with which parameters."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

import msgspec

from actors.keys import original_key
from actors.writes import Entry
from ilios.file_names import clean_name
from schemas.batches import (
    JOB_ENDED,
    BatchCompleted,
    BatchEvent,
    BatchProgressed,
    BatchSubmitted,
    submissions,
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
    bounded_seconds,
)
from schemas.times import believed

from . import rows, statements
from .usage_bills import Bills

_ENDING = (DocumentConverted, DocumentFailed)
_AFTER_THE_END = (DocumentArchived, DocumentCancelled, DocumentDeleted)

# The order of events for one document, but for those after its end, which ``_flow`` leaves out.
_ORDER = (
    statements.BATCH_SUBMITTED,
    statements.SUBMITTED,
    statements.FETCHED,
    statements.CONVERTED,
    statements.USED,
    statements.FAILED,
    statements.BATCH_PROGRESSED,
    statements.BATCH_COMPLETED,
)

Parameters = dict[str, object]
Change = tuple[str, list[Parameters]]
"""A statement, and the parameters with which it is to be run, once each."""


def changes(entries: tuple[Entry, ...], done: int, bills: Bills) -> list[Change]:
    """Sort what the entries change by statement, so that a group costs few statements.

    ``done`` is the sequence up to which everything is known. The statements are to be run in the
    order given.
    """
    found: list[Change] = []
    fresh = [entry for entry in entries if entry.sequence > done]
    for (kind, _), run in groupby(fresh, key=_kind):
        if kind is None:
            found += _flow(run, bills)
        else:
            # Done in its place: it may stand in the midst of the flow.
            found.append(
                (kind, [parameters for entry in run for _, parameters in _change(entry, bills)])
            )
    return found


def _kind(entry: Entry) -> tuple[str | None, int]:
    """Return what runs of events can be done at once: those with the same answer.

    It is the statement of an event that does not belong to the flow. An event of what was requeued
    flows alone: it may follow the end of its document.
    """
    event = entry.event
    if isinstance(event, _AFTER_THE_END):
        archived = isinstance(event, DocumentArchived)
        return (statements.ARCHIVED if archived else statements.REMOVED), 0
    requeued = isinstance(event, DocumentEvent) and event.requeues
    return None, entry.sequence if requeued else 0


def _flow(entries: Iterable[Entry], bills: Bills) -> list[Change]:
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
            if isinstance(event, _ENDING):
                ended.add(name)
        for statement, parameters in _change(entry, bills):
            found[statement].append(parameters)
    return [(statement, found[statement]) for statement in _ORDER if statement in found]


def _change(entry: Entry, bills: Bills) -> list[tuple[str, Parameters]]:
    event = entry.event
    common: Parameters = {"sequence": entry.sequence, "at": rows.milliseconds(entry.stored_at)}
    if isinstance(event, BatchEvent):
        return _change_of_batch(event, entry, common)
    common |= {"tenant": event.tenant, "id": event.document_id, "requeues": event.requeues}
    found: list[tuple[str, Parameters]] = []
    match event:
        case DocumentSubmitted():
            found = [(statements.SUBMITTED, _submission(event, entry))]
        case DocumentFetched(original=blob):
            fetched = {"content_type": event.content_type, "held": event.held}
            found = [(statements.FETCHED, common | fetched | msgspec.structs.asdict(blob))]
        case DocumentConverted(markdown=blob):
            figures = msgspec.structs.asdict(event) | msgspec.structs.asdict(blob) | _result(event)
            used = common | bills.bill(event, entry.stored_at)
            found = [(statements.CONVERTED, figures | common), (statements.USED, used)]
        case DocumentFailed():
            found = [(statements.FAILED, msgspec.structs.asdict(event) | common)]
        case DocumentArchived(original=original):
            found = [(statements.ARCHIVED, common | {"key": original.key if original else None})]
        case DocumentCancelled():
            found = [(statements.REMOVED, common | {"cause": "requested"})]
        case DocumentDeleted(cause=cause):
            found = [(statements.REMOVED, common | {"cause": cause})]
    return found


def _change_of_batch(
    event: BatchEvent, entry: Entry, common: Parameters
) -> list[tuple[str, Parameters]]:
    common = common | {"tenant": event.tenant, "id": event.batch_id}
    match event:
        case BatchProgressed():
            progressed = msgspec.structs.asdict(event) | {"ended": event.status in JOB_ENDED}
            return [(statements.BATCH_PROGRESSED, progressed | common)]
        case BatchCompleted():
            return [(statements.BATCH_COMPLETED, common)]
        case BatchSubmitted():
            batch = common | {
                "priority": event.priority,
                "retention_days": event.retention_days,
                "submitted_at": rows.milliseconds(believed(event.submitted_at, entry.stored_at)),
                "fingerprint": event.fingerprint,
                "engine_batch": event.engine_batch,
            }
            documents = (
                _submission(document, entry, event.batch_id) for document in submissions(event)
            )
            return [
                (statements.BATCH_SUBMITTED, batch),
                *((statements.SUBMITTED, document) for document in documents),
            ]
        case _:
            return []


def _submission(event: DocumentSubmitted, entry: Entry, batch_id: str | None = None) -> Parameters:
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
        "file_size": _size(event.source),
        "priority": event.priority,
        "retention_days": event.retention_days,
        "operation": event.operation,
        "submitted_at": rows.milliseconds(believed(event.submitted_at, entry.stored_at)),
        "batch_id": batch_id,
        "fingerprint": event.fingerprint,
        "requeues": event.requeues,
        "engine": event.engine,
        "model": event.model,
        "held": event.held,
        "key": key,
        "sha256": sha256,
    }


def _result(event: DocumentConverted) -> Parameters:
    result = event.result
    return {
        "seconds": bounded_seconds(event.seconds),
        "result_key": result.key if result else None,
        "result_size": result.size if result else None,
        "result_sha256": result.sha256 if result else None,
    }


def _size(source: Source) -> int | None:
    match source:
        case Stored(size=size):
            return size
        case Inline(data=data):
            return len(data)
        case _:
            return None
