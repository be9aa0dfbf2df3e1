"""Hearing of every event of some kinds the moment it is said, without keeping a place on the log.

What is said while nobody listens, or while the connection is lost, is missed: this is for being
quick, never for being sure.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from schemas.documents import DocumentEvent

from . import subjects
from .connection import Connection
from .errors import BusUnavailable

Hear = Callable[[str, str], None]
"""Called with the tenant and the id of the document an event is about."""


class Listener:
    """Subscribes to kinds of events (core NATS, not JetStream)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def listening(self, *words: type[DocumentEvent], hear: Hear) -> AsyncIterator[None]:
        """Call ``hear`` for each event of these kinds while the context is open.

        :raises BusUnavailable: the bus is not connected.
        """

        async def on_message(message: Msg) -> None:
            try:
                address = subjects.parse(message.subject)
            except subjects.NotAnAddress:
                return
            hear(address.tenant, address.document_id)

        async with AsyncExitStack() as stack:
            for word in words:
                try:
                    subscription = await self._connection.client.subscribe(
                        subjects.every(word), cb=on_message
                    )
                except (nats.errors.Error, OSError) as error:
                    raise BusUnavailable(f"cannot listen: {error}") from error
                stack.push_async_callback(_leave, subscription)
            yield


async def _leave(subscription: Subscription) -> None:
    with suppress(nats.errors.Error, OSError):  # a closed connection has none left
        await subscription.unsubscribe()
