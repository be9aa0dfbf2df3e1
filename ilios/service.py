"""The composition root: the one place that knows everybody.

Read downwards it is the start of the service, upwards its stop.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from actors.aggregator import NAME as AGGREGATOR
from actors.aggregator import Aggregator
from actors.batcher import Batcher
from actors.cancellations import Cancellations
from actors.engines import Engine, EngineBatches
from actors.fetcher import Fetcher
from actors.janitor import Janitor
from actors.ocr import Ocr
from actors.orphans import Orphans
from actors.persister import NAME as PERSISTER
from actors.persister import Persister
from actors.ports import Blobs
from actors.redriving import Readers, Redriving
from actors.retention import Retention
from actors.writer import Writer
from bus.connection import Connection
from bus.log import Log
from bus.outcomes import Outcomes
from bus.progress import Progress
from bus.publisher import Publisher
from ilios import open_files
from ilios.blobs.choice import directory, open_blobs
from ilios.bus_access import bus_inside, bus_outside
from ilios.database.batch_reads import BatchReads
from ilios.database.connection import lock_file, open_reader, open_writer
from ilios.database.damage import Damage
from ilios.database.ledger import SqliteLedger
from ilios.database.reads import Reads
from ilios.database.upkeep_reads import UpkeepReads
from ilios.database.usage_reads import UsageReads
from ilios.downloads import HttpDownloads
from ilios.edge.app import serve_edge
from ilios.edge.keys import Edge, Limits
from ilios.edge.signing import Signer
from ilios.engines.abroad import open_mistral
from ilios.engines.choice import EngineChoice
from ilios.engines.local import LocalEngine
from ilios.faults import Faults
from ilios.free_space import BLOBS, COPIES, FreeSpace
from ilios.health import Converting, Health, Messaging, Store
from ilios.locks import held
from ilios.settings import Settings
from ilios.snapshots import Snapshots
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

    :raises AlreadyInUse, BusDidNotStart, BusUnavailable, ReaderTaken, DatabaseDamaged,
        NewerDatabase, SecretsDamaged, StorageUnavailable, EngineCrashed, CannotListen: it cannot
        start, and the message says why.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        data_dir, database_path = settings.data_dir, settings.database_path
        stack.enter_context(held(data_dir / "lock", f"the data directory {data_dir}"))
        stack.enter_context(held(lock_file(database_path), f"the database {database_path}"))
        supervisor, damage, faults = Supervisor(), Damage(database_path), Faults()

        bus = await enter(
            bus_outside(settings.nats_url.reveal())
            if settings.nats_url is not None
            else bus_inside(settings, supervisor, faults)
        )
        writer_connection = await enter(open_writer(database_path, damage))
        ledger = SqliteLedger(writer_connection, settings.pricing)
        reading = await enter(open_reader(database_path, damage))
        reads, batches = Reads(reading), BatchReads(reading)
        blobs = await enter(open_blobs(settings.s3, data_dir))
        signer = Signer.load(data_dir / "upload-url.secret")
        downloads = HttpDownloads(
            max_bytes=settings.max_file_bytes, allow=frozenset(settings.download_allow)
        )
        engine_batches = None
        if engine is None:
            engines = await enter(_engines(settings, blobs, supervisor))
            engine, engine_batches = engines.choice, engines.batches
        await engine.check()

        writer = Writer(ledger)
        persister = Persister(bus.persister, writer, ledger)
        aggregator = Aggregator(bus.aggregator, batches)
        # One for each of the two: they may not hear of the same by the same connection.
        of_ocr, of_fetcher = Cancellations(bus.ocr), Cancellations(bus.fetcher)
        ocr = Ocr(bus.ocr, blobs, engine, of_ocr, at_once=settings.documents_in_hand)
        batcher = Batcher(bus.batcher, blobs, batches, engine_batches)
        fetcher = Fetcher(bus.fetcher, blobs, downloads, of_fetcher)
        if settings.nats_url is not None:
            await persister.refuse_company()
        await enter(supervisor.running("writer", writer.run))
        await enter(supervisor.running("persister", persister.run))
        await enter(supervisor.running("aggregator", aggregator.run))
        await enter(supervisor.running("cancellations for ocr", of_ocr.run))
        await enter(supervisor.running("cancellations for fetcher", of_fetcher.run))
        await enter(supervisor.running("ocr", ocr.run))
        await enter(supervisor.running("batcher", batcher.run))
        await enter(supervisor.running("fetcher", fetcher.run))
        # Like usage: counting what is kept takes a while, too.
        upkeep = UpkeepReads(await enter(open_reader(database_path, damage)))
        janitor = _janitor(settings, bus.janitor, writer, upkeep, blobs)
        await enter(supervisor.running("janitor", janitor.run))
        snapshots = Snapshots(settings, damage, ledger)
        await enter(supervisor.running("snapshots", snapshots.run))

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
        )
        url = await _open_edge(edge, settings, stack)
        yield Service(
            settings,
            url,
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
    settings: Settings, connection: Connection, writer: Writer, upkeep: UpkeepReads, blobs: Blobs
) -> Janitor:
    """Put the janitor together: it is the only actor made of parts."""
    publisher, log = Publisher(connection), Log(connection)
    readers = Readers(Fetcher.consumer, Ocr.consumer, PERSISTER, AGGREGATOR)
    return Janitor(
        connection,
        writer,
        upkeep,
        blobs,
        retention=Retention(publisher, upkeep, blobs, settings.disposal),
        redriving=Redriving(publisher, log, Progress(connection), upkeep, readers),
        orphans=Orphans(log, upkeep, blobs),
        every=settings.janitor_every,
    )


async def _open_edge(edge: Edge, settings: Settings, stack: AsyncExitStack) -> str:
    """Open the door, last of all; returns its URL."""
    try:
        port = await stack.enter_async_context(serve_edge(edge, settings.host, settings.port))
    except OSError as error:
        raise CannotListen(
            f"port {settings.port} of {settings.host} cannot be used ({error.strerror}); "
            "set PORT or ILIOS_HOST"
        ) from error
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}"
