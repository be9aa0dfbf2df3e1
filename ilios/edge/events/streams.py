"""Streams of server-sent events: of a document, of a batch, and of everything of a tenant."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta, Struct

from bus.errors import BusUnavailable
from bus.reader import LogPosition
from ilios.edge.addresses import RESOURCE
from ilios.edge.batches import status_answer as batch_status_answer
from ilios.edge.connection import mark_listening
from ilios.edge.context import EDGE, TENANT, Edge
from ilios.edge.errors import (
    AUTHENTICATING,
    FINDING_BATCH,
    FINDING_DOCUMENT,
    READING_LOG,
    HttpProblem,
    Problems,
)
from ilios.edge.events.catch_up import events_between, events_of
from ilios.edge.events.effects import BATCH, DOCUMENT
from ilios.edge.events.feed import FEED, Feed, Listener, TooManyListeners
from ilios.edge.events.progress import ENDS
from ilios.edge.events.public import PublicEvent
from ilios.edge.events.sealing import SEALER, Scope, Sealer
from ilios.edge.events.tickets import PATHS, TAG, TENANT_SCOPE
from ilios.edge.lookup import batch_documents, get_batch_or_404, get_document_or_404
from ilios.edge.operation import BATCH_ID, DOCUMENT_ID, TEXT, Parameter, Response, operation
from ilios.edge.responses import document_status
from schemas.event_replies import ResetData, ResetReason
from schemas.lists import DocumentListRequest
from schemas.replies import BatchStatus
from schemas.states import EXPIRABLE_STATES, UNFINISHED_STATES

EVENT_STREAM = "text/event-stream"
RECONNECT_MILLISECONDS = 2000
"""How long a client waits before it connects again."""
COMMENT_INTERVAL = 15.0
"""Seconds without an event after which a comment shows that the connection is alive."""
RESET_DOCUMENTS = 200
"""Documents in the present state of everything, the newest ones."""
LISTENERS_RETRY_AFTER = "10"  # seconds

_HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # or nginx collects events before it sends them
}
_encode = msgspec.json.Encoder().encode
_LISTED_STATES = UNFINISHED_STATES + EXPIRABLE_STATES
_batch_status = msgspec.json.Decoder(BatchStatus).decode

log = structlog.get_logger("events")

LAST_EVENT_ID = Parameter(
    name="Last-Event-ID",
    location="header",
    description="The `id` of the last event that arrived: the stream goes on after it.",
    schema=TEXT,
)


class StreamQuery(Struct, frozen=True, rename="camel"):
    """The query of a stream."""

    last_event_id: Annotated[
        str | None,
        Meta(
            description="As the header `Last-Event-ID`, which takes precedence.", extra={"code": ""}
        ),
    ] = None
    ticket: Annotated[
        str | None,
        Meta(description="A ticket for this stream instead of a key.", extra={"code": ""}),
    ] = None


_STREAM = Response(
    description="Events until the client closes the connection, or until what they are about has "
    "ended. `data` is JSON.",
    content={EVENT_STREAM: TEXT},
    headers=("Cache-Control",),
)
_NOTHING_MORE = Response(description="All events were received, and there will be no other.")
_LISTENING: Problems = {
    401: ("ticket_expired", "ticket_invalid"),
    503: ("too_many_listeners",),
}


@operation(
    "GET",
    PATHS[DOCUMENT],
    name="documentEvents",
    tag=TAG,
    summary="Events of a document",
    description="From its submission on, or after `Last-Event-ID`. Ends when the document ends.",
    parameters=(DOCUMENT_ID, LAST_EVENT_ID),
    query=StreamQuery,
    responses={200: _STREAM, 204: _NOTHING_MORE},
    problems=(AUTHENTICATING, FINDING_DOCUMENT, READING_LOG, _LISTENING),
)
async def document_events(request: web.Request) -> web.StreamResponse:
    """Answer with the stream of a document."""
    document = await get_document_or_404(request)
    edge, name = request.app[EDGE], document.document_id

    async def state(reason: ResetReason) -> tuple[ResetData, bool]:
        found = await get_document_or_404(request)
        data = ResetData(reason=reason, document=document_status(found, RESOURCE))
        return data, found.state not in UNFINISHED_STATES

    scope = Scope(document.tenant, DOCUMENT, name)
    return await _Stream(request, edge, scope, (name,), state).serve()


@operation(
    "GET",
    PATHS[BATCH],
    name="batchEvents",
    tag=TAG,
    summary="Events of a batch and its documents",
    description="From its submission on, or after `Last-Event-ID`. Ends when the batch ends.",
    parameters=(BATCH_ID, LAST_EVENT_ID),
    query=StreamQuery,
    responses={200: _STREAM, 204: _NOTHING_MORE},
    problems=(AUTHENTICATING, FINDING_BATCH, READING_LOG, _LISTENING),
)
async def batch_events(request: web.Request) -> web.StreamResponse:
    """Answer with the stream of a batch."""
    edge, batch = request.app[EDGE], await get_batch_or_404(request)
    documents = [document.document_id for document in await batch_documents(edge, batch)]

    async def state(reason: ResetReason) -> tuple[ResetData, bool]:
        found = await get_batch_or_404(request)
        answer = await batch_status_answer(edge, found, detailed=True)
        return ResetData(
            reason=reason, batch=_batch_status(answer.body)
        ), found.progress.is_finished

    scope = Scope(batch.tenant, BATCH, batch.batch_id)
    return await _Stream(request, edge, scope, (batch.batch_id, *documents), state).serve()


@operation(
    "GET",
    PATHS[TENANT_SCOPE],
    name="events",
    tag=TAG,
    summary="Events of all documents and batches",
    description="Of the request's API key, from now on, or after `Last-Event-ID`.",
    parameters=(LAST_EVENT_ID,),
    query=StreamQuery,
    responses={200: _STREAM},
    problems=(AUTHENTICATING, READING_LOG, _LISTENING),
)
async def tenant_events(request: web.Request) -> web.StreamResponse:
    """Answer with the stream of everything."""
    edge, tenant = request.app[EDGE], request[TENANT]

    async def state(reason: ResetReason) -> tuple[ResetData, bool]:
        wanted = DocumentListRequest(tenant=tenant, states=_LISTED_STATES, limit=RESET_DOCUMENTS)
        page = await edge.lists.documents(wanted)
        documents = [document_status(found, RESOURCE) for found in page.items]
        data = ResetData(reason=reason, documents=documents, more=page.next is not None)
        return data, False

    return await _Stream(request, edge, Scope(tenant, TENANT_SCOPE), (), state).serve()


class _Stream:
    """One stream. ``read_state`` returns the data of a reset, and whether the resource has ended.

    ``names`` are the documents and the batch it is about; none for everything of the tenant.
    """

    def __init__(
        self,
        request: web.Request,
        edge: Edge,
        scope: Scope,
        names: tuple[str, ...],
        read_state: Callable[[ResetReason], Awaitable[tuple[ResetData, bool]]],
    ) -> None:
        self._request = request
        self._timeout = edge.limits.slow_listener_timeout
        self._scope = scope
        self._names = names
        self._read_state = read_state
        self._feed: Feed = request.app[FEED]
        self._sealer: Sealer = request.app[SEALER]
        self._response = web.StreamResponse(headers=_HEADERS)
        self._response.force_close()
        self._ended = False

    async def serve(self) -> web.StreamResponse:
        """Send events until the stream ends.

        :raises HttpProblem: there are too many listeners (503).
        """
        if self._request.method == "HEAD":
            return web.Response(headers=_HEADERS)
        try:
            async with self._feed.listen(self._scope, self._names) as listener:
                return await self._send(listener)
        except TooManyListeners:
            raise HttpProblem(
                503,
                "too_many_listeners",
                "There are as many streams of events as the service can serve; try again later",
                headers={"Retry-After": LISTENERS_RETRY_AFTER},
            ) from None
        except BusUnavailable:
            if not self._response.prepared:
                raise
            return self._response  # the client connects again
        except TimeoutError:
            log.info("slow listener disconnected")
            if self._request.transport is not None:
                self._request.transport.abort()
            return self._response

    async def _send(self, listener: Listener) -> web.StreamResponse:
        given, reset = await self._begin()
        last = self._feed.position
        listener.follow()
        events = await events_of(self._feed, listener) if self._names else []
        if self._names and given is None and not reset and await self._has_lost_its_begin(events):
            reset = "log_ended"
        # The later ones are handed out by the feed.
        events = [event for event in events if event.position.sequence <= last.sequence]
        for event in events:
            self._note(event)
        after = given or 0
        fresh = [] if reset else [one for one in events if one.position.sequence > after]
        if self._ended and not reset and not fresh and given is not None:
            return web.Response(status=204)
        mark_listening(self._request)
        await self._response.prepare(self._request)
        await self._write(f"retry: {RECONNECT_MILLISECONDS}\n\n".encode())
        if reset:
            await self._write_reset(reset, last)
        elif not self._names and given is None:
            after = last.sequence
            await self._write(f"id: {self._id(last)}\n\n".encode())
        for event in fresh:
            await self._write_event(event)
        if not self._names and not reset:
            await self._catch_up(listener, after, last.sequence)
        await self._follow(listener, last.sequence)
        return self._response

    async def _begin(self) -> tuple[int | None, ResetReason | None]:
        """Return the sequence that the client names, if any, and why to begin with a reset."""
        header = self._request.headers.get("Last-Event-ID")
        given = header or self._request.query.get("lastEventId")
        if not given:
            return None, None
        position = self._sealer.open_position(given, self._scope)
        if position is None:
            return None, "unknown_event_id"
        if not await self._feed.log.reaches(position):
            return None, "log_ended"
        return position.sequence, None

    async def _has_lost_its_begin(self, events: list[PublicEvent]) -> bool:
        """Whether the log has no longer the first event of a document or a batch."""
        if events:
            return events[0].name not in _FIRST
        _, ended = await self._read_state("log_ended")
        return ended

    async def _follow(self, listener: Listener, position: int) -> None:
        """Send events as they are published, until the stream ends."""
        while not listener.closed:
            while (event := listener.take()) is not None:
                await self._write_event(event)
                position = event.position.sequence
            if self._has_ended():
                return
            if listener.behind:
                last = self._feed.position.sequence
                listener.follow()
                await self._catch_up(listener, position, last)
                position = last
            elif not await listener.wait(COMMENT_INTERVAL):
                await self._write(b":\n\n")

    async def _catch_up(self, listener: Listener, after: int, last: int) -> None:
        async for event in events_between(self._feed, listener, after, last):
            await self._write_event(event)

    async def _write_reset(self, reason: ResetReason, position: LogPosition) -> None:
        data, self._ended = await self._read_state(reason)
        await self._write(
            f"event: reset\nid: {self._id(position)}\ndata: {_encode(data).decode()}\n\n".encode()
        )

    async def _write_event(self, event: PublicEvent) -> None:
        self._note(event)
        head = f"event: {event.name}\nid: {self._id(event.position)}\ndata: "
        await self._write(head.encode() + event.data + b"\n\n")

    def _note(self, event: PublicEvent) -> None:
        """Note whether the stream ends with this event."""
        if self._scope.kind == DOCUMENT:
            self._ended = event.name in ENDS
        elif self._scope.kind == BATCH and event.name == "batch.completed":
            self._ended = True

    def _has_ended(self) -> bool:
        return self._ended

    def _id(self, position: LogPosition) -> str:
        return self._sealer.seal_position(position, self._scope)

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(self._timeout):
            await self._response.write(data)


_FIRST = frozenset(
    {"document.submitted", "document.rejected", "document.cancelled", "batch.submitted"}
)
"""Events with which the log of a document or a batch begins."""
