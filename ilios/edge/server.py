"""The HTTP server below the application; it answers what never gets as far as a handler."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http import RawRequestMessage

from ilios.edge import errors
from ilios.edge.auth import API_KEYS, ApiKeys
from ilios.edge.connection import OVERLOADED, Connection, early_problem_response
from ilios.edge.connection_limiter import ConnectionLimiter
from ilios.edge.context import Limits

READ_BUFFER_BYTES = 64 * 1024
"""Bytes held for whoever reads a body, before others have their turn. In chunks of one byte each,
every one of them costs a microsecond or two."""

HEALTH_PATHS = frozenset({"/health", "/livez", "/readyz"})
"""What is answered even where there is no room for anything else."""


class Runner(web.AppRunner):
    """Serves an application over connections that say no in our words. Times are seconds."""

    def __init__(
        self,
        app: web.Application,
        limits: Limits,
        *,
        keep_alive: float,
        linger: float,
        shutdown_timeout: float,
    ) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._limits = limits
        self._keys = app[API_KEYS]
        self._options: dict[str, Any] = {
            "access_log": None,
            "keepalive_timeout": keep_alive,
            "lingering_time": linger,
            "read_bufsize": READ_BUFFER_BYTES,
            # A compressed body is refused, not unpacked: it may be a bomb.
            "auto_decompress": False,
        }

    async def _make_server(self) -> web.Server:
        # A private name, and aiohttp has no public one for it: without this method the answers to
        # malformed requests would be aiohttp's own, which tests/ilios/edge/test_malformed.py sees.
        made = await super()._make_server()
        return _Server(made, self._limits, self._keys, self._options)


class _Server(web.Server):
    """Makes the connections."""

    def __init__(
        self, made: web.Server, limits: Limits, keys: ApiKeys, options: dict[str, Any]
    ) -> None:
        super().__init__(
            _with_problems(made.request_handler),
            request_factory=made.request_factory,
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


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def _with_problems(handler: Handler) -> Handler:
    """Return ``handler`` with problems instead of what aiohttp refuses before any middleware."""

    async def wrapped(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        is_admitted = not isinstance(connection, Connection) or connection.is_admitted
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
