"""How the parts of the service come to the bus: on the one inside each with a user of its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from bus import streams
from bus.acknowledgements import Acknowledgements
from bus.connection import Connection, connect
from bus.refusals import Refusals
from schemas.ids import DEFAULT_TENANT

from .nats_server import embedded
from .nats_users import OPERATOR, ROLES, SETUP
from .nats_watch import NatsWatch
from .settings import Settings
from .supervision import Supervisor
from .tenants import tenant_of


class Bus(Struct, frozen=True):
    """The connections by role, what they were refused, and where the bus is, for people.

    ``store`` is where the bus inside keeps the log.
    """

    edge: Connection
    fetcher: Connection
    ocr: Connection
    persister: Connection
    aggregator: Connection
    janitor: Connection
    refusals: Refusals
    where: str
    operator_url_file: Path | None
    store: Path | None


@asynccontextmanager
async def bus_inside(settings: Settings, supervisor: Supervisor) -> AsyncIterator[Bus]:
    """Run a bus of our own while the context is open, and connect each role to it.

    :raises BusDidNotStart, BusUnavailable, SecretsDamaged: there is none.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(
            embedded(settings.data_dir / "nats", settings.nats_port, tenants_of(settings))
        )
        supervisor.include("nats-server", server.restarts)
        refusals, acknowledgements = Refusals(), Acknowledgements()
        connections = {
            role: await enter(
                connect(
                    server.url(role),
                    name=role,
                    setup_url=server.url(SETUP),
                    refusals=refusals,
                    acknowledgements=acknowledgements,
                )
            )
            for role in ROLES
        }
        watch = NatsWatch(server, connections["edge"], acknowledgements)
        await enter(supervisor.running("watch over nats-server", watch.run))
        await _begin(connections["edge"])
        where = f"nats-server inside, at {connections['edge'].address}"
        yield Bus(
            **connections,
            refusals=refusals,
            where=where,
            operator_url_file=server.url_file(OPERATOR),
            store=server.store,
        )


@asynccontextmanager
async def bus_outside(url: str) -> AsyncIterator[Bus]:
    """Connect to somebody else's bus: by one connection, for there is one user in the URL.

    :raises BusUnavailable: nobody answers there, or not as is needed.
    """
    refusals = Refusals()
    async with connect(url, name="ilios", refusals=refusals) as connection:
        await _begin(connection)
        yield Bus(
            **dict.fromkeys(ROLES, connection),
            refusals=refusals,
            where=f"NATS at {connection.address}",
            operator_url_file=None,
            store=None,
        )


def tenants_of(settings: Settings) -> tuple[str, ...]:
    """Return whose documents there are: a tenant for each key, or one for everybody."""
    return tuple(tenant_of(key.reveal()) for key in settings.api_keys) or (DEFAULT_TENANT,)


async def _begin(connection: Connection) -> None:
    await connection.check()
    async with connection.setting_up() as js:
        await streams.ensure(js)
