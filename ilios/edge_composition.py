"""The composition of the HTTP edge, in the process of the core or in one of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
from msgspec import Struct

from actors.ports import Blobs
from bus.connection import Connection, connect
from bus.diagnostics import PermissionViolations
from bus.event_log import EventLog
from bus.log import Log
from bus.pages import PageReader
from bus.publisher import Publisher
from bus.subscriber import OutcomeListener
from bus.target import Target
from ilios.blobs.factory import blob_directory
from ilios.database.lists import SqliteListQueries
from ilios.database.queries import SqliteBatchQueries, SqliteDocumentQueries, SqliteUsageQueries
from ilios.edge.app import serve_edge
from ilios.edge.bus_service.service import serve_bus
from ilios.edge.context import Edge, Health, Limits
from ilios.edge.document_progress import DocumentProgress
from ilios.edge.server import ListeningSockets
from ilios.edge.signed_urls import Signer
from ilios.integrity.faults import Faults
from ilios.integrity.file_watch import FileWatch
from ilios.metrics.exposition import Exposition
from ilios.metrics_serving import serve_metrics
from ilios.passwords.key import load_key
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
from ilios.runtime import process_settings
from ilios.runtime.disk_space import BLOBS, COPIES, DiskGuard
from ilios.runtime.supervisor import Supervisor
from ilios.settings.settings import Settings

PERMISSIONS_CHECKED_EVERY = 0.5
"""Seconds between looks at what an external bus refuses."""

log = structlog.get_logger("bus")


class EdgeStores(Struct, frozen=True):
    """What the edge reads and writes: the bus, the database and the blobs."""

    connection: Connection
    documents: SqliteDocumentQueries
    batches: SqliteBatchQueries
    lists: SqliteListQueries
    usage: SqliteUsageQueries
    blobs: Blobs


class EdgeSecrets(Struct, frozen=True):
    """The signer of upload URLs and the passwords of documents."""

    signer: Signer
    passwords: SealedPasswords


class EdgeChecks(Struct, frozen=True):
    """What the edge finds out before it accepts, and whether it works."""

    disk_guard: DiskGuard
    health: Health
    faults: Faults
    file_watch: FileWatch
    is_alive: Callable[[], bool] = lambda: True


def compose_edge(
    settings: Settings,
    stores: EdgeStores,
    secrets: EdgeSecrets,
    checks: EdgeChecks,
    exposition: Exposition | None = None,
) -> Edge:
    """Build the edge."""
    key = settings.metrics_key if settings.metrics_port is None else None
    return Edge(
        metrics=exposition,
        metrics_key=key.get_secret_value() if key else None,
        publisher=Publisher(stores.connection),
        log=Log(stores.connection),
        events=EventLog(stores.connection),
        outcomes=OutcomeListener(stores.connection),
        reads=stores.documents,
        pages=PageReader(stores.connection),
        progress=DocumentProgress(
            stores.connection,
            stores.documents,
            stores.batches,
            {"local": settings.engine_processes, "mistral": settings.mistral_concurrency},
            settings.default_engine,
        ),
        batches=stores.batches,
        lists=stores.lists,
        usage=stores.usage,
        blobs=stores.blobs,
        passwords=secrets.passwords,
        disk_space=checks.disk_guard,
        health=checks.health,
        signer=secrets.signer,
        engines=settings.engines,
        original_redirect=settings.original_redirect,
        public_url=settings.public_url,
        allowed_origins=settings.allowed_origins,
        allowed_hosts=settings.allowed_hosts,
        api_keys=tuple(key.get_secret_value() for key in settings.api_keys),
        limits=_limits(settings),
        faults=checks.faults,
        is_alive=checks.is_alive,
        check_faults=checks.file_watch.check_paths,
    )


class BusRequests(Struct, frozen=True):
    """The connection by which requests on the bus come, and where its refusals are reported."""

    settings: Settings
    target: Target
    violations: PermissionViolations

    async def answer(self, edge: Edge) -> None:
        """Answer them until cancelled. Errors as ``serve_bus``.

        By connections of their own, so that a flood of requests delays no event. A user of an
        external bus may lack the permissions: then there are no such requests, so that none is
        carried out without an answer, and nothing else is affected.
        """
        external = self.settings.nats_url is not None
        refused = PermissionViolations() if external else self.violations
        # The inbox has this name, to which permissions on an external bus may be restricted.
        name = "ilios" if external else "edge"
        async with serve_bus(
            edge, lambda: connect(self.target, name=name, permission_violations=refused)
        ):
            if not external:
                await asyncio.Event().wait()
            while not refused.count:  # noqa: ASYNC110  # it comes by a callback of the client
                await asyncio.sleep(PERMISSIONS_CHECKED_EVERY)
        for problem in refused.problems:
            log.warning("no requests on the bus", problem=problem)
        await asyncio.Event().wait()


@asynccontextmanager
async def serve_both(
    edge: Edge, sockets: ListeningSockets, requests: BusRequests, supervisor: Supervisor
) -> AsyncIterator[None]:
    """Answer requests by HTTP and on the bus while the context is open.

    Leaving ends both at the same time, because each may take as long as a stop has.
    """
    http, bus = AsyncExitStack(), AsyncExitStack()
    try:
        await http.enter_async_context(serve_metrics(requests.settings, edge.metrics))
        await http.enter_async_context(serve_edge(edge, sockets))
        answer = partial(requests.answer, edge)
        await bus.enter_async_context(supervisor.running("requests on the bus", answer))
        yield
    finally:
        await asyncio.gather(http.aclose(), bus.aclose())


def _limits(settings: Settings) -> Limits:
    """Return the limits of the edge; the files that a process may open allow fewer listeners."""
    connections, listeners = settings.max_connections, settings.max_listeners
    allowed = process_settings.raise_file_limit(connections + listeners)
    return Limits(
        max_file_bytes=settings.max_file_bytes,
        convert_timeout=settings.convert_timeout,
        max_connections=min(connections, allowed),
        max_listeners=min(listeners, max(0, allowed - connections)),
        max_uploads=settings.max_uploads,
    )


def open_disk_guard(settings: Settings, store: Path | None) -> DiskGuard:
    """Watch the volumes that are written to; ``store`` is that of the embedded bus."""
    s3 = settings.s3
    places = {
        BLOBS if s3 is None else COPIES: blob_directory(
            s3, settings.data_dir, settings.shared_blobs
        ),
        "database": settings.database_path.parent,
    }
    return DiskGuard(places | ({"bus": store} if store else {}), settings.reserve_bytes)


def load_seal(settings: Settings) -> Seal:
    """Load the key of passwords. Errors as ``load_key``."""
    return Seal(load_key(settings.seal_key_file, settings.data_dir, settings.sealing_key))


def load_signer(settings: Settings) -> Signer:
    """Load the key of upload URLs.

    :raises SecretsDamaged: it cannot be read.
    """
    return Signer.load(settings.data_dir / "upload-url.secret")
