"""A reply that shows that a reader of the log is alive, which a second reader can ask for.

The server lists open pull requests, but not whether their owner is alive. A reader that lives
answers on a subject of its own; where nobody subscribes to it the server replies at once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats.errors
from nats.aio.msg import Msg

from bus.connection import INBOX_PREFIX, Connection
from bus.errors import BusUnavailable

PRESENCE_REPLY = b"reading"
PRESENCE_TIMEOUT = 1.0  # seconds


def _subject(name: str) -> str:
    """Return a subject that every user of ilios may subscribe to, and that no stream holds."""
    return f"{INBOX_PREFIX}.{name}.presence"


@asynccontextmanager
async def answer_presence(connection: Connection, name: str) -> AsyncIterator[None]:
    """Answer for the reader ``name`` while the context is open, also after a reconnect."""

    async def answer(message: Msg) -> None:
        if message.reply:
            await message.respond(PRESENCE_REPLY)

    subscription = await connection.client.subscribe(_subject(name), cb=answer)
    try:
        yield
    finally:
        with suppress(nats.errors.Error):  # a connection that closes has ended it already
            await subscription.unsubscribe()


async def is_present(connection: Connection, name: str) -> bool:
    """Return whether a reader of this name answers; nobody and a broken bus look the same."""
    try:
        return (
            await connection.request(_subject(name), b"", PRESENCE_TIMEOUT)
        ).body == PRESENCE_REPLY
    except BusUnavailable:
        return False
