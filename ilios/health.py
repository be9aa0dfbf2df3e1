"""Whether the service can do its work: every part is asked, none is believed.

Questions that cost something are asked once a second at most. What is learned in passing, by a
publish that failed or a volume that is full, counts at once.
"""

import asyncio
import sqlite3
import time

from msgspec import Struct

from actors.engines import Engine, EngineCrashed, EngineUnavailable
from actors.ports import Blobs, StorageFull, StorageUnavailable
from actors.writer import Writer
from actors.writes import LedgerUnavailable, Ping
from bus.connection import Connection
from bus.errors import BusFull, BusUnavailable
from bus.probe import Probe
from ilios.database.damage import ADVICE, Damage
from ilios.database.reads import Reads
from ilios.faults import Faults
from ilios.free_space import FreeSpace
from ilios.supervision import Supervisor
from schemas.replies import HealthReport

ANSWER_WITHIN = 2.0  # seconds for each part
ASKED_EVERY = 1.0  # seconds an answer stays good, so that asking often costs nothing
IN_DOUBT_EVERY = 0.25  # seconds, while the log has not proved that it can be written
SLOW = 1.0  # seconds an acknowledgement usually takes, above which the bus does not do its work


class Messaging(Struct, frozen=True):
    """The bus: a connection that asks it, and what proves that it stores what is published."""

    connection: Connection
    probe: Probe


class Store(Struct, frozen=True):
    """The blobs, and the bucket they lie in, if they lie in one."""

    blobs: Blobs
    bucket: str | None = None


class Converting(Struct, frozen=True):
    """What converts documents, and the names of the engines it is made of."""

    engine: Engine
    names: tuple[str, ...] = ("local",)


class _Answers(Struct, frozen=True):
    """What the parts answered: what is wrong with each, or None."""

    bus: str | None
    writer: str | None
    database: str | None
    engine: str | None
    blobs: StorageUnavailable | None


class Health:
    """Asks the parts, at most once a second."""

    def __init__(
        self,
        messaging: Messaging,
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
        self._connection = messaging.connection
        self._probe = messaging.probe
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
        self._answers: _Answers | None = None
        self._asked_at = 0.0

    async def __call__(self) -> HealthReport:
        """Return how the parts are; never raises."""
        if self._asking.locked() and self._answers is not None and self._probe.doubt:
            return self._report(self._answers)  # it takes its time to find out more
        async with self._asking:
            every = IN_DOUBT_EVERY if self._probe.doubt else ASKED_EVERY
            answers = self._answers
            if answers is None or time.monotonic() - self._asked_at > every:
                answers = self._answers = await self._ask()
                self._asked_at = time.monotonic()
            return self._report(answers)

    async def _ask(self) -> _Answers:
        return _Answers(
            *await asyncio.gather(
                self._ask_bus(),
                self._ask_writer(),
                self._ask_database(),
                self._ask_engine(),
                self._ask_blobs(),
            )
        )

    def _report(self, answers: _Answers) -> HealthReport:
        bus, writer, database = answers.bus or self._bus_now(), answers.writer, answers.database
        engine, blobs = answers.engine, answers.blobs
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
            # Not on a full volume: a server that meets one needs a restart.
            if not any("bus" in shortage.places for shortage in self._free_space.shortages):
                await self._probe.prove()
        except (BusUnavailable, TimeoutError) as error:
            # What the publishes say is more than that one of them failed.
            return self._bus_now() or str(error) or "JetStream does not answer"
        except BusFull as error:
            return f"the log is full: {error}"
        return None

    def _bus_now(self) -> str | None:
        """Return what is wrong with the bus by what its users noticed since it was asked."""
        if not self._connection.connected:
            return "it is not connected"
        if (doubt := self._probe.doubt) is not None:
            return doubt
        took = self._connection.acknowledgements.usual_seconds
        return f"an acknowledgement takes {took:.1f} s as a rule" if took > SLOW else None

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
