"""Opening the port of the service, before anything else of it starts."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from ilios.edge.server import ListeningSockets
from ilios.runtime.locks import exclusive_lock
from ilios.settings.settings import Settings

FREED_WITHIN = 2.0  # seconds in which the edge process of a killed service is gone
POLL_INTERVAL = 0.02  # seconds


class CannotListen(Exception):
    """The HTTP edge cannot listen on its port."""


@asynccontextmanager
async def open_sockets(settings: Settings) -> AsyncIterator[ListeningSockets]:
    """Open the sockets of the edge; that of a service that was killed may still have them.

    :raises AlreadyInUse: the service runs already.
    :raises CannotListen: the port is taken; the message has the remedy.
    """
    lock = settings.data_dir / "lock"

    def may_be_freed() -> bool:
        if not lock.exists():
            return False
        # Where this service runs already, another port would not help.
        with exclusive_lock(lock, f"the data directory {settings.data_dir}"):
            return True

    opening = _open(settings.host, settings.port, "PORT or ILIOS_HOST", may_be_freed)
    async with opening as sockets:
        yield sockets


@asynccontextmanager
async def open_metrics_sockets(settings: Settings) -> AsyncIterator[ListeningSockets]:
    """Open the sockets of the metrics; those of an edge process that was killed are soon gone.

    :raises CannotListen: the port is taken; the message has the remedy.
    """
    assert settings.metrics_port is not None  # the caller has looked
    opening = _open(
        settings.host, settings.metrics_port, "ILIOS_METRICS_PORT", may_be_freed=lambda: True
    )
    async with opening as sockets:
        yield sockets


@asynccontextmanager
async def _open(
    host: str, port: int, variables: str, may_be_freed: Callable[[], bool]
) -> AsyncIterator[ListeningSockets]:
    """Open sockets, and try for a while where those of a killed process may be freed."""
    deadline = time.monotonic() + FREED_WITHIN
    async with AsyncExitStack() as stack:
        while True:
            try:
                sockets = await stack.enter_async_context(ListeningSockets.open(host, port))
                break
            except OSError as error:
                # Asked whatever the error is: a running service is the better reason.
                is_waited_for = may_be_freed() and error.errno == errno.EADDRINUSE
                if is_waited_for and time.monotonic() < deadline:
                    await asyncio.sleep(POLL_INTERVAL)
                    continue
                raise CannotListen(
                    f"port {port} of {host} cannot be used ({error.strerror}); set {variables}"
                ) from error
        yield sockets
