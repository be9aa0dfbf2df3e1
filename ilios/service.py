"""The composition root: builds every part of the service and connects them.

``service`` read downwards is the start of the service, read upwards its stop.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct

from actors.aggregator import NAME as AGGREGATOR
from actors.aggregator import Aggregator
from actors.batcher import Batcher
from actors.cancellations import Cancellations
from actors.clock_guard import RunningTime
from actors.draft_pages import DraftPages
from actors.engines import Engine, EngineBatches
from actors.fetcher import Fetcher
from actors.janitor.janitor import Janitor
from actors.janitor.orphans import Orphans
from actors.janitor.passwords import PasswordErasure
from actors.janitor.retention import Retention
from actors.janitor.stuck import StageConsumers, StuckDocuments
from actors.ocr import DiscardParts, Ocr
from actors.page_events import PagePorts
from actors.persister import NAME as PERSISTER
from actors.persister import Persister
from actors.ports import Blobs, Losses
from actors.writes import Writer
from bus.consumers import ConsumerProgress
from bus.log import Log
from bus.pages import DraftServer, PagePublisher
from bus.publisher import Publisher
from ilios.blobs.factory import blob_directory
from ilios.database.recovery.snapshot_schedule import SnapshotScheduler
from ilios.database.sqlite import DamageMonitor
from ilios.edge.app import serve_edge, serve_startup_app
from ilios.edge.context import Edge
from ilios.edge.server import ListeningSockets
from ilios.edge.signed_urls import Signer
from ilios.edge_composition import (
    BUS_REQUESTS,
    EdgeChecks,
    EdgeSecrets,
    EdgeStores,
    answer_bus_requests,
    compose_edge,
    load_seal,
    load_signer,
    open_disk_guard,
)
from ilios.edge_process.child import early_child
from ilios.edge_process.messages import Start, State
from ilios.edge_process.process import CoreParts, EdgeProcess
from ilios.engines.local.engine import LocalEngine
from ilios.engines.router import EngineRouter, open_mistral
from ilios.health import Health, Monitoring
from ilios.integrity.faults import Faults
from ilios.integrity.log_check import LogCheck
from ilios.integrity.losses import LossStore
from ilios.listening import open_sockets
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
from ilios.runtime.supervisor import Supervisor
from ilios.settings import transfer
from ilios.settings.settings import Settings
from ilios.sources.http import HttpDownloads
from ilios.startup import Startup
from ilios.stores import Stores, open_stores

Parts = Mapping[str, Callable[[], Awaitable[None]]]
"""What the supervisor keeps running, by name, in the order of its start."""


class Engines(Struct, frozen=True):
    """The engine for single documents, and that for batches of them where there is one."""

    engine: Engine
    batches: EngineBatches | None = None
    discard_parts: DiscardParts | None = None


class Service(Struct, frozen=True):
    """The addresses and the description of a running service."""

    settings: Settings
    url: str
    bus: str
    engine: str
    operator_url_file: Path | None


@asynccontextmanager
async def service(settings: Settings, engine: Engine | None = None) -> AsyncIterator[Service]:
    """Run the whole service while the context is open; ``engine`` replaces the local one.

    What is temporarily unavailable, as a bucket or room on a volume, is waited for.

    :raises AlreadyInUse, BusDidNotStart, BusMisconfigured, ReaderInUse, DatabaseDamaged,
        ForeignDatabase, NewerData, NewerDatabase, SecretsDamaged, StorageMisconfigured,
        EngineCrashed, EdgeCannotStart, CannotListen: it cannot start; the message has the reason.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        sockets = await enter(open_sockets(settings))
        startup = Startup(sockets.url, _written_directories(settings))
        retry = startup.retry_until_available
        starting = await enter(
            _closable_early(serve_startup_app(sockets, lambda: startup.waiting_for))
        )
        early = await enter(early_child(sockets)) if settings.has_edge_process else None
        monitoring = Monitoring(Supervisor(), DamageMonitor(settings.database_path), Faults())
        stores = await retry(lambda: enter(open_stores(settings, monitoring, startup)))
        erasure = PasswordErasure(stores.maintenance, stores.blobs)
        signer, seal = await retry(lambda: _load_secrets(settings))
        passwords = SealedPasswords(stores.blobs, seal, erasure.watch)
        engines = (
            await retry(
                lambda: enter(_engines(settings, stores.blobs, passwords, monitoring.supervisor))
            )
            if engine is None
            else Engines(engine)
        )
        await engines.engine.check()
        writer = Writer(stores.transactions)
        log_check = _log_check(settings, stores, monitoring.faults)
        persister = Persister(stores.bus.persister, writer, stores.transactions, log_check)
        if settings.nats_url is not None:
            await retry(persister.ensure_only_reader)
        # Before anything reads on: where a log was lost, the cursor is moved back.
        await retry(log_check.compare_numbers)
        parts: Parts = {
            "writer": writer.run,
            "persister": persister.run,
            **_actors(settings, stores, engines),
            "check of the log": log_check.run,
            "erasure of passwords": erasure.run,
            **await _upkeep(settings, stores, writer, monitoring, log_check),
        }
        for name, run in parts.items():
            await enter(monitoring.supervisor.running(name, run))
        health = _health(settings, stores, engines, writer, monitoring)
        if early is not None:
            edge_process = EdgeProcess(
                sockets,
                _core_parts(stores, monitoring, health, erasure),
                partial(_start_of_edge, settings, stores, sockets),
                early,
            )
            # Apart from the part that starts it: it is down until it accepts connections.
            monitoring.supervisor.track("edge", edge_process.restarts)
            await enter(monitoring.supervisor.running("edge process", edge_process.run))
            await enter(edge_process.draining_at_exit())
            await edge_process.wait_until_ready()
            await starting.aclose()
        else:
            edge = _edge(settings, stores, monitoring, health, EdgeSecrets(signer, passwords))
            await starting.aclose()
            await enter(serve_edge(edge, sockets))
            answer = partial(
                answer_bus_requests,
                edge,
                settings,
                stores.bus.edge_url.get_secret_value(),
                stores.bus.permission_violations,
            )
            await enter(monitoring.supervisor.running(BUS_REQUESTS, answer))
        yield Service(
            settings,
            sockets.url,
            stores.bus.description,
            _describe_engines(settings),
            stores.bus.operator_url_file,
        )


def _log_check(settings: Settings, stores: Stores, faults: Faults) -> LogCheck:
    """Build the check that notices events which the log has lost."""
    return LogCheck(
        stores.bus.janitor,
        stores.log_reads,
        stores.maintenance,
        stores.blobs,
        losses=LossStore(settings.data_dir),
        faults=faults,
        pop_damaged=stores.bus.pop_damaged,
        pop_write_failed=stores.bus.pop_write_failed,
    )


def _actors(settings: Settings, stores: Stores, engines: Engines) -> Parts:
    """Build the actors that consume events, without the persister."""
    bus, blobs, ended_floor = stores.bus, stores.blobs, stores.log_reads.ended_floor
    downloads = HttpDownloads(
        max_bytes=settings.max_file_bytes, allow=frozenset(settings.download_allow)
    )
    # One each: on a shared connection one of the two would miss cancellations.
    ocr_cancellations = Cancellations(bus.ocr)
    fetcher_cancellations = Cancellations(bus.fetcher)
    drafts = DraftPages()
    ocr = Ocr(
        bus.ocr,
        blobs,
        engines.engine,
        ocr_cancellations,
        concurrency=settings.max_in_flight,
        ended_floor=ended_floor,
        discard_parts=engines.discard_parts,
        pages=PagePorts(PagePublisher(bus.ocr).publish, drafts.put, drafts.discard),
    )
    fetcher = Fetcher(bus.fetcher, blobs, downloads, fetcher_cancellations, ended_floor=ended_floor)
    return {
        "aggregator": Aggregator(bus.aggregator, stores.batches).run,
        "cancellations for ocr": ocr_cancellations.run,
        "cancellations for fetcher": fetcher_cancellations.run,
        "ocr": ocr.run,
        "drafts of pages": DraftServer(bus.ocr, drafts.read).run,
        "batcher": Batcher(bus.batcher, blobs, stores.batches, engines.batches).run,
        "fetcher": fetcher.run,
    }


async def _upkeep(
    settings: Settings, stores: Stores, writer: Writer, monitoring: Monitoring, losses: Losses
) -> Parts:
    """Build what runs by the clock: the janitor, its measure of running time, the snapshots."""
    connection, maintenance, blobs = stores.bus.janitor, stores.maintenance, stores.blobs
    publisher, log = Publisher(connection), Log(connection)
    consumers = StageConsumers(Fetcher.consumer, Ocr.consumer, PERSISTER, AGGREGATOR)
    running_time = RunningTime(writer, await maintenance.running_time())
    janitor = Janitor(
        connection,
        writer,
        maintenance,
        blobs,
        running_time=running_time,
        retention=Retention(publisher, maintenance, blobs, settings.expiry_action),
        stuck=StuckDocuments(publisher, log, ConsumerProgress(connection), maintenance, consumers),
        orphans=Orphans(log, maintenance, blobs, losses),
        interval=settings.janitor_interval,
    )
    snapshots = SnapshotScheduler(
        settings, monitoring.damage, stores.transactions, running_time, monitoring.faults
    )
    return {"running time": running_time.run, "janitor": janitor.run, "snapshots": snapshots.run}


def _health(
    settings: Settings, stores: Stores, engines: Engines, writer: Writer, monitoring: Monitoring
) -> Health:
    """Build the health check of all that is in this process."""
    return Health(
        connection=stores.bus.edge,
        probe=stores.bus.probe,
        writer=writer,
        reads=stores.documents,
        engine=engines.engine,
        blobs=stores.blobs,
        disk_guard=open_disk_guard(settings, stores.bus.store),
        monitoring=monitoring,
        engine_names=settings.engines,
        bucket=settings.s3_bucket,
    )


def _edge(
    settings: Settings,
    stores: Stores,
    monitoring: Monitoring,
    health: Health,
    secrets: EdgeSecrets,
) -> Edge:
    """Build the HTTP edge in this process."""
    bus = stores.bus
    of_edge = EdgeStores(bus.edge, stores.documents, stores.batches, stores.usage, stores.blobs)
    checks = EdgeChecks(health.disk_guard, health, monitoring.faults, stores.file_watch)
    return compose_edge(settings, of_edge, secrets, checks)


def _core_parts(
    stores: Stores, monitoring: Monitoring, health: Health, erasure: PasswordErasure
) -> CoreParts:
    """Collect what an edge process reaches over its channel."""
    return CoreParts(
        health,
        monitoring.faults,
        monitoring.damage,
        stores.bus.edge.publish_stats,
        erasure.watch,
    )


def _start_of_edge(
    settings: Settings, stores: Stores, sockets: ListeningSockets, state: State
) -> Start:
    """Describe what an edge process is composed from."""
    bus = stores.bus
    return Start(
        transfer.encode(settings),
        bus.edge_url.get_secret_value(),
        str(bus.store) if bus.store else None,
        sockets.descriptors,
        stores.file_watch.watched,
        state,
    )


@asynccontextmanager
async def _engines(
    settings: Settings, blobs: Blobs, passwords: SealedPasswords, supervisor: Supervisor
) -> AsyncIterator[Engines]:
    """Open the local engine, and Mistral where it has a key."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        local = await enter(
            LocalEngine(
                settings.engine_limits,
                settings.data_dir / "engine",
                blobs=blobs,
                passwords=passwords,
                # Two tenants may keep all processes at work, and ocr has places for others.
                max_long_documents=min(
                    2 * settings.engine_processes, 2 * settings.max_in_flight - 1
                ),
            )
        )
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
            local.discard_parts,
        )


def _describe_engines(settings: Settings) -> str:
    description = f"local, {settings.engine_processes} processes"
    if settings.mistral_key is None:
        return description
    usual = " by default" if settings.default_engine == "mistral" else ""
    return f"{description}; mistral{usual}, {settings.mistral_model}"


@asynccontextmanager
async def _closable_early(
    context: AbstractAsyncContextManager[None],
) -> AsyncIterator[AsyncExitStack]:
    """Enter a context that can be left before those that are entered after it."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(context)
        yield stack


def _written_directories(settings: Settings) -> dict[str, Path]:
    """Return the directories the service writes to, by their purpose."""
    return {
        "database": settings.database_path.parent,
        "log": settings.data_dir / "nats",
        "documents": blob_directory(settings.s3, settings.data_dir),
        "data": settings.data_dir,
    }


async def _load_secrets(settings: Settings) -> tuple[Signer, Seal]:
    return load_signer(settings), load_seal(settings)
