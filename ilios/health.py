"""Health of the service: every part is checked.

Checks that cost something are made once a second at most. What shows without a check, as a publish
that failed or a volume that is full, counts at once.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable

from msgspec import Struct

from actors.engines import Engine, EngineCrashed, EngineUnavailable
from actors.ports import Blobs, StorageFull, StorageUnavailable
from actors.writes import DatabaseUnavailable, Ping, Writer
from bus.connection import Connection
from bus.errors import BusFull, BusUnavailable
from bus.publisher import Probe
from ilios.database.queries import SqliteDocumentQueries
from ilios.database.sqlite import REPAIR_HINT, DamageMonitor
from ilios.integrity.faults import Faults
from ilios.runtime.disk_space import DiskGuard
from ilios.runtime.supervisor import Supervisor
from schemas.service_replies import HealthReport

CHECK_TIMEOUT = 2.0  # seconds for each part
CACHED_FOR = 1.0  # seconds a result is reused, so that frequent requests cost nothing
CACHED_FOR_IN_DOUBT = 0.25  # seconds, while the log has not proved that it can be written
SLOW_ACK = 1.0  # seconds of a median acknowledgement above which the bus counts as broken


class Monitoring(Struct, frozen=True):
    """Where faults are collected: parts that end, damage to the database, standing faults."""

    supervisor: Supervisor
    damage: DamageMonitor
    faults: Faults

    @property
    def problems(self) -> list[str]:
        """What shows without a check, a sentence for each."""
        return [*self.supervisor.problems, *self.faults.problems]


class _CheckResults(Struct, frozen=True):
    """The fault of each part, or None."""

    bus: str | None
    writer: str | None
    database: str | None
    engine: str | None
    blobs: StorageUnavailable | None


class Health:
    """Checks the parts, at most once a second."""

    def __init__(
        self,
        *,
        connection: Connection,
        probe: Probe,
        writer: Writer,
        reads: SqliteDocumentQueries,
        engine: Engine,
        blobs: Blobs,
        disk_guard: DiskGuard,
        monitoring: Monitoring,
        engine_names: tuple[str, ...] = ("local",),
        bucket: str | None = None,
        orders: Callable[[], dict[str, str]] = dict,
    ) -> None:
        """``orders`` returns a phrase for each role that operators have stopped for a while."""
        self._orders = orders
        self._engine_crashed = False
        self._connection = connection
        self._probe = probe
        self._writer = writer
        self._reads = reads
        self._engine = engine
        self._engine_names = ", ".join(engine_names)
        self._blobs = blobs
        self._bucket = bucket
        self.disk_guard = disk_guard
        self._supervisor = monitoring.supervisor
        self._damage = monitoring.damage
        self._faults = monitoring.faults
        self._refreshing = asyncio.Lock()
        self._results: _CheckResults | None = None
        self._checked_at = 0.0

    async def __call__(self) -> HealthReport:
        """Return the state of the parts; never raises."""
        if self._refreshing.locked() and self._results is not None and self._probe.problem:
            return self._report(self._results)  # a check in doubt takes long
        async with self._refreshing:
            every = CACHED_FOR_IN_DOUBT if self._probe.problem else CACHED_FOR
            answers = self._results
            if answers is None or time.monotonic() - self._checked_at > every:
                answers = self._results = await self._check_all()
                self._checked_at = time.monotonic()
            return self._report(answers)

    async def why_no_work(self, *, converts: bool) -> str | None:
        """Return why workers should leave documents to other hosts at the moment, or None."""
        await self()
        if shortages := self.disk_guard.shortages:
            return f"no room for {', '.join(shortages[0].places)}: {shortages[0].reason}"
        results = self._results
        if converts and self._engine_crashed and results is not None and results.engine:
            return f"engine: {results.engine}"
        return None

    async def _check_all(self) -> _CheckResults:
        return _CheckResults(
            *await asyncio.gather(
                self._check_bus(),
                self._check_writer(),
                self._check_database(),
                self._check_engine(),
                self._check_blobs(),
            )
        )

    def _report(self, results: _CheckResults) -> HealthReport:
        bus, writer, database = results.bus or self._bus_problem(), results.writer, results.database
        engine, blobs = results.engine, results.blobs
        faults = {"bus": bus, "writer": writer, "database": database, "engine": engine}
        problems = [f"{name}: {fault}" for name, fault in faults.items() if fault]
        if blobs is not None:
            problems.append(f"blobs: {blobs}")
        problems.extend(self._supervisor.problems)
        problems.extend(self._faults.problems)
        if self._damage.reason:
            problems.append(f"database: {self._damage.reason}; {REPAIR_HINT}")
        problems.extend(
            f"bus: {refused}" for refused in self._connection.permission_violations.problems
        )
        full: set[str] = set()
        for shortage in self.disk_guard.shortages:
            full.update(shortage.places)
            problems.append(f"no room for {', '.join(shortage.places)}: {shortage.reason}")
        if isinstance(blobs, StorageFull):
            full.add("blobs")
        away = None if isinstance(blobs, StorageFull) else blobs
        stored = _status_word(away, "connected", full="blobs" in full)
        services = {
            "database": _status_word(database, "connected", full="database" in full),
            "s3": stored if self._bucket else "not configured",
            "blobs": _status_word(away, "s3" if self._bucket else "local", full="blobs" in full),
            "bus": _status_word(bus, "connected", full="bus" in full),
            "writer": "unavailable" if writer else "running",
            "engine": "unavailable" if engine else self._engine_names,
        }
        services |= self._orders()
        return HealthReport(services=services, healthy=not problems, problems=problems)

    async def _check_bus(self) -> str | None:
        try:
            await asyncio.wait_for(self._connection.check(), CHECK_TIMEOUT)
            # Not on a full volume: a server that meets one needs a restart.
            if not any("bus" in shortage.places for shortage in self.disk_guard.shortages):
                await self._probe.check_writable()
        except (BusUnavailable, TimeoutError) as error:
            # The statistics of publishes are more precise than one failure.
            return self._bus_problem() or str(error) or "JetStream does not answer"
        except BusFull as error:
            return f"the log is full: {error}"
        return None

    def _bus_problem(self) -> str | None:
        """Return the fault of the bus that its users have noticed since the last check."""
        if not self._connection.connected:
            return "it is not connected"
        if (doubt := self._probe.problem) is not None:
            return doubt
        took = self._connection.publish_stats.median_latency
        return f"an acknowledgement takes {took:.1f} s as a rule" if took > SLOW_ACK else None

    async def _check_writer(self) -> str | None:
        try:
            await asyncio.wait_for(self._writer.commit(Ping()), CHECK_TIMEOUT)
        except (DatabaseUnavailable, TimeoutError):
            return "nothing can be written"
        return None

    async def _check_engine(self) -> str | None:
        try:
            await asyncio.wait_for(self._engine.check(), CHECK_TIMEOUT)
        except (EngineCrashed, EngineUnavailable) as error:
            # Another engine may convert while this one is unavailable.
            self._engine_crashed = isinstance(error, EngineCrashed)
            return error.reason
        except TimeoutError:
            return "no engine process starts"
        return None

    async def _check_blobs(self) -> StorageUnavailable | None:
        try:
            await asyncio.wait_for(self._blobs.check(), CHECK_TIMEOUT)
        except StorageUnavailable as error:
            return error
        except TimeoutError:
            return StorageUnavailable("the store does not answer")
        return None

    async def _check_database(self) -> str | None:
        try:
            await asyncio.wait_for(self._reads.ping(), CHECK_TIMEOUT)
        except (sqlite3.Error, TimeoutError):
            return "the database does not answer"
        return None


def _status_word(fault: object, well: str, *, full: bool) -> str:
    """Return the status of a part; on a full volume it is ``full``, as it still answers."""
    if fault:
        return "unavailable"
    return "full" if full else well
