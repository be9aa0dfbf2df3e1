"""Subscriptions to events as they are published, without a position on the log.

Events published while nothing is subscribed, or while the connection is lost, are missed: a
subscription is fast, but not reliable.
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
from schemas.batches import BatchCompleted
from schemas.documents import DocumentCancelled, DocumentCompleted, DocumentEvent, DocumentFailed

EventCallback = Callable[[str, str], None]
"""Called with the tenant and the id of the document of an event."""


class Subscriber:
    """Subscriptions to types of events (core NATS, not JetStream)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def subscribe(
        self, *event_types: type[DocumentEvent], callback: EventCallback
    ) -> AsyncIterator[None]:
        """Call ``callback`` for each event of these types while the context is open.

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
                    raise BusUnavailable(f"cannot subscribe: {error}") from error
                stack.push_async_callback(_unsubscribe, subscription)
            yield


async def _unsubscribe(subscription: Subscription) -> None:
    with suppress(nats.errors.Error, OSError):  # a closed connection has no subscriptions
        await subscription.unsubscribe()


TerminalEvent = DocumentCompleted | DocumentFailed | DocumentCancelled


class Outcome:
    """The terminal event of a document, once it has arrived."""

    def __init__(self) -> None:
        self._event: asyncio.Future[TerminalEvent] = asyncio.get_running_loop().create_future()

    async def wait(self) -> TerminalEvent:
        """Wait for the event without a timeout; it may be missed while the bus reconnects."""
        return await asyncio.shield(self._event)

    async def _on_message(self, message: Msg) -> None:
        try:
            event = codec.decode(message.subject, message.data)
        except codec.MalformedEvent:
            return
        if isinstance(event, TerminalEvent):
            self.end(event)

    def end(self, event: TerminalEvent) -> None:
        """Complete the waits; the first event counts."""
        if not self._event.done():
            self._event.set_result(event)


class _PriorityOutcomes:
    """Outcomes of documents of one priority, by subscriptions that all its waiters share."""

    def __init__(self, connection: Connection, priority: int) -> None:
        self._connection = connection
        self._priority = priority
        self._watched: dict[str, list[Outcome]] = {}
        self._subscribing = asyncio.Lock()
        self._subscribed = False

    async def subscribe(self) -> None:
        """Subscribe to the ends of all documents of the priority, the first time."""
        async with self._subscribing:
            if self._subscribed:
                return
            made: list[Subscription] = []
            try:
                for event_type in (DocumentCompleted, DocumentFailed, DocumentCancelled):
                    # Two tokens, and not all that follow: the edge may not subscribe to more.
                    subject = subjects.filter_for(event_type, self._priority)[:-1] + "*.*"
                    client = self._connection.client
                    made.append(await client.subscribe(subject, cb=self._on_message))
            except BaseException:
                for subscription in made:
                    with suppress(nats.errors.Error, OSError):
                        await subscription.unsubscribe()
                raise
            self._subscribed = True

    def add(self, suffix: str, outcome: Outcome) -> None:
        """Complete an outcome by the event whose subject ends in ``suffix``."""
        self._watched.setdefault(suffix, []).append(outcome)

    def remove(self, suffix: str, outcome: Outcome) -> None:
        """Forget an outcome."""
        outcomes = self._watched[suffix]
        outcomes.remove(outcome)
        if not outcomes:
            del self._watched[suffix]

    async def _on_message(self, message: Msg) -> None:
        outcomes = self._watched.get(_document_of(message.subject))
        if outcomes is None:  # another edge waits for it, or nobody
            return
        try:
            event = codec.decode(message.subject, message.data)
        except codec.MalformedEvent:
            return
        if isinstance(event, TerminalEvent):
            for outcome in outcomes:
                outcome.end(event)


def _document_of(subject: str) -> str:
    """Return tenant and id, the last two tokens of a document's subjects."""
    return subject.split(".", 4)[-1]


class OutcomeListener:
    """Watches over the ends of single documents, on the subjects of their events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._by_priority: dict[int, _PriorityOutcomes] = {}

    @asynccontextmanager
    async def watch_batch(self, tenant: str, batch_id: str) -> AsyncIterator[asyncio.Event]:
        """Watch over a batch: the event is set when it ends.

        An end that is on the log before this is entered is missed; so read its state afterwards.

        :raises BusUnavailable: the bus is not connected.
        """
        ended = asyncio.Event()

        async def on_message(_message: Msg) -> None:
            ended.set()

        subject = subjects.batch_subject(subjects.event_name(BatchCompleted), tenant, batch_id)
        try:
            subscription = await self._connection.client.subscribe(subject, cb=on_message)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"cannot subscribe: {error}") from error
        try:
            yield ended
        finally:
            await _unsubscribe(subscription)

    @asynccontextmanager
    async def watch(
        self, tenant: str, document_id: str, priority: int | None = None
    ) -> AsyncIterator[Outcome]:
        """Watch over a document; enter before submitting it, or its end may be missed.

        :param priority: of the document. Documents of one priority share their subscriptions,
            which stay; without a priority the document has one of its own.
        :raises BusUnavailable: the bus is not connected.
        """
        outcome = Outcome()
        if priority is not None:
            shared = self._by_priority.setdefault(
                priority, _PriorityOutcomes(self._connection, priority)
            )
            try:
                await shared.subscribe()
            except (nats.errors.Error, OSError) as error:
                raise BusUnavailable(f"cannot subscribe: {error}") from error
            suffix = f"{tenant}.{document_id}"
            shared.add(suffix, outcome)
            try:
                yield outcome
            finally:
                shared.remove(suffix, outcome)
            return
        subject = subjects.document_filter("*", tenant, document_id)
        try:
            subscription = await self._connection.client.subscribe(
                subject,
                cb=outcome._on_message,  # noqa: SLF001  # both are of this module
            )
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"cannot subscribe: {error}") from error
        try:
            yield outcome
        finally:
            with suppress(nats.errors.Error, OSError):  # a closed connection has no subscriptions
                await subscription.unsubscribe()
