"""Connections to the bus: the embedded server with one user for each role, or an external one.

Commands of the operator connect as a user with all permissions.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from msgspec import Struct

from bus import streams
from bus.connection import Connection, connect
from bus.diagnostics import PermissionViolations, PublishStats
from bus.errors import BusUnavailable
from bus.publisher import Probe
from bus.target import Target
from ilios.api_keys import tenant_of
from ilios.data_directory import NoData
from ilios.integrity.faults import Faults
from ilios.nats.server import embedded
from ilios.nats.users import OPERATOR, ROLES, SETUP
from ilios.nats.watchdog import NatsWatchdog
from ilios.runtime.locks import AlreadyInUse, exclusive_lock
from ilios.runtime.supervisor import Supervisor
from ilios.settings.settings import Settings
from schemas.ids import DEFAULT_TENANT

log = structlog.get_logger("bus")


class Bus(Struct, frozen=True):
    """The connections by role, and the state of the server behind them.

    ``edge_target`` is for another connection of the edge's user. ``description`` is for people.
    ``store`` is the log directory of the embedded server, and ``server_pid`` returns its process.
    ``bucket_bytes`` is the size of the bucket of each tenant.
    ``pop_damaged`` returns whether the server found damage in the log since the last call,
    ``pop_write_failed`` whether it replaces one that could not write.
    """

    edge: Connection
    fetcher: Connection
    ocr: Connection
    batcher: Connection
    persister: Connection
    aggregator: Connection
    janitor: Connection
    objects: Connection
    edge_target: Target
    permission_violations: PermissionViolations
    probe: Probe
    description: str
    operator_url_file: Path | None
    store: Path | None
    bucket_bytes: int
    server_pid: Callable[[], int | None]
    pop_damaged: Callable[[], bool]
    pop_write_failed: Callable[[], bool]


@asynccontextmanager
async def open_embedded_bus(
    settings: Settings, supervisor: Supervisor, faults: Faults
) -> AsyncIterator[Bus]:
    """Run the embedded server while the context is open, and connect each role to it.

    :raises BusDidNotStart, BusUnavailable, SecretsDamaged: it cannot be started.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        server = await enter(
            embedded(
                settings.data_dir / "nats",
                settings.nats_port,
                tenants_of(settings),
                settings.bucket_bytes,
            )
        )
        supervisor.track("nats-server", server.restarts)
        violations, publish_stats = PermissionViolations(), PublishStats()
        connections = {
            role: await enter(
                connect(
                    server.url(role),
                    name=role,
                    setup_url=server.url(SETUP),
                    permission_violations=violations,
                    publish_stats=publish_stats,
                )
            )
            for role in ROLES
        }
        watch = NatsWatchdog(server, connections["edge"], publish_stats, faults)
        await enter(supervisor.running("nats-server watchdog", watch.run))
        await _ensure_streams(connections["edge"], settings, ours=True)
        where = f"embedded nats-server at {connections['edge'].address}"
        yield Bus(
            **connections,
            edge_target=Target.of(server.url("edge")),
            permission_violations=violations,
            probe=Probe(connections["janitor"]),
            description=where,
            operator_url_file=server.url_file(OPERATOR),
            store=server.store,
            bucket_bytes=server.bucket_bytes,
            server_pid=lambda: server.pid,
            pop_damaged=server.pop_damaged,
            pop_write_failed=server.pop_write_failed,
        )


@asynccontextmanager
async def open_external_bus(target: Target, settings: Settings) -> AsyncIterator[Bus]:
    """Connect to an external bus, by one connection, since there is one user.

    :raises BusUnavailable: it does not answer, or lacks what is needed.
    """
    violations = PermissionViolations(later_are_optional=True)
    async with connect(target, name="ilios", permission_violations=violations) as connection:
        await _ensure_streams(connection, settings, ours=False)
        yield Bus(
            **dict.fromkeys(ROLES, connection),
            edge_target=target,
            permission_violations=violations,
            probe=Probe(connection),
            description=f"NATS at {connection.address}",
            operator_url_file=None,
            store=None,
            bucket_bytes=settings.bucket_bytes,
            server_pid=lambda: None,
            pop_damaged=lambda: False,
            pop_write_failed=lambda: False,
        )


@asynccontextmanager
async def open_worker_connection(
    target: Target, permission_violations: PermissionViolations
) -> AsyncIterator[Connection]:
    """Connect to an external bus, whose streams the core creates.

    :raises BusMisconfigured: it refuses the user, or is too old.
    :raises BusUnavailable: it does not answer.
    """
    # The inbox has this name, to which permissions may be restricted.
    async with connect(
        target, name="ilios", permission_violations=permission_violations
    ) as connection:
        await connection.check()
        yield connection


@asynccontextmanager
async def operator_connection(settings: Settings) -> AsyncIterator[Connection]:
    """Connect to the bus of a service as operator, whether or not the service runs.

    :raises NoData: no service has ever run there.
    :raises BusDidNotStart, BusUnavailable, CannotLock, SecretsDamaged: it cannot be reached.
    """
    if settings.external_bus is not None:
        async with connect(settings.external_bus, name="operator") as connection:
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
            stack.enter_context(exclusive_lock(settings.data_dir / "lock", "the data directory"))
        except AlreadyInUse:
            try:
                url = (directory / f"{OPERATOR}.url").read_text().strip()
            except OSError as error:
                raise BusUnavailable(f"the service has no bus yet: {error}") from error
            yield await stack.enter_async_context(connect(url, name="operator"))
        else:
            yield await stack.enter_async_context(offline_connection(settings))


@asynccontextmanager
async def offline_connection(settings: Settings) -> AsyncIterator[Connection]:
    """Run the embedded server for the operator alone; the caller has locked the data directory.

    :raises BusDidNotStart, BusUnavailable, SecretsDamaged: it cannot be started.
    """
    async with (
        embedded(settings.data_dir / "nats", settings.nats_port, tenants=None) as server,
        connect(server.url(OPERATOR), name="operator") as connection,
    ):
        await connection.check()
        yield connection


def tenants_of(settings: Settings) -> tuple[str, ...]:
    """Return the tenant of each API key, or the default tenant if there are no keys."""
    return tuple(tenant_of(key.get_secret_value()) for key in settings.api_keys) or (
        DEFAULT_TENANT,
    )


async def _ensure_streams(connection: Connection, settings: Settings, *, ours: bool) -> None:
    await connection.check()
    max_age = settings.log_max_age.total_seconds()
    async with connection.setup_context() as js:
        copies = None if ours else settings.bus_replicas
        for advice in await streams.ensure(js, copies, owned=ours, max_age=max_age):
            log.warning("external bus could be set up better", advice=advice)
        if settings.log_days is not None and (change := await streams.age_advice(js, max_age)):
            log.warning("log reaches back otherwise than set", advice=change)
