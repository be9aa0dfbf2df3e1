"""Commands on the bus of a service, as its operator, whether or not the service runs."""

import asyncio
from collections.abc import Awaitable, Callable

from bus.connection import Connection
from bus.errors import BusUnavailable
from ilios.cli import command
from ilios.nats.access import operator_connection
from ilios.nats.server import BusDidNotStart
from ilios.runtime.locks import AlreadyInUse, CannotLock
from ilios.secret import SecretsDamaged
from ilios.settings.settings import Settings

_NO_BUS = (
    AlreadyInUse,
    BusDidNotStart,
    BusUnavailable,
    CannotLock,
    OSError,
    SecretsDamaged,
)


def run_on_bus(
    work: Callable[[Connection], Awaitable[int]],
    *,
    cannot_start: tuple[type[Exception], ...] = (),
) -> int:
    """Run the work of a command with a connection to the bus; returns the exit code.

    A bus that cannot be reached, and errors of ``cannot_start``, end it with an exit code of their
    own.
    """

    async def with_connection(settings: Settings) -> int:
        async with operator_connection(settings) as connection:
            try:
                return await work(connection)
            except BusUnavailable as error:
                # A denied request is not answered; only the connection gets the reason.
                denied = connection.permission_violations.problems
                if not denied:
                    raise
                raise BusUnavailable(f"{error}; {denied[0]}") from error

    def on_data(settings: Settings) -> int:
        if settings.nats_url is None:
            command.claim_data(settings)
        return asyncio.run(with_connection(settings))

    return command.run_on_data(on_data, cannot_start=(*_NO_BUS, *cannot_start))
