"""The buckets of the tenants: created at the start, and closed while a volume is full."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

import structlog

from actors.janitor.objects import ABANDONED_AFTER
from bus.buckets import CLOSED, ensure_bucket
from bus.connection import Connection
from bus.errors import BusUnavailable
from ilios.nats.access import Bus, tenants_of
from ilios.runtime.disk_space import DiskGuard
from ilios.settings.settings import Settings

INTERVAL = 5.0  # seconds between looks at the volumes

log = structlog.get_logger("bus")


class Buckets:
    """Gives each tenant a bucket of ``max_bytes``.

    A bucket takes nothing while a volume is full: the reserve is for documents that were accepted
    before.
    """

    def __init__(
        self,
        connection: Connection,
        tenants: Iterable[str],
        max_bytes: int,
        *,
        max_age: timedelta,
        disk_guard: DiskGuard,
        copies: int | None = None,
    ) -> None:
        self._connection = connection
        self._tenants = tuple(tenants)
        self._max_bytes = max_bytes
        self._max_age = max_age.total_seconds()
        self._disk_guard = disk_guard
        self._copies = copies
        self._current: int | None = None
        self._problem = ""

    async def run(self) -> None:
        """Keep the sizes as they have to be, until cancelled."""
        while True:
            await self.update()
            await asyncio.sleep(INTERVAL)

    async def update(self) -> None:
        """Create and resize what has to be; a bus that refuses is asked again later."""
        wanted = self._max_bytes if self._max_bytes and not self._disk_guard.shortages else CLOSED
        if wanted == self._current:
            return
        try:
            async with self._connection.setup_context() as js:
                for tenant in self._tenants:
                    advice = await ensure_bucket(
                        js, tenant, wanted, max_age=self._max_age, copies=self._copies
                    )
                    if advice and self._current is None:
                        log.warning("too few copies", advice=advice)
        except BusUnavailable as error:
            if str(error) != self._problem:
                log.warning("files cannot be put on the bus", reason=str(error))
            self._problem = str(error)
        else:
            self._current, self._problem = wanted, ""


async def open_buckets(settings: Settings, bus: Bus, disk_guard: DiskGuard) -> Buckets:
    """Create the buckets before the service is ready, when its publishers may use them."""
    buckets = Buckets(
        bus.objects,
        tenants_of(settings),
        bus.bucket_bytes,
        # A submission may wait on the log as long as that.
        max_age=settings.log_max_age + ABANDONED_AFTER,
        disk_guard=disk_guard,
        copies=settings.bus_replicas,
    )
    await buckets.update()
    return buckets
