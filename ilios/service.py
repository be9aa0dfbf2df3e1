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
from actors.janitor import Janitor
from actors.losses import Losses
from actors.ocr import Ocr
from actors.orphans import Orphans
from actors.persister import NAME as PERSISTER
from actors.persister import Persister
from actors.ports import Blobs
from actors.redriving import Readers, Redriving
from actors.retention import Retention
from actors.running_time import RunningTime
from actors.writer import Writer
from bus.connection import Connection
from bus.log import Log
from bus.outcomes import Outcomes
from bus.progress import Progress
from bus.publisher import Publisher
from ilios import open_files
from ilios.blobs.choice import directory
from ilios.database.batch_reads import BatchReads
from ilios.database.connection import open_reader
from ilios.database.damage import Damage
from ilios.database.ledger import SqliteLedger
from ilios.database.log_reads import LogReads
from ilios.database.reads import Reads
from ilios.database.upkeep_reads import UpkeepReads
from ilios.database.usage_reads import UsageReads
from ilios.downloads import HttpDownloads
from ilios.edge.app import serve_edge
from ilios.edge.door import Door
from ilios.edge.keys import Edge, Limits
from ilios.edge.signing import Signer
from ilios.edge.starting import serve_starting
from ilios.engines.abroad import open_mistral
from ilios.engines.choice import EngineChoice
from ilios.engines.local import LocalEngine
from ilios.faults import Faults
from ilios.free_space import BLOBS, COPIES, FreeSpace
from ilios.health import Converting, Health, Messaging, Store
from ilios.locks import held
from ilios.log_check import LogCheck
from ilios.log_losses import LogLosses
from ilios.settings import Settings
from ilios.snapshots import Snapshots
from ilios.startup import Startup
from ilios.stores import Watch, open_stores
from ilios.supervision import Supervisor


class CannotListen(Exception):
    """The edge cannot listen where it was told to."""


class Engines(Struct, frozen=True):
    """What converts documents: each by itself, and in batches where an engine has them."""

    choice: EngineChoice
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
        door = await enter(_door(settings))
        startup = Startup(door.url, _written_to(settings))
        starting = await enter(_leavable(serve_starting(door, lambda: startup.waiting_for)))
        supervisor, damage, faults = Supervisor(), Damage(settings.database_path), Faults()
        watch = Watch(supervisor, damage, faults)
        stores = await startup.until_possible(lambda: enter(open_stores(settings, watch, startup)))
        bus, blobs, data_dir = stores.bus, stores.blobs, settings.data_dir
        database_path = settings.database_path
        ledger = SqliteLedger(stores.writing, settings.pricing)
        reads, batches = Reads(stores.reading), BatchReads(stores.reading)
        signer = await startup.until_possible(lambda: _signer(data_dir))
        downloads = HttpDownloads(
            max_bytes=settings.max_file_bytes, allow=frozenset(settings.download_allow)
        )
        engine_batches = None
        if engine is None:
            engines = await startup.until_possible(
                lambda: enter(_engines(settings, blobs, supervisor))
            )
            engine, engine_batches = engines.choice, engines.batches
        await engine.check()

        writer = Writer(ledger)
        # Like usage: counting what is kept takes a while, too.
        upkeep = UpkeepReads(await enter(open_reader(database_path, damage)))
        log_reads = LogReads(stores.reading)
        log_check = LogCheck(
            bus.janitor,
            log_reads,
            upkeep,
            blobs,
            losses=LogLosses(data_dir),
            faults=faults,
            complaints=bus.take_damage,
            failed_write=bus.take_failed_write,
        )
        persister = Persister(bus.persister, writer, ledger, log_check)
        aggregator = Aggregator(bus.aggregator, batches)
        # One for each of the two: they may not hear of the same by the same connection.
        of_ocr, of_fetcher = Cancellations(bus.ocr), Cancellations(bus.fetcher)
        ocr = Ocr(
            bus.ocr,
            blobs,
            engine,
            of_ocr,
            at_once=settings.documents_in_hand,
            settled=log_reads.settled,
        )
        batcher = Batcher(bus.batcher, blobs, batches, engine_batches)
        fetcher = Fetcher(bus.fetcher, blobs, downloads, of_fetcher, settled=log_reads.settled)
        if settings.nats_url is not None:
            await startup.until_possible(persister.refuse_company)
        # Before anybody reads on: where a log was lost, the cursor is moved back.
        await startup.until_possible(log_check.compare)
        running_time = RunningTime(writer, await upkeep.ran())
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "writer": writer.run,
            "persister": persister.run,
            "aggregator": aggregator.run,
            "cancellations for ocr": of_ocr.run,
            "cancellations for fetcher": of_fetcher.run,
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
                upkeep=upkeep,
                running_time=running_time,
                losses=log_check,
            ).run,
            "snapshots": Snapshots(settings, damage, ledger, running_time, faults).run,
        }
        for name, run in parts.items():
            await enter(supervisor.running(name, run))

        room = _room(settings, bus.store)
        edge = Edge(
            publisher=Publisher(bus.edge),
            log=Log(bus.edge),
            outcomes=Outcomes(bus.edge),
            reads=reads,
            batches=batches,
            # On a connection of its own: adding up years must not hold up who asks for a status.
            usage=UsageReads(await enter(open_reader(database_path, damage))),
            blobs=blobs,
            room=room,
            health=Health(
                Messaging(bus.edge, bus.probe),
                writer,
                reads,
                Converting(engine, settings.engines),
                supervisor,
                Store(blobs, settings.s3_bucket),
                free_space=room,
                damage=damage,
                faults=faults,
            ),
            signer=signer,
            engines=settings.engines,
            original_redirect=settings.original_redirect,
            public_url=settings.public_url,
            api_keys=tuple(key.reveal() for key in settings.api_keys),
            limits=Limits(
                max_file_bytes=settings.max_file_bytes,
                convert_within=settings.convert_within,
                max_connections=open_files.raise_limit(settings.max_connections),
                max_uploads=settings.max_uploads,
            ),
            faults=faults,
            look_for_faults=stores.files.look_at_paths,
        )
        await starting.aclose()
        await enter(serve_edge(edge, door))
        yield Service(
            settings,
            door.url,
            bus.where,
            _told_of_engines(settings),
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
        supervisor.include("engine", local.restarts)
        mistral = None
        if settings.mistral_key is not None:
            mistral = await enter(
                open_mistral(
                    settings.mistral_key,
                    settings.mistral_url,
                    blobs=blobs,
                    parts=local,
                    limits=settings.mistral_limits,
                    name_file=settings.data_dir / "mistral-uploads.name",
                )
            )
            await enter(supervisor.running("uploads to mistral", mistral.uploads.run))
        yield Engines(
            EngineChoice(
                local,
                mistral.engine if mistral else None,
                default=settings.default_engine,
                fallback=settings.engine_fallback,
            ),
            mistral.batches if mistral else None,
        )


def _told_of_engines(settings: Settings) -> str:
    told = f"local, {settings.engine_processes} processes"
    if settings.mistral_key is None:
        return told
    usual = " by default" if settings.default_engine == "mistral" else ""
    return f"{told}; mistral{usual}, {settings.mistral_model}"


def _room(settings: Settings, store: Path | None) -> FreeSpace:
    """Say what is written where; ``store`` is that of the bus inside."""
    place = settings.s3
    places = {
        BLOBS if place is None else COPIES: directory(place, settings.data_dir),
        "database": settings.database_path.parent,
    }
    return FreeSpace(places | ({"bus": store} if store else {}), settings.reserve_bytes)


def _janitor(
    settings: Settings,
    connection: Connection,
    writer: Writer,
    blobs: Blobs,
    *,
    upkeep: UpkeepReads,
    running_time: RunningTime,
    losses: Losses,
) -> Janitor:
    """Put the janitor together: it is the only actor made of parts."""
    publisher, log = Publisher(connection), Log(connection)
    readers = Readers(Fetcher.consumer, Ocr.consumer, PERSISTER, AGGREGATOR)
    return Janitor(
        connection,
        writer,
        upkeep,
        blobs,
        running_time=running_time,
        retention=Retention(publisher, upkeep, blobs, settings.disposal),
        redriving=Redriving(publisher, log, Progress(connection), upkeep, readers),
        orphans=Orphans(log, upkeep, blobs, losses),
        every=settings.janitor_every,
    )


@asynccontextmanager
async def _door(settings: Settings) -> AsyncIterator[Door]:
    """Open the sockets of the edge."""
    async with AsyncExitStack() as stack:
        try:
            door = await stack.enter_async_context(Door.open(settings.host, settings.port))
        except OSError as error:
            lock = settings.data_dir / "lock"
            if lock.exists():
                # Where it is this very service that runs already, another port would not help.
                stack.enter_context(held(lock, f"the data directory {settings.data_dir}"))
            raise CannotListen(
                f"port {settings.port} of {settings.host} cannot be used ({error.strerror}); "
                "set PORT or ILIOS_HOST"
            ) from error
        yield door


@asynccontextmanager
async def _leavable(context: AbstractAsyncContextManager[None]) -> AsyncIterator[AsyncExitStack]:
    """Enter a context that may be left before those that are entered after it."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(context)
        yield stack


def _written_to(settings: Settings) -> dict[str, Path]:
    """Return the directories without which nothing can be kept, by what they are for."""
    return {
        "database": settings.database_path.parent,
        "log": settings.data_dir / "nats",
        "documents": directory(settings.s3, settings.data_dir),
        "data": settings.data_dir,
    }


async def _signer(data_dir: Path) -> Signer:
    return Signer.load(data_dir / "upload-url.secret")
