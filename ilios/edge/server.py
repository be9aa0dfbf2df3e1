"""The HTTP server below an application: its listening sockets, its connections and their limits."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp import web
from aiohttp.http import RawRequestMessage

from ilios.edge import errors
from ilios.edge.auth import API_KEYS, ApiKeys
from ilios.edge.connection import OVERLOADED, Connection, early_problem_response
from ilios.edge.connection_limiter import ConnectionLimiter
from ilios.edge.context import Limits
from ilios.edge.middleware import HEALTH_PATHS

BACKLOG = 1024
"""Connections the system queues while the loop is busy."""
READ_BUFFER_BYTES = 64 * 1024
"""Bytes buffered for the reader of a body before others have their turn. In chunks of one byte,
every one of them costs a microsecond or two."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class ListeningSockets:
    """The sockets of one host and port, bound once and served by one application after another.

    While the service starts, a small application answers on copies of them. The sockets stay open
    in between, so that no client is refused a connection when the next application takes over.
    Make one with ``open``.
    """

    def __init__(self, host: str, sockets: list[socket.socket]) -> None:
        self.host = host
        self.port = int(sockets[0].getsockname()[1])
        self._sockets = sockets

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str, port: int) -> AsyncIterator[Self]:
        """Listen while the context is open; port 0 takes a free one.

        :raises OSError: the address cannot be bound.
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
    def descriptors(self) -> list[int]:
        """The file descriptors, for a process that is to inherit them."""
        return [bound.fileno() for bound in self._sockets]

    @classmethod
    def inherited(cls, host: str, descriptors: list[int]) -> Self:
        """Return the sockets that another process has bound."""
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        for bound in sockets:
            bound.settimeout(0)
        return cls(host, sockets)

    def close(self) -> None:
        """Accept no more connections, as far as this process is concerned."""
        for bound in self._sockets:
            bound.close()

    @property
    def url(self) -> str:
        """Address for clients on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def attach_duplicate(self, runner: web.BaseRunner) -> None:
        """Let an application answer until it is cleaned up; the sockets listen on after it."""
        for bound in self._sockets:
            await web.SockSite(runner, bound.dup(), backlog=BACKLOG).start()

    async def attach(self, runner: web.BaseRunner) -> None:
        """Let an application answer; when it is cleaned up nothing listens any more."""
        for bound in self._sockets:
            await web.SockSite(runner, bound, backlog=BACKLOG).start()


@asynccontextmanager
async def serve(
    app: web.Application,
    attach: Callable[[web.BaseRunner], Awaitable[None]],
    limits: Limits,
    *,
    keep_alive: float,
    linger: float,
    shutdown_timeout: float,
) -> AsyncIterator[None]:
    """Serve an application while the context is open. Times are seconds.

    Leaving closes the sockets, runs the application's shutdown, and gives the requests that are
    under way ``shutdown_timeout``.
    """
    inner = web.AppRunner(app)
    await inner.setup()
    try:
        assert inner.server is not None
        options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": keep_alive,
            "lingering_time": linger,
            "read_bufsize": READ_BUFFER_BYTES,
            # A compressed body is refused, not unpacked: it may be a bomb.
            "auto_decompress": False,
        }
        server = _Server(inner.server, limits, app[API_KEYS], options)
        runner = _Runner(server, app, shutdown_timeout=shutdown_timeout)
        await runner.setup()
        try:
            await attach(runner)
            yield
        finally:
            await runner.cleanup()
    finally:
        await inner.cleanup()


class _Runner(web.ServerRunner):
    """Shuts the application down between its sockets and its connections."""

    def __init__(
        self, server: web.Server, app: web.Application, *, shutdown_timeout: float
    ) -> None:
        super().__init__(server, shutdown_timeout=shutdown_timeout)
        self._application = app

    async def shutdown(self) -> None:
        await self._application.shutdown()


class _Server(web.Server):
    """Makes the connections of an application whose own server is ``inner``."""

    def __init__(
        self, inner: web.Server, limits: Limits, keys: ApiKeys, options: dict[str, Any]
    ) -> None:
        super().__init__(
            _with_problems(inner.request_handler),
            request_factory=inner.request_factory,
            # A client that hangs up frees what waits for it.
            handler_cancellation=True,
        )
        self._limits = limits
        self._keys = keys
        self._limiter = ConnectionLimiter(limits.max_connections, keys_required=keys.required)
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._limits, self._limiter, self._has_key, self._options)

    def _has_key(self, message: RawRequestMessage, remote: str) -> bool:
        return self._keys.accepts(message.headers, message.url.query, remote)


def _with_problems(handler: Handler) -> Handler:
    """Return ``handler`` with problems for what aiohttp refuses before any middleware."""

    async def wrapped(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begin(request)
        is_admitted = connection.is_admitted
        if is_admitted or request.path in HEALTH_PATHS:
            try:
                response = await handler(request)
            except web.HTTPError as error:  # an unknown Expect
                response = early_problem_response(request, errors.to_problem(request, error))
        else:
            response = early_problem_response(request, OVERLOADED)
        if not is_admitted:
            response.force_close()
        return response

    return wrapped
