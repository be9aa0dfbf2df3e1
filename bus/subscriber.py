"""Hearing of every event of some kinds the moment it is said, without keeping a place on the log.

What is said while nobody listens, or while the connection is lost, is missed: this is for being
quick, never for being sure.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus import codec, subjects
from bus.connection import Connection
from bus.errors import BusUnavailable
from schemas.documents import DocumentCancelled, DocumentCompleted, DocumentEvent, DocumentFailed

EventCallback = Callable[[str, str], None]
"""Called with the tenant and the id of the document an event is about."""


class Subscriber:
    """Subscribes to kinds of events (core NATS, not JetStream)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def subscribe(
        self, *event_types: type[DocumentEvent], callback: EventCallback
    ) -> AsyncIterator[None]:
        """Call ``hear`` for each event of these kinds while the context is open.

        :raises BusUnavailable: the bus is not connected.
        """

        async def on_message(message: Msg) -> None:
            try:
                parsed = subjects.parse_document(message.subject)
            except subjects.MalformedSubject:
                return
            callback(parsed.tenant, parsed.document_id)

        async with AsyncExitStack() as stack:
            for event_type in event_types:
                try:
                    subscription = await self._connection.client.subscribe(
                        subjects.filter_for(event_type), cb=on_message
                    )
                except (nats.errors.Error, OSError) as error:
                    raise BusUnavailable(f"cannot listen: {error}") from error
                stack.push_async_callback(_unsubscribe, subscription)
            yield


async def _unsubscribe(subscription: Subscription) -> None:
    with suppress(nats.errors.Error, OSError):  # a closed connection has none left
        await subscription.unsubscribe()


TerminalEvent = DocumentCompleted | DocumentFailed | DocumentCancelled


class Outcome:
    """The end of one document, as soon as it is known."""

    def __init__(self) -> None:
        self._event: asyncio.Future[TerminalEvent] = asyncio.get_running_loop().create_future()

    async def wait(self) -> TerminalEvent:
        """Wait for the end, without a limit; it may be missed while the bus reconnects."""
        return await asyncio.shield(self._event)

    async def _on_message(self, message: Msg) -> None:
        try:
            event = codec.decode(message.subject, message.data)
        except codec.MalformedEvent:
            return
        if isinstance(event, TerminalEvent) and not self._event.done():
            self._event.set_result(event)


class OutcomeListener:
    """Waits for documents by listening to their own subjects; nothing is stored for it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def watch(self, tenant: str, document_id: str) -> AsyncIterator[Outcome]:
        """Listen to one document; enter before submitting it, or its end may be missed.

        :raises BusUnavailable: the bus is not connected.
        """
        outcome = Outcome()
        subject = subjects.document_filter("*", tenant, document_id)
        try:
            subscription = await self._connection.client.subscribe(
                subject,
                cb=outcome._on_message,  # noqa: SLF001  # the two are one room
            )
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"cannot listen: {error}") from error
        try:
            yield outcome
        finally:
            with suppress(nats.errors.Error, OSError):  # a closed connection has none left
                await subscription.unsubscribe()
