"""The pages of one document as JSON lines, also while it is converted."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Annotated, Any

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta, Struct

from bus.errors import BusUnavailable
from ilios.edge import blob_responses, content, documents, lookup, requests, responses
from ilios.edge.client_slots import ClientSlots
from ilios.edge.context import EDGE, SHUTTING_DOWN, TENANT, Edge
from ilios.edge.errors import (
    AUTHENTICATING,
    FINDING_DOCUMENT,
    GONE,
    READING_LOG,
    SENDING_BLOB,
    HttpProblem,
)
from ilios.edge.operation import (
    BYTES,
    DOCUMENT_ID,
    OCTET_STREAM,
    TEXT,
    Response,
    operation,
)
from schemas.pages import DraftsReply, PagesState
from schemas.records import DocumentRecord
from schemas.requests import Boolean
from schemas.results import split_lines
from schemas.states import UNFINISHED_STATES

MEDIA_TYPE = "application/x-ndjson"
RETRY_AFTER = "5"  # seconds
FOLLOWERS = web.AppKey("followers", ClientSlots)
_HEADERS = {
    "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",  # or a proxy would collect pages
}
_NOTHING = DraftsReply(until=0, more=False, pages=())

log = structlog.get_logger("edge")
_encode = msgspec.json.Encoder().encode


class PagesQuery(Struct, frozen=True, kw_only=True):
    """The query of the pages of a document."""

    follow: Annotated[
        Boolean,
        Meta(description="`true` waits for further pages until the document has ended."),
    ] = False


@operation(
    "GET",
    "/v1/documents/{id}/pages",
    name="documentPages",
    tag=documents.TAG,
    summary="The pages of a document, also while it is converted",
    description="JSON lines: a `PageLine` for each page, and a `PagesState` as the last line. "
    "Until the document has ended, pages are there as far as they are converted, with `final` "
    "false: a later line with the same `index` replaces them. Then each page is there once more "
    "as it is in the result, with `final` true. Lines with `state` tell a client that follows that "
    "the document is still in work.",
    parameters=(DOCUMENT_ID,),
    query=PagesQuery,
    responses={
        200: Response(
            description="The pages.",
            content={MEDIA_TYPE: TEXT, OCTET_STREAM: BYTES},
            headers=("Cache-Control",),
        )
    },
    problems=(AUTHENTICATING, FINDING_DOCUMENT, READING_LOG, GONE, SENDING_BLOB),
)
async def pages(request: web.Request) -> web.StreamResponse:
    """Answer with the pages of a document, and with ``?follow=true`` with those to come."""
    query = requests.parse_texts(PagesQuery, request.query)
    document = await lookup.get_document_or_404(request)
    content.raise_if_removed(document)
    response = web.StreamResponse(headers=_HEADERS)
    if request.method == "HEAD":
        return response
    if query.follow and document.state in UNFINISHED_STATES:
        with _place_to_follow(request):
            return await _follow(request, document, response)
    if document.state in UNFINISHED_STATES:
        reader = _DraftReader(request.app[EDGE], document)
        await _send(request, response, reader.lines())
        await response.write(_line(reader.state(document)))
        return response
    await _send_result(request, document, response)
    return response


@contextmanager
def _place_to_follow(request: web.Request) -> Iterator[None]:
    """Take one of the places for clients that follow, while the context is open.

    :raises HttpProblem: there is none (503).
    """
    with request.app[FOLLOWERS].slot(request[TENANT]) as may_follow:
        if not may_follow:
            raise HttpProblem(
                503,
                "overloaded",
                "Too many clients follow the pages of documents; try again, or without `follow`",
                headers={"Retry-After": RETRY_AFTER},
            )
        yield


class _DraftReader:
    """Reads the drafts of one document, each once."""

    def __init__(self, edge: Edge, document: DocumentRecord) -> None:
        self._edge = edge
        self._name = (document.tenant, document.document_id)
        self._since = 0
        self._seen: set[int] = set()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield the lines of pages that are new or changed; none while the worker is away."""
        while True:
            found = _NOTHING
            with suppress(BusUnavailable):  # the worker restarts, or none has begun
                found = await self._edge.pages.drafts(*self._name, self._since)
            for page in found.pages:
                self._seen.add(page.index)
                yield _page_line(_encode(page), final=False)
            self._since = max(self._since, found.until)
            if not found.more or not found.pages:
                return

    def state(self, document: DocumentRecord) -> PagesState:
        """Return the state of a document that has not ended."""
        return PagesState(state=document.state, pages=len(self._seen) or None)


async def _follow(
    request: web.Request, document: DocumentRecord, response: web.StreamResponse
) -> web.StreamResponse:
    """Send pages as they are converted, until the document has ended or the edge closes."""
    edge = request.app[EDGE]
    name = (document.tenant, document.document_id)
    reader = _DraftReader(edge, document)
    async with (
        edge.pages.watch(*name) as changed,
        edge.outcomes.watch(*name, document.priority) as outcome,
    ):
        await response.prepare(request)
        written_at = time.monotonic()
        ended = asyncio.ensure_future(outcome.wait())
        closing = asyncio.ensure_future(request.app[SHUTTING_DOWN].wait())
        try:
            while True:
                changed.clear()
                async with aclosing(reader.lines()) as lines:
                    async for line in lines:
                        written_at = time.monotonic()
                        await response.write(line)
                found = await lookup.get_document(edge, *name)
                if ended.done() or found is None or found.state not in UNFINISHED_STATES:
                    break
                if closing.done():
                    await response.write(_line(reader.state(found)))
                    return response
                if time.monotonic() - written_at >= edge.limits.follow_heartbeat:
                    # Also how a client that has gone is noticed.
                    written_at = time.monotonic()
                    await response.write(_line(reader.state(found)))
                # Then the database is read: the end can be missed while the bus reconnects.
                await _wait(changed, (ended, closing), edge.limits.poll_interval)
        finally:
            ended.cancel()
            closing.cancel()
    if ended.done() and not ended.cancelled():
        found = lookup.finished_record(found or document, ended.result())
    await _send_result(request, found or document, response)
    return response


async def _wait(
    changed: asyncio.Event, others: tuple[asyncio.Future[Any], ...], within: float
) -> None:
    """Wait until something happens."""
    waiting: asyncio.Future[Any] = asyncio.ensure_future(changed.wait())
    try:
        await asyncio.wait((waiting, *others), timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _send_result(
    request: web.Request, document: DocumentRecord, response: web.StreamResponse
) -> None:
    """Send the pages of the result, if there is one, and the state of the document."""
    has_failed = responses.has_failed(document)
    if document.result is not None and not has_failed:
        chunks = blob_responses.verified_chunks(request.app[EDGE].blobs, document.result)
        await _send(request, response, _final_lines(chunks))
    elif not response.prepared:
        await response.prepare(request)
    last = PagesState(state="failed" if has_failed else document.state, pages=document.pages)
    if document.code is not None:
        last = msgspec.structs.replace(last, error=document.reason, code=document.code)
    await response.write(_line(last))


async def _final_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    is_head = True
    async for line in split_lines(chunks):
        if not is_head:
            yield _page_line(line, final=True)
        is_head = False


async def _send(
    request: web.Request, response: web.StreamResponse, lines: AsyncIterator[bytes]
) -> None:
    async for line in lines:
        if not response.prepared:  # a blob missing at the start is still a problem
            await response.prepare(request)
        await response.write(line)
    if not response.prepared:
        await response.prepare(request)


def _page_line(page: bytes, *, final: bool) -> bytes:
    """Return a ``PageLine``: the JSON of a page with one more member."""
    return b'{"final":%s,%s\n' % (b"true" if final else b"false", page[1:])


def _line(state: PagesState) -> bytes:
    return _encode(state) + b"\n"
