"""The composition of the HTTP edge, in the process of the core or in one of its own."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from actors.ports import Blobs
from bus.connection import Connection, connect
from bus.diagnostics import PermissionViolations
from bus.log import Log
from bus.pages import PageReader
from bus.publisher import Publisher
from bus.subscriber import OutcomeListener
from ilios.blobs.factory import blob_directory
from ilios.database.queries import SqliteBatchQueries, SqliteDocumentQueries, SqliteUsageQueries
from ilios.edge.bus_service.service import serve_bus
from ilios.edge.context import Edge, Health, Limits
from ilios.edge.document_progress import DocumentProgress
from ilios.edge.signed_urls import Signer
from ilios.integrity.faults import Faults
from ilios.integrity.file_watch import FileWatch
from ilios.passwords.key import load_key
from ilios.passwords.seal import Seal
from ilios.passwords.sealed import SealedPasswords
from ilios.runtime import process_settings
from ilios.runtime.disk_space import BLOBS, COPIES, DiskGuard
from ilios.settings.settings import Settings

BUS_REQUESTS = "requests on the bus"
"""The name of the part that answers them."""


class EdgeStores(Struct, frozen=True):
    """What the edge reads and writes: the bus, the database and the blobs."""

    connection: Connection
    documents: SqliteDocumentQueries
    batches: SqliteBatchQueries
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
    settings: Settings, stores: EdgeStores, secrets: EdgeSecrets, checks: EdgeChecks
) -> Edge:
    """Build the edge."""
    return Edge(
        publisher=Publisher(stores.connection),
        log=Log(stores.connection),
        outcomes=OutcomeListener(stores.connection),
        reads=stores.documents,
        pages=PageReader(stores.connection),
        progress=DocumentProgress(
            stores.connection, stores.documents, settings.engine_processes, settings.default_engine
        ),
        batches=stores.batches,
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
        limits=Limits(
            max_file_bytes=settings.max_file_bytes,
            convert_timeout=settings.convert_timeout,
            max_connections=process_settings.raise_file_limit(settings.max_connections),
            max_uploads=settings.max_uploads,
        ),
        faults=checks.faults,
        is_alive=checks.is_alive,
        check_faults=checks.file_watch.check_paths,
    )


async def answer_bus_requests(
    edge: Edge, settings: Settings, bus_url: str, violations: PermissionViolations
) -> None:
    """Answer requests on the bus until cancelled. The rest as ``serve_bus``.

    By a connection of its own, so that a flood of requests delays no event. A user of an external
    bus may lack the permissions: then there are no such requests, and nothing else is affected.
    """
    external = settings.nats_url is not None
    refused = PermissionViolations() if external else violations
    # The inbox has this name, to which permissions on an external bus may be restricted.
    name = "ilios" if external else "edge"
    async with (
        connect(bus_url, name=name, permission_violations=refused) as connection,
        serve_bus(edge, connection),
    ):
        await asyncio.Event().wait()


def open_disk_guard(settings: Settings, store: Path | None) -> DiskGuard:
    """Watch the volumes that are written to; ``store`` is that of the embedded bus."""
    s3 = settings.s3
    places = {
        BLOBS if s3 is None else COPIES: blob_directory(s3, settings.data_dir),
        "database": settings.database_path.parent,
    }
    return DiskGuard(places | ({"bus": store} if store else {}), settings.reserve_bytes)


def load_seal(settings: Settings) -> Seal:
    """Load the key of passwords. Errors as ``load_key``."""
    return Seal(load_key(settings.seal_key_file, settings.data_dir))


def load_signer(settings: Settings) -> Signer:
    """Load the key of upload URLs.

    :raises SecretsDamaged: it cannot be read.
    """
    return Signer.load(settings.data_dir / "upload-url.secret")
