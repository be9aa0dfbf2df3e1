"""Which documents were cancelled: known at once by listening, and for sure by asking the log."""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.listening import Listener
from bus.log import Log
from schemas.documents import DocumentCancelled, DocumentEvent, DocumentSubmitted
from schemas.times import believed

CLOCKS_DIFFER_BY = timedelta(seconds=10)  # the log's clock and ours, at most
REMEMBERED = 10_000  # cancelled documents known by heart; of older ones the log is asked

_T = TypeVar("_T")

Name = tuple[str, str]
"""The tenant and the id of a document."""


class Cancelled(Exception):
    """The document was cancelled while it was worked on."""


class Cancellations:
    """Shared by the actors of one process. ``run`` listens; without it the log is always asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._log = Log(connection)
        self._heard: OrderedDict[Name, datetime] = OrderedDict()  # and when
        self._working: dict[Name, set[asyncio.Task[Any]]] = {}
        self._since: datetime | None = None
        self._connected_anew = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        listener = Listener(self._connection)
        forget = self._connection.on_reconnect(self._begin)
        try:
            async with listener.listening(DocumentCancelled, hear=self._hear):
                self._begin()
                while True:
                    await self._connected_anew.wait()
                    self._connected_anew.clear()
                    await self._catch_up()
        finally:
            self._since = None
            forget()

    async def includes(self, event: DocumentEvent, stored_at: datetime) -> bool:
        """Whether the document of an event, which the log took at ``stored_at``, was cancelled.

        :raises BusUnavailable: the log had to be asked and does not answer.
        """
        name = (event.tenant, event.document_id)
        if name in self._heard:
            return True
        heard_since = self._since and self._since + CLOCKS_DIFFER_BY
        if heard_since is not None and _known_at(event, stored_at) >= heard_since:
            return False  # it would have been heard
        return await self._is_on_log(name)

    async def unless(self, event: DocumentEvent, work: Coroutine[Any, Any, _T]) -> _T:
        """Do the work, but break it off when the document is cancelled.

        :raises Cancelled: it was.
        """
        name = (event.tenant, event.document_id)
        task = asyncio.ensure_future(work)
        at_work = self._working.setdefault(name, set())
        at_work.add(task)
        if name in self._heard:  # since ``includes`` was asked
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            if name in self._heard and task.cancelled():
                me = asyncio.current_task()
                if me is None or not me.cancelling():
                    raise Cancelled from None
            raise
        finally:
            task.cancel()
            at_work.discard(task)
            if not at_work:
                self._working.pop(name, None)

    def _begin(self) -> None:
        """Nothing is missed from now on; what was said while the connection was lost may be."""
        self._since = datetime.now(UTC)
        self._connected_anew.set()

    async def _catch_up(self) -> None:
        """Ask the log about what is being worked on.

        If it does not answer either, the work goes on to its end, for nothing: the database does
        not take what comes of a cancelled document.
        """
        for tenant, document_id in tuple(self._working):
            with suppress(BusUnavailable):
                if await self._is_on_log((tenant, document_id)):
                    self._hear(tenant, document_id)

    async def _is_on_log(self, name: Name) -> bool:
        return await self._log.last_word(*name, event="cancelled") is not None

    def _hear(self, tenant: str, document_id: str) -> None:
        name = (tenant, document_id)
        self._heard[name] = datetime.now(UTC)
        while len(self._heard) > REMEMBERED:
            _, forgotten = self._heard.popitem(last=False)
            if self._since is not None:
                # Or it would count as never heard, and so as never said.
                self._since = max(self._since, forgotten)
        for task in self._working.get(name, ()):
            task.cancel()


def _known_at(event: DocumentEvent, stored_at: datetime) -> datetime:
    """Return since when the document can have been cancelled.

    One of a batch can be before its own submission is said: as soon as the batch's is.
    """
    if isinstance(event, DocumentSubmitted) and event.submitted_at is not None:
        return min(stored_at, believed(event.submitted_at, stored_at))
    return stored_at
