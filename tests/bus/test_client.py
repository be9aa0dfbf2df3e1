"""The client reconnects on the event loop of the service, however a connection ends."""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter

from bus.lean_client import LeanClient
from ilios.runtime import event_loop

INFO = b'INFO {"server_id":"S","version":"2.14.0","proto":1,"headers":true,"max_payload":1024}\r\n'
RESET_AT_ONCE = struct.pack("ii", 1, 0)


class ResettingServer:
    """While ``resetting``, it resets connections as soon as it has sent ``INFO``."""

    def __init__(self) -> None:
        self.resetting = False
        self.resets = 0
        self._writers: list[StreamWriter] = []

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve a connection."""
        self._writers.append(writer)
        writer.write(INFO)
        if self.resetting:
            self.resets += 1
            await asyncio.sleep(0)  # until it is sent
            self.reset()
            return
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    def reset(self) -> None:
        """Reset all connections."""
        for writer in self._writers:
            opened = writer.get_extra_info("socket")
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
            writer.transport.abort()
        self._writers.clear()


async def _reconnect_after_resets() -> None:
    server = ResettingServer()
    client, reconnected, failed = LeanClient(), asyncio.Event(), asyncio.Event()

    async def on_reconnect() -> None:
        reconnected.set()

    async def on_error(_: Exception) -> None:
        if server.resets >= 3:
            failed.set()

    async with await asyncio.start_server(server.handle, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        await client.connect(
            f"nats://127.0.0.1:{port}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.01,  # type: ignore[arg-type]  # a float works
            reconnected_cb=on_reconnect,
            error_cb=on_error,
        )
        server.resetting = True
        server.reset()
        async with asyncio.timeout(20):
            await failed.wait()
            server.resetting = False
            await reconnected.wait()
        await client.close()
        server.reset()


def test_connections_that_are_reset_while_they_are_made_are_made_again() -> None:
    event_loop.run(_reconnect_after_resets())
