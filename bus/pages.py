"""Events about pages, on core subjects that no stream stores."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import nats.errors
from nats.aio.msg import Msg

from bus import subjects
from bus.connection import Connection
from bus.errors import BusUnavailable
from schemas.pages import PageConverted

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PageConverted)

PageCallback = Callable[[PageConverted], None]
"""Called by the task that reads the connection: it must not take long."""


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


@asynccontextmanager
async def page_events(
    connection: Connection, callback: PageCallback, tenant: str = "*", document_id: str = "*"
) -> AsyncIterator[None]:
    """Call ``callback`` with the events about a document, or all, while the context is open.

    :raises BusUnavailable: the bus is not connected.
    """

    def on_message(message: Msg) -> None:
        try:
            event = _decoder.decode(message.data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if subjects.page_subject(event.tenant, event.document_id) == message.subject:
            callback(event)

    try:
        subscription = await connection.client.subscribe_directly(
            subjects.page_subject(tenant, document_id), on_message
        )
    except (nats.errors.Error, OSError) as error:
        raise BusUnavailable(f"cannot subscribe: {error}") from error
    try:
        yield
    finally:
        with suppress(nats.errors.Error, OSError):  # a closed connection has no subscriptions
            await subscription.unsubscribe()
