"""The composition root: builds every part of the service and connects them.

``service`` read downwards is the start of the service, read upwards its stop.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct

from actors.aggregator import Aggregator
from actors.attempts import SharedCounts
from actors.batcher import Batcher
from actors.deadlines import Deadlines
from actors.engines import Engine
from actors.janitor.passwords import PasswordErasure
from actors.persister import Persister
from actors.writes import Writer
from bus.epoch_records import Holder
from bus.epochs import OwnEpoch
from ilios.core_announcement import announce
from ilios.core_epoch import open_epoch
from ilios.database.sqlite import DamageMonitor
from ilios.edge.app import serve_startup_app
from ilios.edge.context import Edge
from ilios.edge.server import ListeningSockets
from ilios.edge.signed_urls import Signer
from ilios.edge_composition import (
    BusRequests,
    EdgeChecks,
    EdgeSecrets,
    EdgeStores,
    compose_edge,
    load_seal,
    load_signer,
    open_disk_guard,
    serve_both,
)
from ilios.edge_process.child import early_child
from ilios.edge_process.messages import Start, State
from ilios.edge_process.process import CoreParts, EdgeProcess
from ilios.engine_composition import Engines, describe_engines, open_engines
from ilios.fitness import Fitness
from ilios.health import Health, Monitoring
from ilios.host_service import CORE, Host
from ilios.integrity.faults import Faults
from ilios.integrity.log_check import LogCheck
from ilios.integrity.losses import LossStore
from ilios.listening import open_sockets
from ilios.metrics.exposition import Exposition, Source
from ilios.metrics_composition import CoreMetrics
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
from ilios.runtime.supervisor import Supervisor
from ilios.settings import transfer
from ilios.settings.settings import Settings
from ilios.startup import Startup, written_directories
from ilios.stores import Stores, open_stores
from ilios.upkeep_composition import compose_upkeep
from ilios.worker_composition import ROLES, Parts, WorkerPorts, compose_fetcher, compose_ocr


class Service(Struct, frozen=True):
    """The addresses and the description of a running service.

    ``superseded`` is done when another core has taken over: this one has to end.
    """

    settings: Settings
    url: str
    bus: str
    engine: str
    operator_url_file: Path | None
    superseded: asyncio.Future[Holder] | None = None


@asynccontextmanager
async def service(
    settings: Settings, engine: Engine | None = None, *, take_over: bool = False
) -> AsyncIterator[Service]:
    """Run the whole service while the context is open; ``engine`` replaces the local one.

    With ``take_over`` it replaces another core on the bus. What is temporarily unavailable, as a
    bucket or room on a volume, is waited for.

    :raises AlreadyInUse, BusDidNotStart, BusMisconfigured, EpochStands, ReaderInUse,
        DatabaseDamaged, ForeignDatabase, KeyRefused, NewerData, NewerDatabase, SecretsDamaged,
        StorageMisconfigured, EngineCrashed, EdgeCannotStart, CannotListen: it cannot start; the
        message has the reason.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        sockets = await enter(open_sockets(settings))
        startup = Startup(sockets.url, written_directories(settings))
        retry = startup.retry_until_available
        starting = await enter(
            _closable_early(serve_startup_app(sockets, lambda: startup.waiting_for))
        )
        early = await enter(early_child(sockets)) if settings.has_edge_process else None
        monitoring = Monitoring(Supervisor(), DamageMonitor(settings.database_path), Faults())
        opening = partial(open_stores, settings, monitoring, startup, take_over=take_over)
        stores = await retry(lambda: enter(opening()))
        erasure = PasswordErasure(stores.maintenance, stores.erasable_blobs)
        signer, seal = await retry(lambda: _load_secrets(settings))
        passwords = SealedPasswords(stores.blobs, seal, erasure.watch)
        engines = (
            await retry(
                lambda: enter(
                    open_engines(settings, stores.blobs, passwords, monitoring.supervisor)
                )
            )
            if engine is None
            else Engines(engine)
        )
        await engines.engine.check()
        metrics = CoreMetrics(settings) if settings.has_metrics else None
        writer = Writer(stores.transactions, metrics.writes.observe if metrics else None)
        log_check = _log_check(settings, stores, monitoring.faults)
        persister = Persister(
            stores.bus.persister,
            writer,
            stores.transactions,
            log_check,
            metrics.documents.observe if metrics else None,
        )
        if settings.nats_url is not None and not stores.follows_core:
            await retry(persister.ensure_only_reader)  # of a version without epochs
        bus = stores.bus
        epoch = await retry(lambda: enter(open_epoch(settings, bus.persister, take_over=take_over)))
        # Before anything reads on: where a log was lost, the cursor is moved back.
        await retry(log_check.compare_numbers)
        # After a second service on the log is refused, which would replace the facts of the first.
        counts, announcement = await announce(settings, stores.bus.janitor, seal, epoch)
        host = Host(settings, CORE, stores.bus.janitor, ROLES)
        await host.orders.look_once()
        parts: Parts = {
            "writer": writer.run,
            "persister": persister.run,
            **_actors(
                settings, stores, engines, deadlines := Deadlines(is_held=True), host, counts
            ),
            "check of the log": log_check.run,
            "erasure of passwords": erasure.run,
            **({"epoch": epoch.run} if epoch else {}),
            **({"announcement": announcement.run} if announcement else {}),
            **await compose_upkeep(
                settings,
                stores,
                writer,
                monitoring,
                log_check,
                deadlines=deadlines,
                intakes=host.intakes,
            ),
            **host.parts(engine=engines.state, problems=lambda: monitoring.problems),
        }
        for name, run in parts.items():
            await enter(monitoring.supervisor.running(name, run))
        health = _health(settings, stores, engines, writer, monitoring, host)
        if counts is not None:  # there may be other hosts, which do what this one cannot
            fitness = Fitness(health, host.intakes)
            await enter(monitoring.supervisor.running("fitness", fitness.run))
        sources = (
            metrics.sources(bus.janitor, lambda: persister.sequence, host.intakes, engines)
            if metrics
            else {}
        )
        if early is not None:
            edge_process = EdgeProcess(
                sockets,
                _core_parts(stores, monitoring, health, erasure, sources),
                partial(_start_of_edge, settings, stores, sockets, epoch),
                early,
            )
            # Apart from the part that starts it: it is down until it accepts connections.
            monitoring.supervisor.track("edge", edge_process.restarts)
            await enter(monitoring.supervisor.running("edge process", edge_process.run))
            await enter(edge_process.draining_at_exit())
            await edge_process.wait_until_ready()
            await starting.aclose()
        else:
            edge = _edge(
                settings,
                stores,
                monitoring,
                health,
                EdgeSecrets(signer, passwords),
                Exposition(sources, health) if metrics else None,
            )
            await starting.aclose()
            requests = BusRequests(settings, bus.edge_target, bus.permission_violations)
            await enter(serve_both(edge, sockets, requests, monitoring.supervisor))
        yield Service(
            settings,
            sockets.url,
            stores.bus.description,
            describe_engines(settings),
            stores.bus.operator_url_file,
            epoch.epoch.superseded if epoch else None,
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


def _actors(
    settings: Settings,
    stores: Stores,
    engines: Engines,
    deadlines: Deadlines,
    host: Host,
    counts: SharedCounts | None,
) -> Parts:
    """Build the actors that consume events, without the persister."""
    bus, blobs = stores.bus, stores.blobs
    ports = WorkerPorts(
        blobs=blobs,
        deadlines=deadlines,
        intakes=host.intakes,
        ended_floor=stores.log_reads.ended_floor,
        counts=counts,
    )
    return {
        "aggregator": Aggregator(bus.aggregator, stores.batches).run,
        **compose_ocr(settings, bus.ocr, ports, engines),
        "batcher": Batcher(bus.batcher, blobs, stores.batches, engines.batches).run,
        **compose_fetcher(settings, bus.fetcher, bus.objects, ports),
    }


def _health(
    settings: Settings,
    stores: Stores,
    engines: Engines,
    writer: Writer,
    monitoring: Monitoring,
    host: Host,
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
        orders=lambda: host.orders.words,
    )


def _edge(
    settings: Settings,
    stores: Stores,
    monitoring: Monitoring,
    health: Health,
    secrets: EdgeSecrets,
    exposition: Exposition | None,
) -> Edge:
    """Build the HTTP edge in this process."""
    bus = stores.bus
    of_edge = EdgeStores(
        bus.edge, stores.documents, stores.batches, stores.lists, stores.usage, stores.blobs
    )
    checks = EdgeChecks(health.disk_guard, health, monitoring.faults, stores.file_watch)
    return compose_edge(settings, of_edge, secrets, checks, exposition)


def _core_parts(
    stores: Stores,
    monitoring: Monitoring,
    health: Health,
    erasure: PasswordErasure,
    metrics: Mapping[str, Source],
) -> CoreParts:
    """Collect what an edge process reaches over its channel."""
    return CoreParts(
        health,
        monitoring.faults,
        monitoring.damage,
        stores.bus.edge.publish_stats,
        erasure.watch,
        metrics,
    )


def _start_of_edge(
    settings: Settings,
    stores: Stores,
    sockets: ListeningSockets,
    epoch: OwnEpoch | None,
    state: State,
) -> Start:
    """Describe what an edge process is composed from."""
    bus = stores.bus
    return Start(
        transfer.encode(settings),
        bus.edge_target,
        str(bus.store) if bus.store else None,
        sockets.descriptors,
        stores.file_watch.watched,
        state,
        epoch.epoch.record if epoch else None,
    )


@asynccontextmanager
async def _closable_early(
    context: AbstractAsyncContextManager[None],
) -> AsyncIterator[AsyncExitStack]:
    """Enter a context that can be left before those that are entered after it."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(context)
        yield stack


async def _load_secrets(settings: Settings) -> tuple[Signer, Seal]:
    return load_signer(settings), load_seal(settings)
