"""Opening the port of the service, before anything else of it starts."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator
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
    deadline = time.monotonic() + FREED_WITHIN
    async with AsyncExitStack() as stack:
        while True:
            opening = ListeningSockets.open(settings.host, settings.port)
            try:
                sockets = await stack.enter_async_context(opening)
                break
            except OSError as error:
                if lock.exists():
                    # Where this service runs already, another port would not help.
                    with exclusive_lock(lock, f"the data directory {settings.data_dir}"):
                        pass
                    if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                        await asyncio.sleep(POLL_INTERVAL)
                        continue
                raise CannotListen(
                    f"port {settings.port} of {settings.host} cannot be used ({error.strerror}); "
                    "set PORT or ILIOS_HOST"
                ) from error
        yield sockets


@asynccontextmanager
async def open_metrics_sockets(settings: Settings) -> AsyncIterator[ListeningSockets]:
    """Open the sockets of the metrics; those of an edge process that was killed are soon gone.

    :raises CannotListen: the port is taken; the message has the remedy.
    """
    assert settings.metrics_port is not None  # the caller has looked
    deadline = time.monotonic() + FREED_WITHIN
    async with AsyncExitStack() as stack:
        while True:
            opening = ListeningSockets.open(settings.host, settings.metrics_port)
            try:
                sockets = await stack.enter_async_context(opening)
                break
            except OSError as error:
                if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                    await asyncio.sleep(POLL_INTERVAL)
                    continue
                raise CannotListen(
                    f"port {settings.metrics_port} of {settings.host} cannot be used "
                    f"({error.strerror}); set ILIOS_METRICS_PORT"
                ) from error
        yield sockets
