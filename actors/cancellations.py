"""Cancelled documents: found at once by a subscription, and reliably by lookups on the log."""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.log import Log
from bus.subscriber import Subscriber
from schemas.documents import DocumentCancelled, DocumentEvent, DocumentSubmitted, effective_time

MAX_CLOCK_SKEW = timedelta(seconds=10)  # the log's clock and ours, at most
MAX_REMEMBERED = 10_000  # cancelled documents in memory; older ones are looked up on the log

_T = TypeVar("_T")

DocumentRef = tuple[str, str]
"""The tenant and the id of a document."""


class Cancelled(Exception):
    """The document was cancelled during the work on it."""


class Cancellations:
    """Shared by the actors of a process. Without ``run`` every check is a lookup on the log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._log = Log(connection)
        self._cancelled_at: OrderedDict[DocumentRef, datetime] = OrderedDict()  # and when
        self._tasks: dict[DocumentRef, set[asyncio.Task[Any]]] = {}
        self._listening_since: datetime | None = None
        self._reconnected = asyncio.Event()

    async def run(self) -> None:
        """Subscribe to cancellations until cancelled."""
        listener = Subscriber(self._connection)
        unsubscribe = self._connection.on_reconnect(self._mark_listening)
        try:
            async with listener.subscribe(DocumentCancelled, callback=self._on_cancelled):
                self._mark_listening()
                while True:
                    await self._reconnected.wait()
                    self._reconnected.clear()
                    await self._catch_up()
        finally:
            self._listening_since = None
            unsubscribe()

    async def is_cancelled(self, event: DocumentEvent, stored_at: datetime) -> bool:
        """Whether the document of an event that was stored at ``stored_at`` was cancelled.

        :raises BusUnavailable: a lookup on the log was needed and failed.
        """
        name = (event.tenant, event.document_id)
        if name in self._cancelled_at:
            return True
        reliable_since = self._listening_since and self._listening_since + MAX_CLOCK_SKEW
        if reliable_since is not None and _cancellable_since(event, stored_at) >= reliable_since:
            return False  # the subscription would have received it
        return await self._is_on_log(name)

    async def run_unless_cancelled(self, event: DocumentEvent, work: Coroutine[Any, Any, _T]) -> _T:
        """Do the work, but stop when the document is cancelled.

        :raises Cancelled: it was cancelled.
        """
        name = (event.tenant, event.document_id)
        task = asyncio.ensure_future(work)
        tasks = self._tasks.setdefault(name, set())
        tasks.add(task)
        if name in self._cancelled_at:  # since ``is_cancelled``
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            if name in self._cancelled_at and task.cancelled():
                me = asyncio.current_task()
                if me is None or not me.cancelling():
                    raise Cancelled from None
            raise
        finally:
            task.cancel()
            tasks.discard(task)
            if not tasks:
                self._tasks.pop(name, None)

    def _mark_listening(self) -> None:
        """Record that no cancellation is missed from now on; earlier ones may have been."""
        self._listening_since = datetime.now(UTC)
        self._reconnected.set()

    async def _catch_up(self) -> None:
        """Look up the documents in progress on the log.

        If that fails, the work goes on in vain: the database ignores results of cancelled
        documents.
        """
        for tenant, document_id in tuple(self._tasks):
            with suppress(BusUnavailable):
                if await self._is_on_log((tenant, document_id)):
                    self._on_cancelled(tenant, document_id)

    async def _is_on_log(self, name: DocumentRef) -> bool:
        return await self._log.last_event(*name, event_name="cancelled") is not None

    def _on_cancelled(self, tenant: str, document_id: str) -> None:
        name = (tenant, document_id)
        self._cancelled_at[name] = datetime.now(UTC)
        while len(self._cancelled_at) > MAX_REMEMBERED:
            _, forgotten = self._cancelled_at.popitem(last=False)
            if self._listening_since is not None:
                # Or it would count as not cancelled.
                self._listening_since = max(self._listening_since, forgotten)
        for task in self._tasks.get(name, ()):
            task.cancel()


def _cancellable_since(event: DocumentEvent, stored_at: datetime) -> datetime:
    """Return the earliest time at which the document can have been cancelled.

    A document of a batch can be cancelled as soon as the batch is published.
    """
    if isinstance(event, DocumentSubmitted) and event.submitted_at is not None:
        return min(stored_at, effective_time(event.submitted_at, stored_at))
    return stored_at
