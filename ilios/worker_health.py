"""Health of a worker host: its own parts, the bus and the blobs."""

import asyncio
import time

from actors.engines import Engine, EngineCrashed, EngineUnavailable
from actors.ports import Blobs, StorageUnavailable
from bus.connection import Connection
from bus.errors import BusUnavailable
from ilios.orders import Orders
from ilios.runtime.disk_space import DiskGuard
from ilios.runtime.supervisor import Supervisor
from schemas.service_replies import HealthReport

CHECK_TIMEOUT = 2.0  # seconds for each part
CACHED_FOR = 1.0  # seconds a result is reused, so that frequent requests cost nothing


class WorkerHealth:
    """Checks the parts, at most once a second. Without an ``engine`` nothing is converted here.

    ``disk_guard`` watches the volumes that are written to.
    """

    def __init__(
        self,
        connection: Connection,
        blobs: Blobs,
        supervisor: Supervisor,
        engine: Engine | None,
        engine_names: tuple[str, ...],
        *,
        disk_guard: DiskGuard,
        orders: Orders,
    ) -> None:
        self._disk_guard = disk_guard
        self._orders = orders
        self._engine_stops = False
        self._connection = connection
        self._blobs = blobs
        self._supervisor = supervisor
        self._engine = engine
        self._engine_names = ", ".join(engine_names)
        self._checking = asyncio.Lock()
        self._found: dict[str, str | None] = {}
        self._checked_at = 0.0

    async def __call__(self) -> HealthReport:
        """Return the state of the parts; never raises."""
        found = await self._faults()
        problems = [f"{name}: {fault}" for name, fault in found.items() if fault]
        problems += self._supervisor.problems
        problems += [f"bus: {one}" for one in self._connection.permission_violations.problems]
        if (full := self._full) is not None:
            problems.append(full)
        well = {"bus": "connected", "blobs": "connected", "engine": self._engine_names}
        services = {name: "unavailable" if fault else well[name] for name, fault in found.items()}
        return HealthReport(
            services=services | self._orders.words, healthy=not problems, problems=problems
        )

    async def why_no_work(self, *, converts: bool) -> str | None:
        """Return why a role should take no documents at the moment, or None.

        Not because of the bus, without which there are none, nor because of an engine that only
        needs time.
        """
        found = await self._faults()
        if (full := self._full) is not None:
            return full
        if (blobs := found.get("blobs")) is not None:
            return f"blobs: {blobs}"
        engine = found.get("engine")
        return f"engine: {engine}" if converts and engine and self._engine_stops else None

    @property
    def _full(self) -> str | None:
        shortages = self._disk_guard.shortages
        return (
            f"no room for {', '.join(shortages[0].places)}: {shortages[0].reason}"
            if (shortages)
            else None
        )

    async def _faults(self) -> dict[str, str | None]:
        async with self._checking:
            if not self._found or time.monotonic() - self._checked_at > CACHED_FOR:
                self._found = await self._check_all()
                self._checked_at = time.monotonic()
            return self._found

    async def _check_all(self) -> dict[str, str | None]:
        bus, blobs, engine = await asyncio.gather(
            self._check_bus(), self._check_blobs(), self._check_engine()
        )
        found = {"bus": bus, "blobs": blobs}
        return found if self._engine is None else found | {"engine": engine}

    async def _check_bus(self) -> str | None:
        try:
            await asyncio.wait_for(self._connection.check(), CHECK_TIMEOUT)
        except (BusUnavailable, TimeoutError) as error:
            return str(error) or "JetStream does not answer"
        return None

    async def _check_blobs(self) -> str | None:
        try:
            await asyncio.wait_for(self._blobs.check(), CHECK_TIMEOUT)
        except (StorageUnavailable, TimeoutError) as error:
            return str(error) or "the store does not answer"
        return None

    async def _check_engine(self) -> str | None:
        if self._engine is None:
            return None
        try:
            await asyncio.wait_for(self._engine.check(), CHECK_TIMEOUT)
        except (EngineCrashed, EngineUnavailable) as error:
            self._engine_stops = isinstance(error, EngineCrashed) or error.refused
            return error.reason
        except TimeoutError:
            self._engine_stops = False  # a busy machine starts one later
            return "no engine process starts"
        return None
