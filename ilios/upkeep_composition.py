"""The composition of what runs by the clock: retention, restarts, deadlines, snapshots."""

from collections.abc import Awaitable, Callable, Mapping

from actors.aggregator import NAME as AGGREGATOR
from actors.clock_guard import RunningTime
from actors.deadlines import Deadlines
from actors.fetcher import Fetcher
from actors.janitor.janitor import Janitor
from actors.janitor.objects import ObjectSweep
from actors.janitor.orphans import Orphans
from actors.janitor.overdue import OverdueDocuments
from actors.janitor.retention import Retention
from actors.janitor.stuck import StageConsumers, StuckDocuments
from actors.ocr import Ocr
from actors.persister import NAME as PERSISTER
from actors.ports import Losses
from actors.writes import Writer
from bus.consumers import ConsumerProgress
from bus.log import Log
from bus.objects import Objects
from bus.publisher import Publisher
from ilios.database.recovery.snapshot_schedule import SnapshotScheduler
from ilios.edge_composition import open_disk_guard
from ilios.health import Monitoring
from ilios.nats.buckets import open_buckets
from ilios.settings.settings import Settings
from ilios.stores import Stores
from ilios.worker_composition import Intakes


async def compose_upkeep(
    settings: Settings,
    stores: Stores,
    writer: Writer,
    monitoring: Monitoring,
    losses: Losses,
    *,
    deadlines: Deadlines,
    intakes: Intakes,
) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """Build them: the janitor, its measure of running time, the deadlines and the snapshots."""
    connection, maintenance, blobs = stores.bus.janitor, stores.maintenance, stores.erasable_blobs
    publisher, log = Publisher(connection), Log(connection)
    consumers = StageConsumers(Fetcher.consumer, Ocr.consumer, PERSISTER, AGGREGATOR)
    objects = Objects(stores.bus.objects, settings.max_file_bytes)
    running_time = RunningTime(writer, await maintenance.running_time())
    janitor = Janitor(
        connection,
        writer,
        maintenance,
        blobs,
        running_time=running_time,
        retention=Retention(publisher, maintenance, blobs, settings.expiry_action),
        stuck=StuckDocuments(
            publisher,
            log,
            ConsumerProgress(connection),
            maintenance,
            consumers,
            takes_work=lambda: intakes["ocr"].is_open,
        ),
        orphans=Orphans(log, maintenance, blobs, losses),
        objects=ObjectSweep(objects, connection, consumers),
        deadlines=deadlines,
        interval=settings.janitor_interval,
    )
    snapshots = SnapshotScheduler(
        settings, monitoring.damage, stores.transactions, running_time, monitoring.faults
    )
    disk_guard = open_disk_guard(settings, stores.bus.store)
    buckets = await open_buckets(settings, stores.bus, disk_guard)
    return {
        "running time": running_time.run,
        "janitor": janitor.run,
        "overdue documents": OverdueDocuments(publisher, maintenance, deadlines).run,
        "snapshots": snapshots.run,
        "buckets": buckets.run,
    }
