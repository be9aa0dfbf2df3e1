"""The listening sockets of the edge: bound once, and answered by one application after another.

While the service starts a small application answers on copies of them. The sockets themselves stay
open in between, so that no client is refused a connection when the next application takes over.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web

BACKLOG = 1024
"""Connections the system holds for us while the loop is busy."""


class ListeningSockets:
    """The sockets of one host and port. Make one with ``open``."""

    def __init__(self, host: str, sockets: list[socket.socket]) -> None:
        self.host = host
        self.port = int(sockets[0].getsockname()[1])
        self._sockets = sockets

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str, port: int) -> AsyncIterator[Self]:
        """Listen while the context is open; port 0 takes a free one.

        :raises OSError: it cannot be listened there.
        """
        loop = asyncio.get_running_loop()
        # A server only to have its names resolved and its sockets bound as asyncio does it.
        binding = await loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        sockets = [bound.dup() for bound in binding.sockets]
        binding.close()
        try:
            for bound in sockets:
                bound.settimeout(0)
                bound.listen(BACKLOG)
            yield cls(host, sockets)
        finally:
            for bound in sockets:
                bound.close()

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def attach_duplicate(self, runner: web.BaseRunner) -> None:
        """Let an application answer until it is cleaned up; connections are taken on after it."""
        for bound in self._sockets:
            await web.SockSite(runner, bound.dup(), backlog=BACKLOG).start()

    async def attach(self, runner: web.BaseRunner) -> None:
        """Let an application answer; when it is cleaned up nobody listens any more."""
        for bound in self._sockets:
            await web.SockSite(runner, bound, backlog=BACKLOG).start()
