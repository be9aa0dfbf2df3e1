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
from ilios.engine_composition import Engines, describe_engines, open_engines
from ilios.listening import open_sockets
from ilios.nats.access import open_worker_connection
from ilios.passwords.key import load_key
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
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
    roles: tuple[Role, ...]
    engine: str
    disagreement: asyncio.Task[None]


@asynccontextmanager
async def worker(
    settings: Settings, roles: tuple[Role, ...], engine: Engine | None = None
) -> AsyncIterator[Worker]:
    """Run these roles while the context is open; ``engine`` replaces the configured ones.

    A bus, a core or a store that is not there yet is waited for.

    :raises CannotJoin: a setting is missing, or differs from that of the core.
    :raises AlreadyInUse, BusMisconfigured, CannotListen, CannotLock, EngineCrashed,
        SecretsDamaged, StorageForeign, StorageMisconfigured: it cannot start.
    """
    target, seal = _bus(settings), _seal(settings) if "ocr" in roles else None
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        sockets = await enter(open_sockets(settings))
        data_dir = settings.data_dir
        stack.enter_context(exclusive_lock(data_dir / "lock", f"the data directory {data_dir}"))
        startup = Startup(sockets.url, {"data": data_dir})
        retry = startup.retry_until_available
        readiness = _Readiness(startup)
        await enter(serve_health_app(sockets, readiness))
        supervisor, violations = Supervisor(), PermissionViolations(later_are_optional=True)
        connection = await retry(lambda: enter(open_worker_connection(target, violations)))
        core = await retry(lambda: _agreed_facts(settings, connection, roles, seal))
        blobs = await retry(lambda: enter(_open_blobs(settings, connection, core)))
        agreement = _Agreement(settings, connection, roles, seal, core)
        await retry(agreement.follow)
        ports = WorkerPorts(
            blobs=blobs,
            deadlines=Deadlines(),
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
            await engines.engine.check()
            parts |= compose_ocr(settings, connection, ports, engines)
        if "fetcher" in roles:
            parts |= compose_fetcher(settings, connection, connection, ports)
        for name, run in parts.items():
            await enter(supervisor.running(name, run))
        converter = engines.engine if engines else None
        readiness.health = WorkerHealth(connection, blobs, supervisor, converter, settings.engines)
        watch = asyncio.create_task(agreement.watch())
        stack.callback(watch.cancel)
        described = describe_engines(settings) if engines else "none"
        yield Worker(sockets.url, f"NATS at {connection.address}", roles, described, watch)


class _Readiness:
    """What the host waits for; its health from the moment that this is set."""

    def __init__(self, startup: Startup) -> None:
        self._startup = startup
        self.health: WorkerHealth | None = None

    async def __call__(self) -> HealthReport:
        if self.health is not None:
            return await self.health()
        problem = f"starting: {self._startup.waiting_for}"
        return HealthReport(services={}, healthy=False, problems=[problem])


def _bus(settings: Settings) -> Target:
    """Return where the bus is, and check what can be checked without it."""
    target = settings.external_bus
    if target is None:
        raise CannotJoin("NATS_URL is not set: the NATS server of the core")
    if settings.s3_bucket is None and settings.shared_blobs is None:
        raise CannotJoin(
            "this host does not share the blobs of the core: set S3_BUCKET (and what belongs to "
            "it) or ILIOS_SHARED_BLOBS as at the core"
        )
    return target


def _seal(settings: Settings) -> Seal:
    if settings.seal_key_file is None:
        raise CannotJoin(
            "ILIOS_SEAL_KEY_FILE is not set: a copy of the file passwords.key in the core's data "
            "directory, without which ocr cannot read the passwords of documents"
        )
    return Seal(load_key(settings.seal_key_file, settings.data_dir))


async def _agreed_facts(
    settings: Settings, connection: Connection, roles: tuple[Role, ...], seal: Seal | None
) -> ClusterFacts:
    """Return the facts of the core, with which the settings of this host agree."""
    body = await cluster.read_facts(connection)
    if body is None:
        raise BusUnavailable("no core has started on this bus yet")
    core = cluster_facts.decode(body)
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
