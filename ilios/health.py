"""Whether the service can do its work: every part is asked, none is believed."""

import asyncio
import sqlite3
import time

from msgspec import Struct

from actors.engines import Engine, EngineCrashed, EngineUnavailable
from actors.ports import Blobs, StorageFull, StorageUnavailable
from actors.writer import Writer
from actors.writes import LedgerUnavailable, Ping
from bus.connection import Connection
from bus.errors import BusUnavailable
from ilios.database.damage import ADVICE, Damage
from ilios.database.reads import Reads
from ilios.faults import Faults
from ilios.free_space import FreeSpace
from ilios.supervision import Supervisor
from schemas.replies import HealthReport

ANSWER_WITHIN = 2.0  # seconds for each part
ASKED_EVERY = 1.0  # seconds an answer stays good, so that asking often costs nothing


class Store(Struct, frozen=True):
    """The blobs, and the bucket they lie in, if they lie in one."""

    blobs: Blobs
    bucket: str | None = None


class Converting(Struct, frozen=True):
    """What converts documents, and the names of the engines it is made of."""

    engine: Engine
    names: tuple[str, ...] = ("local",)


class Health:
    """Asks the parts, at most once a second."""

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        reads: Reads,
        converting: Converting,
        supervisor: Supervisor,
        store: Store,
        *,
        free_space: FreeSpace,
        damage: Damage,
        faults: Faults,
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._reads = reads
        self._engine = converting.engine
        self._engines = ", ".join(converting.names)
        self._supervisor = supervisor
        self._store = store
        self._free_space = free_space
        self._damage = damage
        self._faults = faults
        self._asking = asyncio.Lock()
        self._report: HealthReport | None = None
        self._asked_at = 0.0

    async def __call__(self) -> HealthReport:
        """Return how the parts are; never raises."""
        async with self._asking:
            if self._report is None or time.monotonic() - self._asked_at > ASKED_EVERY:
                self._report = await self._ask()
                self._asked_at = time.monotonic()
            return self._report

    async def _ask(self) -> HealthReport:
        bus, writer, database, engine, blobs = await asyncio.gather(
            self._ask_bus(),
            self._ask_writer(),
            self._ask_database(),
            self._ask_engine(),
            self._ask_blobs(),
        )
        faults = {"bus": bus, "writer": writer, "database": database, "engine": engine}
        problems = [f"{name}: {fault}" for name, fault in faults.items() if fault]
        if blobs is not None:
            problems.append(f"blobs: {blobs}")
        problems.extend(self._supervisor.problems)
        problems.extend(self._faults.problems)
        if self._damage.found:
            problems.append(f"database: {self._damage.found}; {ADVICE}")
        problems.extend(f"bus: {refused}" for refused in self._connection.refusals.problems)
        full: set[str] = set()
        for shortage in self._free_space.shortages:
            full.update(shortage.places)
            problems.append(f"no room for {', '.join(shortage.places)}: {shortage.reason}")
        if isinstance(blobs, StorageFull):
            full.add("blobs")
        away = None if isinstance(blobs, StorageFull) else blobs
        stored = _shown(away, "connected", full="blobs" in full)
        services = {
            "database": _shown(database, "connected", full="database" in full),
            "s3": stored if self._store.bucket else "not configured",
            "blobs": _shown(away, "s3" if self._store.bucket else "local", full="blobs" in full),
            "bus": _shown(bus, "connected", full="bus" in full),
            "writer": "unavailable" if writer else "running",
            "engine": "unavailable" if engine else self._engines,
        }
        return HealthReport(services=services, healthy=not problems, problems=problems)

    async def _ask_bus(self) -> str | None:
        try:
            await asyncio.wait_for(self._connection.check(), ANSWER_WITHIN)
        except (BusUnavailable, TimeoutError):
            return "JetStream does not answer"
        return None

    async def _ask_writer(self) -> str | None:
        try:
            await asyncio.wait_for(self._writer.keep(Ping()), ANSWER_WITHIN)
        except (LedgerUnavailable, TimeoutError):
            return "nothing can be written"
        return None

    async def _ask_engine(self) -> str | None:
        try:
            await asyncio.wait_for(self._engine.check(), ANSWER_WITHIN)
        except (EngineCrashed, EngineUnavailable) as error:
            return error.reason
        except TimeoutError:
            return "no engine process starts"
        return None

    async def _ask_blobs(self) -> StorageUnavailable | None:
        try:
            await asyncio.wait_for(self._store.blobs.check(), ANSWER_WITHIN)
        except StorageUnavailable as error:
            return error
        except TimeoutError:
            return StorageUnavailable("the store does not answer")
        return None

    async def _ask_database(self) -> str | None:
        try:
            await asyncio.wait_for(self._reads.ping(), ANSWER_WITHIN)
        except (sqlite3.Error, TimeoutError):
            return "the database does not answer"
        return None


def _shown(fault: object, well: str, *, full: bool) -> str:
    """Return the word for a part; one that still answers on a full volume is not unavailable."""
    if fault:
        return "unavailable"
    return "full" if full else well
