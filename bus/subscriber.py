"""Hearing of every event of some kinds the moment it is said, without keeping a place on the log.

What is said while nobody listens, or while the connection is lost, is missed: this is for being
quick, never for being sure.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus import subjects
from bus.connection import Connection
from bus.errors import BusUnavailable
from schemas.documents import DocumentEvent

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
