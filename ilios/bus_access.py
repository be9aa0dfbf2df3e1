"""How the parts of the service come to the bus: on the one inside each with a user of its own.

Those who look after it come with a user who may do everything.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from msgspec import Struct

from bus import streams
from bus.acknowledgements import Acknowledgements
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.probe import Probe
from bus.refusals import Refusals
from schemas.ids import DEFAULT_TENANT

from .data_directory import NoData
from .faults import Faults
from .locks import AlreadyInUse, held
from .nats_server import embedded
from .nats_users import OPERATOR, ROLES, SETUP
from .nats_watch import NatsWatch
from .settings import Settings
from .supervision import Supervisor
from .tenants import tenant_of

log = structlog.get_logger("bus")


class Bus(Struct, frozen=True):
    """The connections by role, what they were refused, and where the bus is, for people.

    ``store`` is where the bus inside keeps the log, and ``server_pid`` gives its process;
    ``take_damage`` returns whether its server has found damage in the log since it was asked last,
    ``take_failed_write`` whether it was started in place of one that could not write.
    """

    edge: Connection
    fetcher: Connection
    ocr: Connection
    batcher: Connection
    persister: Connection
    aggregator: Connection
    janitor: Connection
    refusals: Refusals
    probe: Probe
    where: str
    operator_url_file: Path | None
    store: Path | None
    server_pid: Callable[[], int | None]
    take_damage: Callable[[], bool]
    take_failed_write: Callable[[], bool]


@asynccontextmanager
async def bus_inside(
    settings: Settings, supervisor: Supervisor, faults: Faults
) -> AsyncIterator[Bus]:
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
        watch = NatsWatch(server, connections["edge"], acknowledgements, faults)
        await enter(supervisor.running("watch over nats-server", watch.run))
        await _begin(connections["edge"], ours=True)
        where = f"nats-server inside, at {connections['edge'].address}"
        yield Bus(
            **connections,
            refusals=refusals,
            probe=Probe(connections["janitor"]),
            where=where,
            operator_url_file=server.url_file(OPERATOR),
            store=server.store,
            server_pid=lambda: server.pid,
            take_damage=server.take_damage,
            take_failed_write=server.take_failed_write,
        )


@asynccontextmanager
async def bus_outside(url: str) -> AsyncIterator[Bus]:
    """Connect to somebody else's bus: by one connection, for there is one user in the URL.

    :raises BusUnavailable: nobody answers there, or not as is needed.
    """
    refusals = Refusals()
    async with connect(url, name="ilios", refusals=refusals) as connection:
        for advice in await _begin(connection, ours=False):
            log.warning("this bus needs more memory than it has to", advice=advice)
        yield Bus(
            **dict.fromkeys(ROLES, connection),
            refusals=refusals,
            probe=Probe(connection),
            where=f"NATS at {connection.address}",
            operator_url_file=None,
            store=None,
            server_pid=lambda: None,
            take_damage=lambda: False,
            take_failed_write=lambda: False,
        )


@asynccontextmanager
async def operators_bus(settings: Settings) -> AsyncIterator[Connection]:
    """Connect to the bus of a service as its operator, whether or not the service runs.

    :raises NoData: no service has ever run there.
    :raises BusDidNotStart, BusUnavailable, CannotHold, SecretsDamaged: it cannot be reached.
    """
    if settings.nats_url is not None:
        async with connect(settings.nats_url.reveal(), name="operator") as connection:
            await connection.check()
            yield connection
        return
    directory = settings.data_dir / "nats"
    if not directory.is_dir():
        raise NoData(
            f"no service has run in {settings.data_dir.absolute()}; set ILIOS_DATA_DIR to the "
            "directory of the service"
        )
    async with AsyncExitStack() as stack:
        try:
            stack.enter_context(held(settings.data_dir / "lock", "the data directory"))
        except AlreadyInUse:
            try:
                url = (directory / f"{OPERATOR}.url").read_text().strip()
            except OSError as error:
                raise BusUnavailable(f"the service has no bus yet: {error}") from error
            yield await stack.enter_async_context(connect(url, name="operator"))
        else:
            yield await stack.enter_async_context(resting_bus(settings))


@asynccontextmanager
async def resting_bus(settings: Settings) -> AsyncIterator[Connection]:
    """Run the bus inside for its operator alone, who holds the data directory.

    :raises BusDidNotStart, BusUnavailable, SecretsDamaged: there is none.
    """
    async with (
        embedded(settings.data_dir / "nats", settings.nats_port, tenants=None) as server,
        connect(server.url(OPERATOR), name="operator") as connection,
    ):
        await connection.check()
        yield connection


def tenants_of(settings: Settings) -> tuple[str, ...]:
    """Return whose documents there are: a tenant for each key, or one for everybody."""
    return tuple(tenant_of(key.reveal()) for key in settings.api_keys) or (DEFAULT_TENANT,)


async def _begin(connection: Connection, *, ours: bool) -> list[str]:
    await connection.check()
    async with connection.setting_up() as js:
        return await streams.ensure(js, ours=ours)
