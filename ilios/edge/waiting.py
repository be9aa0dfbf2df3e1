"""Waiting for a document to end."""

import asyncio

import structlog
from aiohttp import web

from ilios.edge import known
from ilios.edge.keys import CLOSING, EDGE, Edge, Outcome
from schemas.documents import DocumentSubmitted
from schemas.records import DocumentRecord

UNFINISHED = frozenset({"pending", "processing"})

log = structlog.get_logger("edge")


async def wait_for_end(
    request: web.Request, submitted: DocumentSubmitted, outcome: Outcome
) -> DocumentRecord:
    """Return the document as it is when it ends, when the time is up, or when the edge closes."""
    edge = request.app[EDGE]
    heard = asyncio.ensure_future(outcome.wait())
    closing = asyncio.ensure_future(request.app[CLOSING].wait())
    asked = asyncio.ensure_future(_ask_until_ended(edge, submitted))
    try:
        await asyncio.wait(
            (heard, closing, asked),
            timeout=edge.limits.convert_within,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if heard.done():
            return known.ended(known.pending(submitted), heard.result())
        return asked.result() if asked.done() else known.pending(submitted)
    finally:
        for task in (heard, closing, asked):
            task.cancel()


async def _ask_until_ended(edge: Edge, submitted: DocumentSubmitted) -> DocumentRecord:
    """Ask the database now and then: the event can be missed while the bus reconnects."""
    while True:
        await asyncio.sleep(edge.limits.ask_again_after)
        try:
            document = await edge.reads.document(submitted.tenant, submitted.document_id)
        except Exception as error:  # noqa: BLE001  # the next time may go well, and the event count
            log.warning("waiter could not read", error=repr(error))
            continue
        if document is not None and document.state not in UNFINISHED:
            return document
