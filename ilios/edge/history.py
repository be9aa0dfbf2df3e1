"""The history of a document: what happened, when, in which attempt, how long and at what cost."""

from collections.abc import Iterator
from typing import get_args

import msgspec
from aiohttp import web

from ilios.edge.context import EDGE
from ilios.edge.errors import AUTHENTICATING, FINDING_DOCUMENT, READING_LOG
from ilios.edge.lookup import get_document_or_404
from ilios.edge.operation import DOCUMENT_ID, JSON, Response, operation
from ilios.edge.responses import has_failed, json_response
from ilios.edge.usage import NO_STORE
from schemas.documents import clamp_seconds
from schemas.history_replies import HistoryEntry, HistoryEvent, HistoryReply
from schemas.records import DocumentHistory, DocumentRecord, HistoryStep
from schemas.replies import format_instant

_ORDER = get_args(HistoryEvent)
"""The order of the steps of one attempt."""


@operation(
    "GET",
    "/v1/documents/{id}/history",
    name="documentHistory",
    tag="Documents",
    summary="What happened to a document",
    description="Oldest first. It is there as long as the document; of a deleted one only the "
    "deletion remains. At most 20 attempts are recorded.",
    parameters=(DOCUMENT_ID,),
    responses={
        200: Response(
            description="Its history.", content={JSON: HistoryReply}, headers=("Cache-Control",)
        )
    },
    problems=(AUTHENTICATING, FINDING_DOCUMENT, READING_LOG),
)
async def history(request: web.Request) -> web.StreamResponse:
    """Answer with the steps that are recorded, and those that the state of the document shows."""
    document = await get_document_or_404(request)
    recorded = await request.app[EDGE].reads.history(document.tenant, document.document_id)
    body = HistoryReply(id=document.document_id, history=entries(document, recorded))
    return json_response(body, headers=NO_STORE)


def entries(document: DocumentRecord, recorded: DocumentHistory) -> list[HistoryEntry]:
    """Return the history of a document."""
    steps = {step.event: step for step in _steps_of_record(document)}
    for step in recorded.steps:
        if step.requeues == document.requeues or step.event == "submitted":
            steps.pop(step.event, None)
    found = sorted(
        (*recorded.steps, *steps.values()),
        key=lambda step: (step.requeues, _ORDER.index(step.event)),
    )
    return [_entry(step, document, recorded.total_micros) for step in found]


def _steps_of_record(document: DocumentRecord) -> Iterator[HistoryStep]:
    """Yield the steps that the state of a document shows, as far as they happened before any row.

    An earlier version recorded none, and the log may be ahead of the database.
    """
    requeues = document.requeues
    if document.state == "deleted":
        if document.removed_at is not None:
            yield HistoryStep(event="deleted", requeues=requeues, at=document.removed_at)
        return
    ended_badly = has_failed(document)
    rejected = ended_badly and document.code == "invalid_event"
    if not rejected:
        yield HistoryStep(event="submitted", requeues=0, at=document.submitted_at)
    if document.finished_at is not None and document.state in ("completed", "failed", "archived"):
        yield HistoryStep(
            event="rejected" if rejected else "failed" if ended_badly else "completed",
            requeues=requeues,
            at=document.finished_at,
            code=document.code,
            reason=document.reason,
        )
    if document.archived_at is not None:
        yield HistoryStep(event="archived", requeues=requeues, at=document.archived_at)
    if document.state == "cancelled" and document.removed_at is not None:
        yield HistoryStep(event="cancelled", requeues=requeues, at=document.removed_at)


def _entry(step: HistoryStep, document: DocumentRecord, total_micros: int | None) -> HistoryEntry:
    entry = HistoryEntry(
        event=msgspec.convert(step.event, HistoryEvent),
        at=format_instant(step.at),
        attempt=step.requeues + 1,
        tries=step.attempts,
        code=step.code,
        reason=step.reason,
    )
    if step.event == "completed":
        return msgspec.structs.replace(
            entry,
            duration_ms=round(clamp_seconds(document.seconds or 0.0) * 1000),
            pages=document.pages,
            engine=document.engine,
            model=document.model,
            cost_micros=total_micros,
        )
    if step.event == "deleted":
        return msgspec.structs.replace(entry, cause=document.removal)
    return entry
