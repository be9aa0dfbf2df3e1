"""Progress of documents that are still converted: their pages, place in the queue, and end."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol

import msgspec
from msgspec import Struct

from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.pages import completions, page_events
from ilios.edge.queue_estimates import Estimate, Means, Running, Throughput, estimate
from schemas.documents import DocumentCompleted
from schemas.options import EngineName
from schemas.pages import PageConverted
from schemas.records import DocumentRecord, QueuedDocument
from schemas.replies import DocumentStatus, PageProgress
from schemas.states import UNFINISHED_STATES

MAX_QUEUE = 2000
"""Documents whose place is known: the oldest unfinished ones. Later ones have no estimate."""
REFRESH_INTERVAL = 1.0
"""Seconds between two looks at the queue, however many clients ask."""
REFRESH_SHARE = 20
"""A look takes at most one in so many seconds."""
MAX_RUNNING = 10_000
FORGET_AFTER = 600.0
"""Seconds without an event after which a conversion counts as lost."""
EXACT_BELOW = 100
"""Seconds; longer estimates have two digits."""

DocumentName = tuple[str, str]


class QueueQueries(Protocol):
    """Unfinished documents in the database."""

    async def queue(self, limit: int) -> list[QueuedDocument]:
        """Return the oldest documents that have not ended."""
        ...


class _Reported(Struct, frozen=True):
    event: PageConverted
    at: float


class DocumentProgress:
    """Listens to events about pages from the first question on. What is not known is left out."""

    def __init__(
        self,
        connection: Connection | None,
        queries: QueueQueries,
        processes: int,
        default_engine: EngineName = "local",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen to nothing yet, and never without a ``connection``."""
        self._connection = connection
        self._queries = queries
        self._processes = processes
        self._default_engine = default_engine
        self._clock = clock
        self._means = Means()
        self._throughput = Throughput(processes)
        self._reported: dict[DocumentName, _Reported] = {}
        self._estimates: dict[DocumentName, Estimate] = {}
        self._estimated_at = -math.inf
        self._refresh_after = -math.inf
        self._refreshing = asyncio.Lock()
        self._subscription = AsyncExitStack()
        self._subscribed = connection is None

    async def add_to(self, status: DocumentStatus, document: DocumentRecord) -> DocumentStatus:
        """Return the status of a document with its progress, if it has not ended."""
        if document.state not in UNFINISHED_STATES or document.held:
            return status
        await self._subscribe()
        await self._refresh()
        name = (document.tenant, document.document_id)
        reported, found = self._reported.get(name), self._estimates.get(name)
        if reported is not None and reported.event.of:
            pages = PageProgress(pages=reported.event.page, of=reported.event.of)
            status = msgspec.structs.replace(status, progress=pages)
        if found is None:
            return status
        seconds = None
        if found.seconds is not None:
            seconds = rounded(found.seconds - (self._clock() - self._estimated_at))
        return msgspec.structs.replace(status, position=found.position, eta_seconds=seconds)

    def on_event(self, event: PageConverted) -> None:
        """Take an event about pages."""
        name, now = (event.tenant, event.document_id), self._clock()
        self._reported.pop(name, None)
        self._reported[name] = _Reported(event, now)
        while len(self._reported) > MAX_RUNNING:
            del self._reported[next(iter(self._reported))]

    def on_completed(self, event: DocumentCompleted) -> None:
        """Take the end of a conversion, which is a sample of its kind."""
        self._reported.pop((event.tenant, event.document_id), None)
        kind = (event.engine, event.content_type, event.original.size.bit_length())
        expected = self._means.expected(kind)
        self._means.add(kind, event.seconds)
        if event.engine == "local":
            # In expected seconds: where these are too many or too few, so is the rate.
            self._throughput.add(self._clock(), event.seconds if expected is None else expected)

    async def close(self) -> None:
        """Stop listening."""
        await self._subscription.aclose()

    async def _subscribe(self) -> None:
        if self._subscribed or self._connection is None:
            return
        self._subscribed = True
        try:
            async with AsyncExitStack() as stack:
                enter = stack.enter_async_context
                await enter(page_events(self._connection, self.on_event))
                await enter(completions(self._connection, self.on_completed))
                self._subscription.push_async_callback(stack.pop_all().aclose)
        except BusUnavailable:
            self._subscribed = False

    async def _refresh(self) -> None:
        """Look at the queue, unless that was done a moment ago."""
        async with self._refreshing:
            if self._clock() < self._refresh_after:
                return
            began = self._clock()
            documents = await self._queries.queue(MAX_QUEUE)
            self._estimate(documents)
            took = self._clock() - began
            self._refresh_after = began + max(REFRESH_INTERVAL, REFRESH_SHARE * took)

    def _estimate(self, documents: list[QueuedDocument]) -> None:
        now = self._clock()
        names = {(one.tenant, one.document_id) for one in documents}
        for name, reported in list(self._reported.items()):
            if name not in names or now - reported.at > FORGET_AFTER:
                del self._reported[name]
        local = [one for one in documents if self._engine_of(one) == "local"]
        running = {
            name: Running(one.event.page, one.event.of, one.event.seconds + now - one.at)
            for name, one in self._reported.items()
        }
        expected = {
            (one.tenant, one.document_id): self._means.expected(_kind(one)) for one in local
        }
        self._throughput.observe(now, busy=len(local) > self._processes)
        rate = self._throughput.rate(now, running.values())
        self._estimates = estimate(local, running, expected, self._processes, rate)
        self._estimated_at = now

    def _engine_of(self, document: QueuedDocument) -> EngineName:
        return document.engine or self._default_engine


def _kind(document: QueuedDocument) -> tuple[str, str, int]:
    return "local", document.content_type, document.size.bit_length()


def rounded(seconds: float) -> int:
    """Return seconds as clients get them: whole, and of two digits where there are more.

    A more exact number would show the work of other tenants.
    """
    whole = max(1, math.ceil(seconds))
    if whole < EXACT_BELOW:
        return whole
    unit: int = 10 ** (len(str(whole)) - 2)
    return round(whole / unit) * unit
