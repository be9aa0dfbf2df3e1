"""Pages while they are converted, on core subjects that no stream stores: events, and requests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TypeVar

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus import codec, subjects
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.lean_client import MessageCallback
from schemas.batches import BatchProgressed
from schemas.documents import DocumentCompleted
from schemas.ids import is_id, is_tenant
from schemas.pages import DraftsReply, PageConverted, PagesRequested

REPLY_WITHIN = 2.0  # seconds
MAX_PENDING_BYTES = 4 * 1024 * 1024  # of replies to be sent, beyond which requests are dropped

_encoder = msgspec.json.Encoder()
_event = msgspec.json.Decoder(PageConverted)
_request = msgspec.json.Decoder(PagesRequested)
_reply = msgspec.json.Decoder(DraftsReply)

_E = TypeVar("_E")

PageCallback = Callable[[PageConverted], None]
"""Called by the task that reads the connection: it must not take long."""

HasDrafts = Callable[[str, str], bool]
"""Whether there are pages of a document of a tenant."""

ReadDrafts = Callable[[str, str, int], bytes]
"""Returns the encoded reply for a tenant, a document, and the number that the reader has."""


class PagePublisher:
    """Publishes events about pages without waiting: they may be lost, conversions go on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def publish(self, event: PageConverted) -> None:
        """Publish an event, or drop it while the bus is away."""
        if not self._connection.connected:
            return
        subject = subjects.page_subject(event.tenant, event.document_id)
        with suppress(nats.errors.Error):
            self._connection.client.publish_soon(subject, _encoder.encode(event))


class DraftServer:
    """Answers requests for pages of documents that are still converted."""

    def __init__(
        self,
        connection: Connection,
        read: ReadDrafts,
        *,
        has: HasDrafts = lambda _tenant, _document_id: True,
        without_after: float | None = 0.0,
    ) -> None:
        """Answer at once about documents that this process ``has``, and about others later.

        Of several servers the first answer counts: one without the document answers
        ``without_after`` seconds, or not at all.
        """
        self._connection = connection
        self._read = read
        self._has = has
        self._without_after = without_after

    async def run(self) -> None:
        """Answer until cancelled.

        :raises BusUnavailable: the bus is not connected.
        """
        async with _subscribed(
            self._connection, subjects.drafts_subject("*", "*"), self._on_request
        ):
            await asyncio.get_running_loop().create_future()

    def _on_request(self, message: Msg) -> None:
        tenant, document_id = message.subject.split(".")[-2:]
        if not (message.reply and is_tenant(tenant) and is_id(document_id)):
            return
        try:
            since = _request.decode(message.data).since if message.data else 0
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if self._has(tenant, document_id):
            self._answer(message.reply, tenant, document_id, since)
        elif self._without_after is not None:
            asyncio.get_running_loop().call_later(
                self._without_after, self._answer, message.reply, tenant, document_id, since
            )

    def _answer(self, reply: str, tenant: str, document_id: str, since: int) -> None:
        if self._connection.client.pending_data_size > MAX_PENDING_BYTES:
            return  # or requests could fill the memory with what is not read
        with suppress(nats.errors.Error):
            answer = self._read(tenant, document_id, since)
            self._connection.client.publish_soon(reply, answer)


class PageReader:
    """Reads pages while they are converted: what there is, and whether there is more."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def drafts(self, tenant: str, document_id: str, since: int = 0) -> DraftsReply:
        """Return pages of a document after ``since``; none where nobody has any.

        :raises BusUnavailable: the bus is not connected, or the worker does not answer.
        """
        subject = subjects.drafts_subject(tenant, document_id)
        body = _encoder.encode(PagesRequested(since=since))
        answer = await self._connection.request(subject, body, REPLY_WITHIN)
        try:
            return _reply.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BusUnavailable(f"no pages in the answer: {error}") from error

    @asynccontextmanager
    async def watch(self, tenant: str, document_id: str) -> AsyncIterator[asyncio.Event]:
        """Set an event whenever pages of a document are converted, while the context is open.

        :raises BusUnavailable: the bus is not connected.
        """
        changed = asyncio.Event()

        def on_event(_: PageConverted) -> None:
            changed.set()

        async with page_events(self._connection, on_event, tenant, document_id):
            yield changed


@asynccontextmanager
async def page_events(
    connection: Connection, callback: PageCallback, tenant: str = "*", document_id: str = "*"
) -> AsyncIterator[None]:
    """Call ``callback`` with the events about a document, or all, while the context is open.

    :raises BusUnavailable: the bus is not connected.
    """

    def on_message(message: Msg) -> None:
        try:
            event = _event.decode(message.data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if subjects.page_subject(event.tenant, event.document_id) == message.subject:
            callback(event)

    subject = subjects.page_subject(tenant, document_id)
    async with _subscribed(connection, subject, on_message):
        yield


def completions(
    connection: Connection, callback: Callable[[DocumentCompleted], None]
) -> AbstractAsyncContextManager[None]:
    """Call ``callback`` with every document that is completed, while the context is open.

    :raises BusUnavailable: the bus is not connected.
    """
    subject = subjects.any_tenant_filter(subjects.event_name(DocumentCompleted))
    return _events(connection, subject, DocumentCompleted, callback)


def job_events(
    connection: Connection, callback: Callable[[BatchProgressed], None]
) -> AbstractAsyncContextManager[None]:
    """Call ``callback`` with the progress of every batch job, while the context is open.

    :raises BusUnavailable: the bus is not connected.
    """
    subject = subjects.batch_subject(subjects.event_name(BatchProgressed), "*", "*")
    return _events(connection, subject, BatchProgressed, callback)


@asynccontextmanager
async def _events(
    connection: Connection, subject: str, kind: type[_E], callback: Callable[[_E], None]
) -> AsyncIterator[None]:
    def on_message(message: Msg) -> None:
        try:
            event = codec.decode(message.subject, message.data)
        except codec.MalformedEvent:
            return
        if isinstance(event, kind):
            callback(event)

    async with _subscribed(connection, subject, on_message):
        yield


@asynccontextmanager
async def _subscribed(
    connection: Connection, subject: str, callback: MessageCallback
) -> AsyncIterator[None]:
    try:
        subscription: Subscription = await connection.client.subscribe_directly(subject, callback)
    except (nats.errors.Error, OSError) as error:
        raise BusUnavailable(f"cannot subscribe: {error}") from error
    try:
        yield
    finally:
        with suppress(nats.errors.Error, OSError):  # a closed connection has no subscriptions
            await subscription.unsubscribe()
