"""The channel between two processes: messages over a pair of connected sockets.

A message is its length in four bytes, and MessagePack.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Generic, Self, TypeVar

import msgspec

from ilios.edge_process import messages
from ilios.edge_process.messages import FromCore, FromEdge

_LENGTH_BYTES = 4

_Received = TypeVar("_Received")


class Channel(Generic[_Received]):
    """One end. Make one with ``open``."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: msgspec.msgpack.Decoder[_Received],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder

    @classmethod
    @asynccontextmanager
    async def open(
        cls, end: socket.socket, decoder: msgspec.msgpack.Decoder[_Received]
    ) -> AsyncIterator[Self]:
        """Use a connected socket while the context is open; it is closed."""
        reader, writer = await asyncio.open_unix_connection(sock=end)
        try:
            yield cls(reader, writer, decoder)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def send(self, message: FromCore | FromEdge) -> None:
        """Send a message, or drop it if the other end is gone; never blocks."""
        encoded = messages.encode(message)
        if not self._writer.is_closing():
            self._writer.write(len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded)

    async def receive(self) -> _Received | None:
        """Return the next message, or None when the other end is gone."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            return self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
