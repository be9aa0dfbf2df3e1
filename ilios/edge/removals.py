"""Removals of documents on the log: deletion, and cancellation of what has not ended."""

import asyncio
import time
from contextlib import suppress

import structlog

from bus import failpoints, subjects
from bus.errors import AlreadyPublished, BusUnavailable, NewerEvents
from ilios.edge.context import Edge
from schemas.documents import (
    DocumentArchived,
    DocumentCancelled,
    DocumentCompleted,
    DocumentConverted,
    DocumentDeleted,
    DocumentFailed,
    DocumentRejected,
    DocumentSubmitted,
)
from schemas.records import DocumentRecord
from schemas.states import REMOVED_STATES, UNFINISHED_STATES

POLL_INTERVAL = 0.02  # seconds; the database is some milliseconds behind the log
MAX_TRIES = 10
"""Tries to cancel a document of which new events keep coming; it has a handful of them at most."""
CANCELLED = subjects.event_name(DocumentCancelled)
SUBMITTED = subjects.event_name(DocumentSubmitted)
CONVERTED = subjects.event_name(DocumentConverted)
FAILED = subjects.event_name(DocumentFailed)
ENDS = frozenset(
    subjects.event_name(kind)
    for kind in (
        DocumentConverted,
        DocumentCompleted,
        DocumentFailed,
        DocumentRejected,
        DocumentCancelled,
        DocumentArchived,
        DocumentDeleted,
    )
)
"""Kinds of events after which a document has ended, unless it is requeued."""

log = structlog.get_logger("edge")


async def request_removal(edge: Edge, document: DocumentRecord) -> None:
    """Publish the removal of a document, whether or not it has ended, unless that was done before.

    The type is a guess: the database, which goes by the order of the log, decides whether the
    document had ended before. Either event removes it.
    """
    event: DocumentCancelled | DocumentDeleted = DocumentDeleted(
        tenant=document.tenant, document_id=document.document_id, priority=document.priority
    )
    if document.state in UNFINISHED_STATES:
        event = _cancellation(document)
    with suppress(AlreadyPublished):
        await edge.publisher.publish_if_first(event)
        _mark_requested(document)


async def cancel_unfinished(edge: Edge, document: DocumentRecord) -> bool:
    """Cancel a document unless the log has its end, even if the database does not have that yet.

    What was converted, and so billed, stays. Return whether it is cancelled, now or before.
    """
    tenant, document_id = document.tenant, document.document_id
    for _ in range(MAX_TRIES):
        newest = await edge.log.newest(tenant, document_id)
        if newest is not None and newest.name in ENDS:
            return newest.name == CANCELLED
        if await _has_ended_before(edge, document):
            return False
        with suppress(NewerEvents):
            after = newest.sequence if newest else 0
            await edge.publisher.publish_after(_cancellation(document), after)
            _mark_requested(document)
            return True
    raise BusUnavailable("new events about the document keep coming")


async def _has_ended_before(edge: Edge, document: DocumentRecord) -> bool:
    """Whether the log has an end that an event follows which is there twice.

    What was requeued was submitted once more.
    """
    name = document.tenant, document.document_id
    submitted = await edge.log.newest(*name, SUBMITTED)
    since = submitted.sequence if submitted else 0
    for kind in (CONVERTED, FAILED):
        found = await edge.log.newest(*name, kind)
        if found is not None and found.sequence > since:
            return True
    return False


async def wait_until_removed(edge: Edge, document: DocumentRecord) -> DocumentRecord | None:
    """Return the document as soon as the database shows that it is removed, or None."""
    deadline = time.monotonic() + edge.limits.removal_timeout
    while True:
        found = await edge.reads.document(document.tenant, document.document_id)
        if found is not None and found.state in REMOVED_STATES:
            return found
        if time.monotonic() >= deadline:
            return None
        await asyncio.sleep(POLL_INTERVAL)


def _cancellation(document: DocumentRecord) -> DocumentCancelled:
    return DocumentCancelled(
        tenant=document.tenant,
        document_id=document.document_id,
        priority=document.priority,
        reference=document.reference,
        metadata=document.metadata,
    )


def _mark_requested(document: DocumentRecord) -> None:
    failpoints.reach("deletion.published")
    log.info(
        "removal requested",
        tenant=document.tenant,
        document_id=document.document_id,
        state=document.state,
    )
