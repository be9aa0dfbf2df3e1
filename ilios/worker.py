"""A worker host: fetches and converts documents for a core on another host.

It has nothing durable. Documents come from the log of an external NATS server, and their bytes from
blobs that it shares with the core.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from msgspec import Struct

from actors.deadlines import Deadlines
from actors.engines import Engine
from actors.ports import Blobs, StorageMismatch
from bus import cluster
from bus.connection import Connection
from bus.diagnostics import PermissionViolations
from bus.errors import BusUnavailable
from bus.target import Target
from ilios import cluster_facts
from ilios.blobs.factory import open_bucket_of
from ilios.blobs.local import LocalBlobs
from ilios.blobs.shared_directory import NotShared, ensure_marked
from ilios.cluster_facts import CannotJoin, ClusterFacts
from ilios.edge.app import serve_health_app
from ilios.engine_composition import Engines, describe_engines, no_processes, open_engines
from ilios.fitness import Fitness
from ilios.host_service import WORKER, Host
from ilios.joining import Join, Joined, seal_of
from ilios.listening import open_sockets
from ilios.metrics.exposition import Exposition, Source
from ilios.metrics_composition import worker_sources
from ilios.metrics_serving import serve_metrics
from ilios.nats.access import open_worker_connection
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
from ilios.runtime.disk_space import BLOBS, DiskGuard
from ilios.runtime.locks import exclusive_lock
from ilios.runtime.supervisor import Supervisor
from ilios.settings.settings import Settings
from ilios.startup import Startup
from ilios.worker_composition import Role, WorkerPorts, compose_fetcher, compose_ocr
from ilios.worker_epoch import follow
from ilios.worker_health import WorkerHealth
from schemas.service_replies import HealthReport

MARK_ATTEMPTS, MARK_PAUSE = 4, 0.5
"""A core that starts just now writes its mark before its facts: seconds between two looks."""
FACTS_INTERVAL = 2.0  # seconds between looks at the facts of the core


class Worker(Struct, frozen=True):
    """The addresses and the description of a running worker.

    ``disagreement`` ends, with ``CannotJoin``, when the core no longer agrees with this host.
    """

    url: str
    bus: str
    joined: Joined
    engine: str
    disagreement: asyncio.Task[None]


@asynccontextmanager
async def worker(
    settings: Settings, join: Join, engine: Engine | None = None
) -> AsyncIterator[Worker]:
    """Run the roles that ``join`` decides while the context is open.

    ``engine`` replaces the configured ones. A bus, a core or a store that is not there yet is
    waited for. A host that cannot do its work at the moment runs, and takes none.

    :raises BadSettings, CannotJoin: a setting is missing, or differs from that of the core.
    :raises AlreadyInUse, BusMisconfigured, CannotListen, CannotLock, SecretsDamaged,
        StorageForeign, StorageMisconfigured: it cannot start.
    """
    target = _bus(settings)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        sockets = await enter(open_sockets(settings))
        data_dir = settings.data_dir
        stack.enter_context(exclusive_lock(data_dir / "lock", f"the data directory {data_dir}"))
        startup = Startup(sockets.url, {"data": data_dir})
        retry = startup.retry_until_available
        readiness = _Readiness(startup)
        exposition = Exposition(readiness.metrics, readiness) if settings.has_metrics else None
        key = settings.metrics_key.get_secret_value() if settings.metrics_key else None
        on_port = exposition if settings.metrics_port is None else None
        await enter(serve_health_app(sockets, readiness, on_port, key))
        await enter(serve_metrics(settings, exposition))
        violations = PermissionViolations(later_are_optional=True)
        connection = await retry(lambda: enter(open_worker_connection(target, violations)))
        joined = join(await retry(lambda: _facts(connection)))
        settings, roles = joined.settings, joined.roles
        seal = seal_of(settings) if "ocr" in roles else None
        core = await retry(lambda: _agreed_facts(settings, connection, roles, seal))
        blobs = await retry(lambda: enter(_open_blobs(settings, connection, core)))
        agreement = _Agreement(settings, connection, roles, seal, core)
        await retry(agreement.follow)
        host = Host(settings, WORKER, connection, roles)
        described = await enter(_working(settings, host, blobs, seal, engine, readiness))
        watch = asyncio.create_task(agreement.watch())
        stack.callback(watch.cancel)
        bus = f"NATS at {connection.address}"
        yield Worker(sockets.url, bus, joined, described, watch)


@asynccontextmanager
async def _working(
    settings: Settings,
    host: Host,
    blobs: Blobs,
    seal: Seal | None,
    engine: Engine | None,
    readiness: "_Readiness",
) -> AsyncIterator[str]:
    """Run the parts of a worker host; yields a description of its engines."""
    connection, supervisor = host.connection, Supervisor()
    retry = readiness.startup.retry_until_available
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ports = WorkerPorts(
            blobs=blobs,
            deadlines=Deadlines(),
            intakes=host.intakes,
            counts=cluster.KeyValues(connection, cluster.COUNTS),
            answers_for_others=False,
        )
        engines: Engines | None = None
        parts: dict[str, Callable[[], Awaitable[None]]] = {}
        if seal is not None:
            passwords = SealedPasswords(blobs, seal)
            engines = (
                await retry(lambda: enter(open_engines(settings, blobs, passwords, supervisor)))
                if engine is None
                else Engines(engine)
            )
            parts |= compose_ocr(settings, connection, ports, engines)
        if "fetcher" in host.intakes:
            parts |= compose_fetcher(settings, connection, connection, ports)
        health = WorkerHealth(
            connection,
            blobs,
            supervisor,
            engines.engine if engines else None,
            settings.engines,
            disk_guard=_disk_guard(settings),
            orders=host.orders,
        )
        fitness = Fitness(health, host.intakes)
        await fitness.look()
        state = engines.state if engines else no_processes
        parts |= {"fitness": fitness.run}
        parts |= host.parts(engine=state, problems=lambda: supervisor.problems)
        await host.orders.look_once()
        for name, run in parts.items():
            await enter(supervisor.running(name, run))
        readiness.health = health
        readiness.metrics |= worker_sources(host.intakes, engines)
        yield describe_engines(settings) if engines else "none"


def _disk_guard(settings: Settings) -> DiskGuard:
    """Watch the volumes that a worker writes to."""
    places = {"documents in work": settings.data_dir}
    if settings.s3 is None and settings.shared_blobs is not None:
        places[BLOBS] = settings.shared_blobs
    return DiskGuard(places, settings.reserve_bytes)


class _Readiness:
    """What the host waits for; its health and metrics from the moment that these are set."""

    def __init__(self, startup: Startup) -> None:
        self.startup = startup
        self.health: WorkerHealth | None = None
        self.metrics: dict[str, Source] = {}

    async def __call__(self) -> HealthReport:
        if self.health is not None:
            return await self.health()
        problem = f"starting: {self.startup.waiting_for}"
        return HealthReport(services={}, healthy=False, problems=[problem])


def _bus(settings: Settings) -> Target:
    """Return where the bus is."""
    target = settings.external_bus
    if target is None:
        raise CannotJoin("NATS_URL is not set: the NATS server of the core")
    return target


async def _facts(connection: Connection) -> ClusterFacts:
    body = await cluster.read_facts(connection)
    if body is None:
        raise BusUnavailable("no core has started on this bus yet")
    return cluster_facts.decode(body)


async def _agreed_facts(
    settings: Settings, connection: Connection, roles: tuple[Role, ...], seal: Seal | None
) -> ClusterFacts:
    """Return the facts of the core, with which the settings of this host agree."""
    core = await _facts(connection)
    cluster_facts.ensure_formats(core)
    cluster_facts.ensure_blobs_shared(settings, core)
    cluster_facts.ensure_agreement(settings, core, converts="ocr" in roles)
    if seal is not None:
        cluster_facts.ensure_seal_key(settings, core, seal.fingerprint)
    return core


@asynccontextmanager
async def _open_blobs(
    settings: Settings, connection: Connection, core: ClusterFacts
) -> AsyncIterator[Blobs]:
    """Open the blobs of the core, once it is proved that they are."""
    if settings.s3 is not None:
        async with AsyncExitStack() as stack:
            opening = open_bucket_of(core.owner, settings.s3, settings.data_dir)
            try:
                bucket = await stack.enter_async_context(opening)
            except StorageMismatch as error:
                raise CannotJoin(f"not the bucket of the core: {error}") from error
            yield bucket
        return
    assert settings.shared_blobs is not None  # checked first of all
    await _prove_shared(settings.shared_blobs, connection, core)
    async with LocalBlobs.open(settings.shared_blobs) as blobs:
        yield blobs


async def _prove_shared(root: Path, connection: Connection, core: ClusterFacts) -> None:
    mark = core.mark
    for left in reversed(range(MARK_ATTEMPTS)):
        try:
            await asyncio.to_thread(ensure_marked, root, mark)
        except NotShared as error:
            if not left:
                raise CannotJoin(f"ILIOS_SHARED_BLOBS: {error}") from error
        else:
            return
        await asyncio.sleep(MARK_PAUSE)
        body = await cluster.read_facts(connection)
        mark = cluster_facts.decode(body).mark if body is not None else mark


class _Agreement:
    """What this host and the core agree about, also when that starts again with other settings."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        roles: tuple[Role, ...],
        seal: Seal | None,
        core: ClusterFacts,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._roles = roles
        self._seal = seal
        self._core = core

    async def watch(self) -> None:
        """Compare the facts of the core again and again.

        :raises CannotJoin: this host no longer agrees with it.
        """
        while True:
            await asyncio.sleep(FACTS_INTERVAL)
            with suppress(BusUnavailable):
                await self._latest()
                await self.follow()

    async def follow(self) -> None:
        """Publish for this core alone. Raises as ``worker_epoch.follow``."""
        await follow(self._connection, self._core, self._latest)

    async def _latest(self) -> ClusterFacts:
        """Return the latest facts, with which this host agrees.

        :raises CannotJoin: it does not.
        :raises BusUnavailable: the bus does not answer.
        """
        settings, connection = self._settings, self._connection
        latest = await _agreed_facts(settings, connection, self._roles, self._seal)
        if latest.owner != self._core.owner:
            raise CannotJoin("the blobs of the core have another owner: restart this worker")
        if latest.mark != self._core.mark:
            assert settings.shared_blobs is not None  # a core with a bucket has no mark
            await _prove_shared(settings.shared_blobs, connection, latest)
        self._core = latest
        return latest
