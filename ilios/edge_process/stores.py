"""The stores as the edge process opens them beside the core: nothing is created or migrated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TypeVar

from bus.connection import connect
from bus.diagnostics import PermissionViolations, PublishStats
from bus.target import Target
from ilios.blobs.factory import open_blobs
from ilios.blobs.guarded import GuardedBlobs
from ilios.database.connection import open_inline_reader, open_reader
from ilios.database.lists import SqliteListQueries
from ilios.database.queries import (
    SqliteBatchQueries,
    SqliteBlobSamples,
    SqliteDocumentQueries,
    SqliteUsageQueries,
)
from ilios.database.sqlite import DamageMonitor
from ilios.edge.app import serve_startup_app
from ilios.edge.server import ListeningSockets
from ilios.edge_composition import EdgeStores
from ilios.integrity.blob_check import LOST_BEFORE_FILE, BlobStoreCheck, ExpectedBlobs
from ilios.integrity.faults import Faults
from ilios.runtime.supervisor import Supervisor
from ilios.settings.settings import Settings
from ilios.startup import Startup

ANSWER_AFTER = 1.0  # seconds for which clients wait rather than get an answer

_T = TypeVar("_T")


@asynccontextmanager
async def open_stores(
    settings: Settings,
    target: Target,
    publish_stats: PublishStats,
    damage: DamageMonitor,
    faults: Faults,
    supervisor: Supervisor,
) -> AsyncIterator[EdgeStores]:
    """Open them while the context is open.

    :raises BusUnavailable, StorageUnavailable: one does not answer.
    """
    path = settings.database_path
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        # The inbox has this name, to which permissions on an external bus may be restricted.
        external = settings.nats_url is not None
        connection = await enter(
            connect(
                target,
                name="ilios" if external else "edge",
                permission_violations=PermissionViolations(later_are_optional=external),
                publish_stats=publish_stats,
            )
        )
        reader = await enter(open_reader(path, damage))
        inline = await enter(open_inline_reader(path, reader, damage))
        # Sums over years and long lists must not delay queries for one document.
        reports = await enter(open_reader(path, damage))
        lost_before = settings.data_dir / LOST_BEFORE_FILE
        expected = ExpectedBlobs(SqliteBlobSamples(reader), lost_before)
        store = await enter(
            open_blobs(
                settings.s3, settings.data_dir, await expected.keys(), shared=settings.shared_blobs
            )
        )
        check = BlobStoreCheck(store, expected, faults)
        await enter(supervisor.running("watch over blobs", check.run))
        yield EdgeStores(
            connection,
            SqliteDocumentQueries(reader, inline),
            SqliteBatchQueries(reader),
            SqliteListQueries(reports),
            SqliteUsageQueries(reports),
            GuardedBlobs(store, check),
        )


async def wait_until_available(
    sockets: ListeningSockets, attempt: Callable[[], Awaitable[_T]]
) -> _T:
    """Return the result of ``attempt``, which is repeated while something does not answer.

    If that takes long, clients get the answers of a service that starts.
    """
    startup = Startup(sockets.url, {})

    async def answer() -> None:
        await asyncio.sleep(ANSWER_AFTER)
        async with serve_startup_app(sockets, lambda: startup.waiting_for):
            await asyncio.Event().wait()

    answering = asyncio.create_task(answer())
    try:
        return await startup.retry_until_available(attempt)
    finally:
        answering.cancel()
        with suppress(asyncio.CancelledError):
            await answering
