"""Reading of the log in pages of events, and notices of what is published, without a consumer.

A page is one batched direct get (NATS ADR-31). A notice is a message without a position on the
log: it only shows that there is something to read, and may be missed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from itertools import count

import msgspec
import nats.errors
from nats.aio.msg import Msg

from bus import streams, subjects
from bus.connection import REQUEST_TIMEOUT, Connection
from bus.errors import BusUnavailable
from bus.reader import ALL_SUBJECTS, LOG_START, TIME_TOLERANCE, LogPosition
from bus.stored_messages import DirectGet, StoredMessage, ask_leader

PAGE_EVENTS = 128
PAGE_BYTES = 1024 * 1024
"""Limits of one page; one event may be larger."""

LAG = 0.05
"""Seconds after which what was published is on all replicas as a rule, 4 ms as measured."""

_DIRECT_GET = f"$JS.API.DIRECT.GET.{streams.EVENTS}"
_END = "204"
_NOTHING = "404"


class EventLog:
    """Pages of events of the log. Every method may raise ``BusUnavailable``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._direct_get = DirectGet(connection, streams.EVENTS)
        self._inbox = ""
        self._opening = asyncio.Lock()
        self._numbers = count()
        self._pages: dict[str, _Page] = {}

    async def end(self) -> LogPosition:
        """Return the position of the newest event; that of the start of an empty log."""
        newest = await self._direct_get.last(ALL_SUBJECTS)
        return LogPosition(newest.sequence, newest.stored_at) if newest else LOG_START

    async def reaches(self, position: LogPosition) -> bool:
        """Whether the log is still that of a position, and has every event after it."""
        if position.sequence < 1:
            return await self._direct_get.get(1) is not None or not (await self.end()).sequence
        found = await self._direct_get.get(position.sequence)
        return found is not None and abs(found.stored_at - position.stored_at) < TIME_TOLERANCE

    async def read(self, after: int, subject: str | None = None) -> list[StoredMessage]:
        """Return the next events after a sequence, on a subject or filter; none at the end."""
        found = await self._read_page(after, subject)
        if found or not self._connection.may_lag:
            return found
        query = {"seq": after + 1, "next_by_subj": subject or ALL_SUBJECTS}
        message = await ask_leader(self._connection, streams.EVENTS, query)
        return [message] if message else []

    async def _read_page(self, after: int, subject: str | None) -> list[StoredMessage]:
        """Return a page of what one replica has."""
        if not self._connection.connected:
            raise BusUnavailable("the bus is not connected")
        query: dict[str, object] = {
            "seq": after + 1,
            "batch": PAGE_EVENTS,
            "max_bytes": PAGE_BYTES,
        }
        if subject is not None:
            query["next_by_subj"] = subject
        token, page = str(next(self._numbers)), _Page()
        try:
            await self._open()
            self._pages[token] = page
            client = self._connection.client
            await client.publish(
                _DIRECT_GET, msgspec.json.encode(query), reply=f"{self._inbox}.{token}"
            )
            async with asyncio.timeout(REQUEST_TIMEOUT):
                return await page.ended
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BusUnavailable(f"the log was not read: {error}") from error
        finally:
            self._pages.pop(token, None)

    async def read_all(self, subject: str) -> list[StoredMessage]:
        """Return all events on the subjects of one document or batch."""
        found: list[StoredMessage] = []
        while page := await self.read(found[-1].sequence if found else 0, subject):
            found += page
        return found

    @asynccontextmanager
    async def notices(self, callback: Callable[[], None]) -> AsyncIterator[None]:
        """Call ``callback`` when there may be something new, while the context is open."""
        loop = asyncio.get_running_loop()
        later: asyncio.TimerHandle | None = None

        def on_message(_message: Msg) -> None:
            nonlocal later
            callback()
            # It comes before the servers have agreed on it, so there may be nothing to read yet.
            if later is None and self._connection.may_lag:
                later = loop.call_later(LAG, on_stored)

        def on_stored() -> None:
            nonlocal later
            later = None
            callback()

        def stop() -> None:
            if later is not None:
                later.cancel()

        async with AsyncExitStack() as stack:
            stack.callback(stop)
            for subject in NOTICED_SUBJECTS:
                try:
                    subscription = await self._connection.client.subscribe_directly(
                        subject, on_message
                    )
                except (nats.errors.Error, OSError) as error:
                    raise BusUnavailable(f"cannot subscribe: {error}") from error
                stack.push_async_callback(_unsubscribe, subscription)
            stack.callback(self._connection.on_reconnect(callback))
            yield

    async def _open(self) -> None:
        """Subscribe to the replies, once for all pages."""
        async with self._opening:
            if not self._inbox:
                inbox = self._connection.client.new_inbox()
                await self._connection.client.subscribe_directly(f"{inbox}.*", self._on_reply)
                self._inbox = inbox

    def _on_reply(self, message: Msg) -> None:
        page = self._pages.get(message.subject.rpartition(".")[2])
        if page is not None:
            page.add(message)


NOTICED_SUBJECTS = (
    subjects.any_tenant_filter("*"),
    subjects.batch_subject("progressed", "*", "*"),
    subjects.batch_subject("completed", "*", "*"),
)
"""What the edge subscribes to. Batches are submitted with documents, of which there are notices."""


class _Page:
    """Replies to one request, until the last one."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[list[StoredMessage]] = loop.create_future()
        self._found: list[StoredMessage] = []

    def add(self, message: Msg) -> None:
        headers = message.headers or {}
        if self.ended.done():
            return
        # Each names the one before it; after a reconnect some may never come.
        before = self._found[-1].sequence if self._found else 0
        if int(headers.get("Nats-Last-Sequence", before)) != before:
            self.ended.set_exception(BusUnavailable("an event of the page did not arrive"))
        elif "Nats-Sequence" in headers:
            self._found.append(
                StoredMessage(
                    int(headers["Nats-Sequence"]),
                    datetime.fromisoformat(headers["Nats-Time-Stamp"]),
                    headers.get("Nats-Subject", ""),
                    headers,
                    message.data,
                )
            )
        else:
            status = headers.get("Status")
            if status in (_END, _NOTHING):
                self.ended.set_result(self._found)
            else:
                self.ended.set_exception(BusUnavailable(f"the stream answered {status}"))


async def _unsubscribe(subscription: object) -> None:
    with suppress(nats.errors.Error, OSError):  # a closed connection has no subscriptions
        await subscription.unsubscribe()  # type: ignore[attr-defined]
