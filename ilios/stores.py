"""The stores of the service: the bus with its log, the database and the blobs.

They are opened in this order; one that is temporarily unavailable is waited for.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
from msgspec import Struct

from actors.ports import Blobs, StorageMismatch
from bus import streams
from ilios.blobs.factory import blob_directory, open_blobs, warn_of_unmoved_blobs
from ilios.blobs.fenced import FencedBlobs
from ilios.blobs.guarded import GuardedBlobs
from ilios.blobs.move_record import ensure_complete_store, record_start
from ilios.blobs.s3 import SharingHost
from ilios.core_epoch import refuse_second
from ilios.data_directory import (
    VERSION_FILE,
    check_version,
    refuse_foreign_database,
    unlock_database,
    write_version,
)
from ilios.database.connection import lock_file, open_inline_reader, open_reader, open_writer
from ilios.database.encryption import has_key
from ilios.database.key_check import FIRST_START
from ilios.database.lists import SqliteListQueries
from ilios.database.queries import (
    SqliteBatchQueries,
    SqliteBlobSamples,
    SqliteDocumentQueries,
    SqliteLogQueries,
    SqliteMaintenanceQueries,
    SqliteUsageQueries,
)
from ilios.database.recovery.upgrade_snapshot import make_upgrade_snapshot
from ilios.database.recovery.wal import sidecar
from ilios.database.store import SqliteTransactionStore
from ilios.health import Monitoring
from ilios.integrity import missing_database
from ilios.integrity.blob_check import LOST_BEFORE_FILE, BlobStoreCheck, ExpectedBlobs
from ilios.integrity.file_watch import FileWatch, stat_paths
from ilios.nats.access import Bus, open_embedded_bus, open_external_bus
from ilios.runtime.locks import exclusive_lock
from ilios.settings.settings import Settings
from ilios.startup import Startup

log = structlog.get_logger("stores")


class Stores(Struct, frozen=True):
    """The open bus, blobs and database: its one writing connection, and queries on others.

    ``erasable_blobs`` are the same as ``blobs``, for those who delete what the database no longer
    needs. ``follows_core`` is whether the bus was that of another core until now, which ends.
    """

    bus: Bus
    blobs: Blobs
    erasable_blobs: Blobs
    transactions: SqliteTransactionStore
    documents: SqliteDocumentQueries
    batches: SqliteBatchQueries
    log_reads: SqliteLogQueries
    maintenance: SqliteMaintenanceQueries
    lists: SqliteListQueries
    usage: SqliteUsageQueries
    file_watch: FileWatch
    follows_core: bool


@asynccontextmanager
async def open_stores(
    settings: Settings, monitoring: Monitoring, startup: Startup, *, take_over: bool = False
) -> AsyncIterator[Stores]:
    """Open the stores, and watch them while the context is open.

    With ``take_over`` also those of a bus that belongs to another core.

    :raises DatabaseMissing: there was a database, and it is gone; no lock is held.
    :raises AlreadyInUse, BusDidNotStart, BusMisconfigured, DatabaseDamaged, EpochStands,
        ForeignDatabase, KeyRefused, NewerData, NewerDatabase, SecretsDamaged,
        StorageMisconfigured: one cannot be opened; the message has the reason.
    """
    async with AsyncExitStack() as stack:
        enter, retry = stack.enter_async_context, startup.retry_until_available
        data_dir, path = settings.data_dir, settings.database_path
        # Before anything is written: the file of another program is left as it is.
        unlock_database(settings)
        refuse_foreign_database(settings)
        # Before the locks: they would be created in the directory a volume is to be mounted on.
        missing_database.check_snapshots(settings)
        stack.enter_context(exclusive_lock(data_dir / "lock", f"the data directory {data_dir}"))
        stack.enter_context(exclusive_lock(lock_file(path), f"the database {path}"))
        check_version(data_dir)
        directory = blob_directory(None, data_dir, settings.shared_blobs)
        in_use = directory if settings.s3 is None else None
        ensure_complete_store(data_dir, in_use)
        bus = await retry(lambda: enter(_open_bus(settings, monitoring)))
        follows_core = await retry(
            lambda: refuse_second(settings, bus.persister, take_over=take_over)
        )
        await missing_database.check_blobs(settings, bus.persister)
        if has_key() and missing_database.is_missing(path):
            log.warning(FIRST_START, database=str(path))
        snapshot = partial(make_upgrade_snapshot, settings, monitoring.damage)
        write_connection = await retry(
            lambda: enter(open_writer(path, monitoring.damage, before_upgrade=snapshot))
        )
        ran_before = (data_dir / VERSION_FILE).exists()
        write_version(data_dir)
        read_connection = await enter(open_reader(path, monitoring.damage))
        inline = await enter(open_inline_reader(path, read_connection, monitoring.damage))
        expected = ExpectedBlobs(SqliteBlobSamples(read_connection), data_dir / LOST_BEFORE_FILE)
        if ran_before and settings.s3 is None:
            await retry(lambda: expected.ensure_directory(directory, bus.persister))
        warn_of_unmoved_blobs(settings.s3, data_dir)
        store = await retry(lambda: enter(_open_blobs(settings, expected)))
        record_start(data_dir, in_use)
        blob_check = BlobStoreCheck(store, expected, monitoring.faults)
        await enter(monitoring.supervisor.running("watch over blobs", blob_check.run))
        watched = stat_paths(_watched_paths(settings, bus))
        file_watch = FileWatch(monitoring.faults, watched, bus.server_pid)
        await enter(monitoring.supervisor.running("watch over files", file_watch.run))
        # Queries that take a while, as sums over years, must not delay those for one document.
        maintenance = SqliteMaintenanceQueries(await enter(open_reader(path, monitoring.damage)))
        reports = await enter(open_reader(path, monitoring.damage))
        yield Stores(
            bus=bus,
            blobs=GuardedBlobs(store, blob_check),
            erasable_blobs=FencedBlobs(store, blob_check, bus.janitor),
            transactions=SqliteTransactionStore(write_connection, settings.pricing),
            documents=SqliteDocumentQueries(read_connection, inline),
            batches=SqliteBatchQueries(read_connection),
            log_reads=SqliteLogQueries(read_connection),
            maintenance=maintenance,
            lists=SqliteListQueries(reports),
            usage=SqliteUsageQueries(reports),
            file_watch=file_watch,
            follows_core=follows_core,
        )


@asynccontextmanager
async def _open_bus(settings: Settings, monitoring: Monitoring) -> AsyncIterator[Bus]:
    opening = (
        open_external_bus(settings.external_bus, settings)
        if settings.external_bus is not None
        else open_embedded_bus(settings, monitoring.supervisor, monitoring.faults)
    )
    async with opening as bus:
        yield bus


@asynccontextmanager
async def _open_blobs(settings: Settings, expected: ExpectedBlobs) -> AsyncIterator[Blobs]:
    async with AsyncExitStack() as stack:
        # On an external bus there may be workers on other hosts.
        host = SharingHost(sweeps=True) if settings.nats_url is not None else None
        opening = open_blobs(
            settings.s3,
            settings.data_dir,
            await expected.keys(),
            shared=settings.shared_blobs,
            host=host,
        )
        try:
            store = await stack.enter_async_context(opening)
        except StorageMismatch as error:
            raise StorageMismatch(expected.with_advice(error)) from error
        yield store


def _watched_paths(settings: Settings, bus: Bus) -> dict[str, Path]:
    """Return the files and directories that must not vanish, by name, the outermost first."""
    database = settings.database_path
    places = {
        "the data directory": settings.data_dir,
        "the directory of the database": database.parent,
        "the database": database,
        "its write-ahead log": sidecar(database, "-wal"),
        "its shared index": sidecar(database, "-shm"),
    }
    blobs = blob_directory(settings.s3, settings.data_dir, settings.shared_blobs)
    places |= {"the directory of blobs": blobs}
    if settings.s3 is None:
        places |= {"the directory of unfinished blobs": blobs / "tmp"}
    if bus.store is not None:
        places |= {"the directory of the log": bus.store}
        for stream in bus.store.glob(f"*/*/streams/{streams.EVENTS}"):
            places |= {"the directory of the log's events": stream}
    return places
