"""Which documents were cancelled: known at once by listening, and for sure by asking the log."""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bus.connection import Connection
from bus.listening import Listener
from bus.log import Log
from schemas.documents import DocumentCancelled, DocumentEvent

CLOCKS_DIFFER_BY = timedelta(seconds=10)  # the log's clock and ours, at most
REMEMBERED = 10_000  # cancelled documents known by heart; of older ones the log is asked

_T = TypeVar("_T")


class Cancelled(Exception):
    """The document was cancelled while it was worked on."""


class Cancellations:
    """Shared by the actors of one process. ``run`` listens; without it the log is always asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._log = Log(connection)
        self._heard: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._working: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._since: datetime | None = None

    async def run(self) -> None:
        """Listen until cancelled."""
        listener = Listener(self._connection)
        forget = self._connection.on_reconnect(self._begin)
        try:
            async with listener.listening(DocumentCancelled, hear=self._hear):
                self._begin()
                await asyncio.get_running_loop().create_future()
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
        if self._since is not None and stored_at >= self._since + CLOCKS_DIFFER_BY:
            return False  # it would have been heard
        return await self._log.last_word(*name, event="cancelled") is not None

    async def unless(self, event: DocumentEvent, work: Coroutine[Any, Any, _T]) -> _T:
        """Do the work, but break it off when the document is cancelled.

        :raises Cancelled: it was.
        """
        name = (event.tenant, event.document_id)
        task = asyncio.ensure_future(work)
        self._working[name] = task
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
            if self._working.get(name) is task:
                del self._working[name]

    def _begin(self) -> None:
        """Nothing is missed from now on; what was said while the connection was lost may be."""
        self._since = datetime.now(UTC)

    def _hear(self, tenant: str, document_id: str) -> None:
        name = (tenant, document_id)
        self._heard[name] = None
        while len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)
        if (task := self._working.get(name)) is not None:
            task.cancel()
