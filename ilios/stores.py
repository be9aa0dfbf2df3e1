"""What the service keeps its data in: the locks, the log, the database and the blobs.

Opened in this order, each as soon as it can be: what may come by itself is waited for.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from actors.ports import Blobs, StorageMisplaced
from bus import streams
from ilios import missing_database
from ilios.blob_proof import LOST, BlobProof, Expected
from ilios.blobs.choice import directory, open_blobs
from ilios.blobs.guarded import GuardedBlobs
from ilios.bus_access import Bus, bus_inside, bus_outside
from ilios.database.blob_names import BlobNames
from ilios.database.connection import lock_file, open_reader, open_writer
from ilios.database.damage import Damage, WatchedConnection
from ilios.database.wal import beside
from ilios.faults import Faults
from ilios.locks import held
from ilios.settings import Settings
from ilios.startup import Startup
from ilios.supervision import Supervisor
from ilios.vanished import VanishedFiles


class Watch(Struct, frozen=True):
    """Where faults are collected: parts that end, damage that is met, faults that stand."""

    supervisor: Supervisor
    damage: Damage
    faults: Faults


class Stores(Struct, frozen=True):
    """What is open. ``reading`` may be shared by all who ask little."""

    bus: Bus
    writing: WatchedConnection
    reading: WatchedConnection
    blobs: Blobs
    files: VanishedFiles


@asynccontextmanager
async def open_stores(settings: Settings, watch: Watch, startup: Startup) -> AsyncIterator[Stores]:
    """Open all of it, and look after it while the context is open.

    :raises DatabaseMissing: there was a database, and it is not there; nothing is held.
    :raises AlreadyInUse, BusDidNotStart, BusRefuses, DatabaseDamaged, NewerDatabase,
        SecretsDamaged, StorageMisconfigured: it cannot be opened; the message has the reason.
    """
    async with AsyncExitStack() as stack:
        enter, possible = stack.enter_async_context, startup.until_possible
        data_dir, path = settings.data_dir, settings.database_path
        # Before the locks: they would be made in the directory a volume is to be mounted on.
        missing_database.refuse_by_snapshots(settings)
        stack.enter_context(held(data_dir / "lock", f"the data directory {data_dir}"))
        stack.enter_context(held(lock_file(path), f"the database {path}"))
        bus = await possible(lambda: enter(_bus(settings, watch)))
        await missing_database.refuse_by_blobs(settings, bus.persister)
        writing = await possible(lambda: enter(open_writer(path, watch.damage)))
        reading = await enter(open_reader(path, watch.damage))
        expected = Expected(BlobNames(reading), data_dir / LOST)
        store = await possible(lambda: enter(_blobs(settings, expected)))
        proof = BlobProof(store, expected, watch.faults)
        await enter(watch.supervisor.running("watch over blobs", proof.run))
        files = VanishedFiles(watch.faults, _places(settings, bus), bus.server_pid)
        await enter(watch.supervisor.running("watch over files", files.run))
        yield Stores(bus, writing, reading, GuardedBlobs(store, proof), files)


@asynccontextmanager
async def _bus(settings: Settings, watch: Watch) -> AsyncIterator[Bus]:
    opening = (
        bus_outside(settings.nats_url.reveal())
        if settings.nats_url is not None
        else bus_inside(settings, watch.supervisor, watch.faults)
    )
    async with opening as bus:
        yield bus


@asynccontextmanager
async def _blobs(settings: Settings, expected: Expected) -> AsyncIterator[Blobs]:
    async with AsyncExitStack() as stack:
        opening = open_blobs(settings.s3, settings.data_dir, await expected.keys())
        try:
            store = await stack.enter_async_context(opening)
        except StorageMisplaced as error:
            raise StorageMisplaced(expected.advised(error)) from error
        yield store


def _places(settings: Settings, bus: Bus) -> dict[str, Path]:
    """Return what must stay where it is, by what it is, the outermost first."""
    database = settings.database_path
    places = {
        "the data directory": settings.data_dir,
        "the directory of the database": database.parent,
        "the database": database,
        "its write-ahead log": beside(database, "-wal"),
        "its shared index": beside(database, "-shm"),
    }
    blobs = directory(settings.s3, settings.data_dir)
    places |= {"the directory of blobs": blobs}
    if settings.s3 is None:
        places |= {"the directory of unfinished blobs": blobs / "tmp"}
    if bus.store is not None:
        places |= {"the directory of the log": bus.store}
        for stream in bus.store.glob(f"*/*/streams/{streams.EVENTS}"):
            places |= {"the directory of the log's events": stream}
    return places
