"""Waiting for a document to end."""

import asyncio

import structlog
from aiohttp import web

from ilios.edge import lookup
from ilios.edge.context import EDGE, SHUTTING_DOWN, Edge, Outcome
from schemas.documents import DocumentSubmitted
from schemas.records import DocumentRecord

UNFINISHED_STATES = frozenset({"pending", "processing"})

log = structlog.get_logger("edge")


async def wait_until_finished(
    request: web.Request, submitted: DocumentSubmitted, outcome: Outcome
) -> DocumentRecord:
    """Return the document as it is when it ends, when the time is up, or when the edge closes."""
    edge = request.app[EDGE]
    event_task = asyncio.ensure_future(outcome.wait())
    shutdown_task = asyncio.ensure_future(request.app[SHUTTING_DOWN].wait())
    poll_task = asyncio.ensure_future(_poll_until_finished(edge, submitted))
    try:
        await asyncio.wait(
            (event_task, shutdown_task, poll_task),
            timeout=edge.limits.convert_timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if event_task.done():
            return lookup.finished_record(lookup.pending_record(submitted), event_task.result())
        return poll_task.result() if poll_task.done() else lookup.pending_record(submitted)
    finally:
        for task in (event_task, shutdown_task, poll_task):
            task.cancel()


async def _poll_until_finished(edge: Edge, submitted: DocumentSubmitted) -> DocumentRecord:
    """Ask the database now and then: the event can be missed while the bus reconnects."""
    while True:
        await asyncio.sleep(edge.limits.poll_interval)
        try:
            document = await edge.reads.document(submitted.tenant, submitted.document_id)
        except Exception as error:  # noqa: BLE001  # the next time may go well, and the event count
            log.warning("waiter could not read", error=repr(error))
            continue
        if document is not None and document.state not in UNFINISHED_STATES:
            return document
