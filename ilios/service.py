"""The composition root: the one place that knows everybody.

Read downwards it is the start of the service, upwards its stop.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from actors.aggregator import NAME as AGGREGATOR
from actors.aggregator import Aggregator
from actors.batcher import Batcher
from actors.cancellations import Cancellations
from actors.engines import Engine, EngineBatches
from actors.fetcher import Fetcher
from actors.janitor.janitor import Janitor
from actors.janitor.orphans import Orphans
from actors.janitor.retention import Retention
from actors.janitor.stuck import StageConsumers, StuckDocuments
from actors.ocr import Ocr
from actors.persister import NAME as PERSISTER
from actors.persister import Persister
from actors.ports import Blobs, Losses
from actors.running_time import RunningTime
from actors.writer import Writer
from bus.connection import Connection
from bus.consumers import ConsumerProgress
from bus.log import Log
from bus.publisher import Publisher
from bus.subscriber import OutcomeListener
from ilios.blobs.factory import blob_directory
from ilios.database.connection import open_reader
from ilios.database.document_queries import SqliteBatchQueries, SqliteDocumentQueries
from ilios.database.integrity_queries import SqliteLogQueries
from ilios.database.maintenance_queries import SqliteMaintenanceQueries
from ilios.database.recovery.damage import DamageMonitor
from ilios.database.recovery.snapshot_schedule import SnapshotScheduler
from ilios.database.store import SqliteTransactionStore
from ilios.database.usage_queries import SqliteUsageQueries
from ilios.disk_space import BLOBS, COPIES, DiskGuard
from ilios.edge.app import serve_edge
from ilios.edge.context import Edge, Limits
from ilios.edge.listening_sockets import ListeningSockets
from ilios.edge.signing import Signer
from ilios.edge.startup_app import serve_startup_app
from ilios.engines.local.engine import LocalEngine
from ilios.engines.remote import open_mistral
from ilios.engines.router import EngineRouter
from ilios.health import BlobStore, ConversionEngines, Health, Messaging
from ilios.integrity.faults import Faults
from ilios.integrity.log_check import LogCheck
from ilios.integrity.losses import LossStore
from ilios.runtime import open_files
from ilios.runtime.locks import exclusive_lock
from ilios.runtime.supervisor import Supervisor
from ilios.settings.settings import Settings
from ilios.sources.http import HttpDownloads
from ilios.startup import Startup
from ilios.stores import Monitoring, open_stores


class CannotListen(Exception):
    """The edge cannot listen where it was told to."""


class Engines(Struct, frozen=True):
    """What converts documents: each by itself, and in batches where an engine has them."""

    router: EngineRouter
    batches: EngineBatches | None


class Service(Struct, frozen=True):
    """What a running service can be told to people."""

    settings: Settings
    url: str
    bus: str
    engine: str
    operator_url_file: Path | None


@asynccontextmanager
async def service(settings: Settings, engine: Engine | None = None) -> AsyncIterator[Service]:
    """Run the whole service while the context is open; ``engine`` replaces the local one.

    What may come by itself, as a bucket that is away or room on a volume, is waited for.

    :raises AlreadyInUse, BusDidNotStart, BusRefuses, ReaderTaken, DatabaseDamaged, NewerDatabase,
        SecretsDamaged, StorageMisconfigured, EngineCrashed, CannotListen: it cannot start, and
        the message says why.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        sockets = await enter(_open_sockets(settings))
        startup = Startup(sockets.url, _written_directories(settings))
        starting = await enter(
            _closable_early(serve_startup_app(sockets, lambda: startup.waiting_for))
        )
        supervisor, damage, faults = Supervisor(), DamageMonitor(settings.database_path), Faults()
        monitoring = Monitoring(supervisor, damage, faults)
        stores = await startup.retry_until_available(
            lambda: enter(open_stores(settings, monitoring, startup))
        )
        bus, blobs, data_dir = stores.bus, stores.blobs, settings.data_dir
        database_path = settings.database_path
        transaction_store = SqliteTransactionStore(stores.write_connection, settings.pricing)
        reads, batches = (
            SqliteDocumentQueries(stores.read_connection),
            SqliteBatchQueries(stores.read_connection),
        )
        signer = await startup.retry_until_available(lambda: _load_signer(data_dir))
        downloads = HttpDownloads(
            max_bytes=settings.max_file_bytes, allow=frozenset(settings.download_allow)
        )
        engine_batches = None
        if engine is None:
            engines = await startup.retry_until_available(
                lambda: enter(_engines(settings, blobs, supervisor))
            )
            engine, engine_batches = engines.router, engines.batches
        await engine.check()

        writer = Writer(transaction_store)
        # Like usage: counting what is kept takes a while, too.
        maintenance = SqliteMaintenanceQueries(await enter(open_reader(database_path, damage)))
        log_reads = SqliteLogQueries(stores.read_connection)
        log_check = LogCheck(
            bus.janitor,
            log_reads,
            maintenance,
            blobs,
            losses=LossStore(data_dir),
            faults=faults,
            pop_damaged=bus.pop_damaged,
            pop_write_failed=bus.pop_write_failed,
        )
        persister = Persister(bus.persister, writer, transaction_store, log_check)
        aggregator = Aggregator(bus.aggregator, batches)
        # One for each of the two: they may not hear of the same by the same connection.
        ocr_cancellations, fetcher_cancellations = (
            Cancellations(bus.ocr),
            Cancellations(bus.fetcher),
        )
        ocr = Ocr(
            bus.ocr,
            blobs,
            engine,
            ocr_cancellations,
            concurrency=settings.max_in_flight,
            ended_floor=log_reads.ended_floor,
        )
        batcher = Batcher(bus.batcher, blobs, batches, engine_batches)
        fetcher = Fetcher(
            bus.fetcher, blobs, downloads, fetcher_cancellations, ended_floor=log_reads.ended_floor
        )
        if settings.nats_url is not None:
            await startup.retry_until_available(persister.ensure_only_reader)
        # Before anybody reads on: where a log was lost, the cursor is moved back.
        await startup.retry_until_available(log_check.compare_numbers)
        running_time = RunningTime(writer, await maintenance.running_time())
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "writer": writer.run,
            "persister": persister.run,
            "aggregator": aggregator.run,
            "cancellations for ocr": ocr_cancellations.run,
            "cancellations for fetcher": fetcher_cancellations.run,
            "ocr": ocr.run,
            "batcher": batcher.run,
            "fetcher": fetcher.run,
            "check of the log": log_check.run,
            "running time": running_time.run,
            "janitor": _janitor(
                settings,
                bus.janitor,
                writer,
                blobs,
                maintenance=maintenance,
                running_time=running_time,
                losses=log_check,
            ).run,
            "snapshots": SnapshotScheduler(
                settings, damage, transaction_store, running_time, faults
            ).run,
        }
        for name, run in parts.items():
            await enter(supervisor.running(name, run))

        disk_guard = _disk_guard(settings, bus.store)
        edge = Edge(
            publisher=Publisher(bus.edge),
            log=Log(bus.edge),
            outcomes=OutcomeListener(bus.edge),
            reads=reads,
            batches=batches,
            # On a connection of its own: adding up years must not hold up who asks for a status.
            usage=SqliteUsageQueries(await enter(open_reader(database_path, damage))),
            blobs=blobs,
            disk_space=disk_guard,
            health=Health(
                Messaging(bus.edge, bus.probe),
                writer,
                reads,
                ConversionEngines(engine, settings.engines),
                supervisor,
                BlobStore(blobs, settings.s3_bucket),
                disk_guard=disk_guard,
                damage=damage,
                faults=faults,
            ),
            signer=signer,
            engines=settings.engines,
            original_redirect=settings.original_redirect,
            public_url=settings.public_url,
            api_keys=tuple(key.get_secret_value() for key in settings.api_keys),
            limits=Limits(
                max_file_bytes=settings.max_file_bytes,
                convert_timeout=settings.convert_timeout,
                max_connections=open_files.raise_limit(settings.max_connections),
                max_uploads=settings.max_uploads,
            ),
            faults=faults,
            check_faults=stores.file_watch.check_paths,
        )
        await starting.aclose()
        await enter(serve_edge(edge, sockets))
        yield Service(
            settings,
            sockets.url,
            bus.description,
            _describe_engines(settings),
            bus.operator_url_file,
        )


@asynccontextmanager
async def _engines(
    settings: Settings, blobs: Blobs, supervisor: Supervisor
) -> AsyncIterator[Engines]:
    """Open the engines there are."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        local = await enter(LocalEngine(settings.engine_limits, settings.data_dir / "engine"))
        supervisor.track("engine", local.restarts)
        mistral = None
        if settings.mistral_key is not None:
            mistral = await enter(
                open_mistral(
                    settings.mistral_key,
                    settings.mistral_url,
                    blobs=blobs,
                    parts=local,
                    limits=settings.mistral_limits,
                    prefix_file=settings.data_dir / "mistral-uploads.name",
                )
            )
            await enter(supervisor.running("uploads to mistral", mistral.uploads.run))
        yield Engines(
            EngineRouter(
                local,
                mistral.engine if mistral else None,
                default=settings.default_engine,
                fallback=settings.engine_fallback,
            ),
            mistral.batches if mistral else None,
        )


def _describe_engines(settings: Settings) -> str:
    description = f"local, {settings.engine_processes} processes"
    if settings.mistral_key is None:
        return description
    usual = " by default" if settings.default_engine == "mistral" else ""
    return f"{description}; mistral{usual}, {settings.mistral_model}"


def _disk_guard(settings: Settings, store: Path | None) -> DiskGuard:
    """Say what is written where; ``store`` is that of the bus inside."""
    s3 = settings.s3
    places = {
        BLOBS if s3 is None else COPIES: blob_directory(s3, settings.data_dir),
        "database": settings.database_path.parent,
    }
    return DiskGuard(places | ({"bus": store} if store else {}), settings.reserve_bytes)


def _janitor(
    settings: Settings,
    connection: Connection,
    writer: Writer,
    blobs: Blobs,
    *,
    maintenance: SqliteMaintenanceQueries,
    running_time: RunningTime,
    losses: Losses,
) -> Janitor:
    """Put the janitor together: it is the only actor made of parts."""
    publisher, log = Publisher(connection), Log(connection)
    readers = StageConsumers(Fetcher.consumer, Ocr.consumer, PERSISTER, AGGREGATOR)
    return Janitor(
        connection,
        writer,
        maintenance,
        blobs,
        running_time=running_time,
        retention=Retention(publisher, maintenance, blobs, settings.expiry_action),
        stuck=StuckDocuments(publisher, log, ConsumerProgress(connection), maintenance, readers),
        orphans=Orphans(log, maintenance, blobs, losses),
        interval=settings.janitor_interval,
    )


@asynccontextmanager
async def _open_sockets(settings: Settings) -> AsyncIterator[ListeningSockets]:
    """Open the sockets of the edge."""
    async with AsyncExitStack() as stack:
        try:
            sockets = await stack.enter_async_context(
                ListeningSockets.open(settings.host, settings.port)
            )
        except OSError as error:
            lock = settings.data_dir / "lock"
            if lock.exists():
                # Where it is this very service that runs already, another port would not help.
                stack.enter_context(exclusive_lock(lock, f"the data directory {settings.data_dir}"))
            raise CannotListen(
                f"port {settings.port} of {settings.host} cannot be used ({error.strerror}); "
                "set PORT or ILIOS_HOST"
            ) from error
        yield sockets


@asynccontextmanager
async def _closable_early(
    context: AbstractAsyncContextManager[None],
) -> AsyncIterator[AsyncExitStack]:
    """Enter a context that may be left before those that are entered after it."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(context)
        yield stack


def _written_directories(settings: Settings) -> dict[str, Path]:
    """Return the directories without which nothing can be kept, by what they are for."""
    return {
        "database": settings.database_path.parent,
        "log": settings.data_dir / "nats",
        "documents": blob_directory(settings.s3, settings.data_dir),
        "data": settings.data_dir,
    }


async def _load_signer(data_dir: Path) -> Signer:
    return Signer.load(data_dir / "upload-url.secret")
