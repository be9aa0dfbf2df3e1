"""Progress of documents that are still converted: their pages, place in the queue, and end."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Struct

from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.pages import completions, job_events, page_events
from ilios.edge.job_estimates import JobEstimates, waits_for_job
from ilios.edge.queue_estimates import (
    Estimate,
    Means,
    Running,
    Throughput,
    done,
    estimate,
    first_in_order,
)
from schemas.batches import BatchProgressed
from schemas.documents import DocumentCompleted
from schemas.options import EngineName
from schemas.pages import PageConverted
from schemas.records import BatchRecord, DocumentRecord, QueuedDocument
from schemas.replies import BatchDocumentStatus, BatchStatus, DocumentStatus, PageProgress
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

_S = TypeVar("_S", DocumentStatus, BatchDocumentStatus)


class QueueQueries(Protocol):
    """Unfinished documents in the database."""

    async def queue(self, limit: int) -> list[QueuedDocument]:
        """Return the oldest documents that have not ended."""
        ...


class BatchQueries(Protocol):
    """Batches in the database."""

    async def batch(self, tenant: str, batch_id: str) -> BatchRecord | None:
        """Return the tenant's batch with its progress, or None."""
        ...


class _Reported(Struct, frozen=True):
    event: PageConverted
    at: float


class _Pool:
    """The conversions of one engine that run at once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.throughput = Throughput(size)
        self.since: dict[DocumentName, float] = {}
        """When a document without an event about its pages came to its turn."""


class DocumentProgress:
    """Listens to events about pages from the first question on. What is not known is left out."""

    def __init__(
        self,
        connection: Connection | None,
        queries: QueueQueries,
        batches: BatchQueries,
        concurrency: Mapping[EngineName, int],
        default_engine: EngineName = "local",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen to nothing yet, and never without a ``connection``.

        ``concurrency`` is the number of documents that each engine converts at once.
        """
        self._connection = connection
        self._queries = queries
        self._batches = batches
        self._pools = {engine: _Pool(size) for engine, size in concurrency.items()}
        self._default_engine = default_engine
        self._clock = clock
        self._means = Means()
        self._jobs = JobEstimates(clock)
        self._reported: dict[DocumentName, _Reported] = {}
        self._estimates: dict[DocumentName, Estimate] = {}
        self._estimated_at = -math.inf
        self._refresh_after = -math.inf
        self._refreshing = asyncio.Lock()
        self._subscription = AsyncExitStack()
        self._subscribed = connection is None

    async def add_to(self, status: DocumentStatus, document: DocumentRecord) -> DocumentStatus:
        """Return the status of a document with its progress, if it has not ended."""
        if document.state not in UNFINISHED_STATES:
            return status
        await self._look()
        batch = None
        if document.held and document.batch_id is not None:
            batch = await self._batches.batch(document.tenant, document.batch_id)
        return self._with_progress(status, document, batch)

    async def add_to_batch(
        self, status: BatchStatus, batch: BatchRecord, documents: Sequence[DocumentRecord] = ()
    ) -> BatchStatus:
        """Return the status of a batch with its progress, if it has not ended.

        The progress of each of ``documents`` is added to its own status, if that is there.
        """
        if batch.progress.is_finished:
            return status
        await self._look()
        position, seconds = self._of_batch(batch)
        if position is not None:
            status = msgspec.structs.replace(status, position=position)
        if seconds is not None:
            status = msgspec.structs.replace(status, eta_seconds=rounded(seconds))
        if status.documents is UNSET:
            return status
        details = [
            self._with_progress(one, document, batch)
            for one, document in zip(status.documents, documents, strict=True)
        ]
        return msgspec.structs.replace(status, documents=details)

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
        self._means.add(kind, event.seconds)
        pool = next((pool for name, pool in self._pools.items() if name == event.engine), None)
        if pool is not None:
            pool.throughput.add(self._clock(), kind)

    def on_job_event(self, event: BatchProgressed) -> None:
        """Take the progress of a batch job."""
        self._jobs.on_progressed(event)

    async def close(self) -> None:
        """Stop listening."""
        await self._subscription.aclose()

    def _with_progress(self, status: _S, document: DocumentRecord, batch: BatchRecord | None) -> _S:
        """Return the status of a document; ``batch`` is the one for whose job it waits."""
        if document.state not in UNFINISHED_STATES:
            return status
        known: dict[str, Any] = {}
        name = (document.tenant, document.document_id)
        reported, found = self._reported.get(name), self._estimates.get(name)
        if reported is not None and reported.event.of:
            known["progress"] = PageProgress(pages=reported.event.page, of=reported.event.of)
        if document.held:
            seconds = self._jobs.remaining(batch) if batch is not None else None
        else:
            seconds = self._left(found)
        if found is not None:
            known["position"] = found.position
        if seconds is not None:
            known["eta_seconds"] = rounded(seconds)
        return msgspec.structs.replace(status, **known)

    def _of_batch(self, batch: BatchRecord) -> tuple[int | None, float | None]:
        """Return the place of its first document, and the seconds until its last one ends."""
        found = [
            one
            for (tenant, document_id), one in self._estimates.items()
            if tenant == batch.tenant and document_id.startswith(batch.batch_id)
        ]
        seconds = [self._left(one) for one in found]
        if waits_for_job(batch):
            seconds.append(self._jobs.remaining(batch))
        elif len(found) < batch.progress.pending + batch.progress.processing:
            seconds.append(None)
        known = [one for one in seconds if one is not None]
        position = min((one.position for one in found), default=None)
        return position, max(known) if known and len(known) == len(seconds) else None

    def _left(self, found: Estimate | None) -> float | None:
        if found is None or found.seconds is None:
            return None
        return found.seconds - (self._clock() - self._estimated_at)

    async def _look(self) -> None:
        await self._subscribe()
        await self._refresh()

    async def _subscribe(self) -> None:
        if self._subscribed or self._connection is None:
            return
        self._subscribed = True
        try:
            async with AsyncExitStack() as stack:
                enter = stack.enter_async_context
                await enter(page_events(self._connection, self.on_event))
                await enter(completions(self._connection, self.on_completed))
                await enter(job_events(self._connection, self.on_job_event))
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
        self._estimates = {}
        for engine, pool in self._pools.items():
            own = [one for one in documents if (one.engine or self._default_engine) == engine]
            self._estimates.update(self._estimate_pool(engine, pool, own, now))
        self._estimated_at = now

    def _estimate_pool(
        self, engine: EngineName, pool: _Pool, documents: list[QueuedDocument], now: float
    ) -> dict[DocumentName, Estimate]:
        expected = {
            one.name: self._means.expected((engine, one.content_type, one.size.bit_length()))
            for one in documents
        }
        running = {
            name: Running(one.event.page, one.event.of, one.event.seconds + now - one.at)
            for name in expected
            if (one := self._reported.get(name)) is not None
        }
        if engine != "local":
            # It reports a short document only at its end.
            silent = [one for one in documents if one.name not in running]
            turns = first_in_order(silent, pool.size - len(running))
            pool.since = {one.name: pool.since.get(one.name, now) for one in turns}
            running |= {name: Running(0, 0, now - since) for name, since in pool.since.items()}
        pool.throughput.observe(now, busy=len(documents) > pool.size)
        begun = [done(one, expected[name]) for name, one in running.items()]
        rate = pool.throughput.rate(now, begun, self._means.expected)
        return estimate(documents, running, expected, pool.size, rate)


def rounded(seconds: float) -> int:
    """Return seconds as clients get them: whole, and of two digits where there are more.

    A more exact number would show the work of other tenants.
    """
    whole = max(1, math.ceil(seconds))
    if whole < EXACT_BELOW:
        return whole
    unit: int = 10 ** (len(str(whole)) - 2)
    return round(whole / unit) * unit
