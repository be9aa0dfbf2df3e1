"""The composition of the metrics of a core and of a worker host."""

from collections.abc import Callable, Mapping

from bus.connection import Connection
from ilios.engine_composition import Engines
from ilios.metrics.backlog import bus_families
from ilios.metrics.documents import DocumentMetrics
from ilios.metrics.exposition import Source
from ilios.metrics.families import Family
from ilios.metrics.host import host_families
from ilios.metrics.processes import process_families
from ilios.metrics.writes import WriteMetrics
from ilios.metrics_serving import CORE_PARTS
from ilios.settings.settings import Settings
from ilios.worker_composition import Intakes


class CoreMetrics:
    """What a core measures while it works."""

    def __init__(self, settings: Settings) -> None:
        self.documents = DocumentMetrics(tenants=settings.metrics_tenants)
        self.writes = WriteMetrics()

    def sources(
        self,
        connection: Connection,
        applied: Callable[[], int],
        intakes: Intakes,
        engines: Engines,
    ) -> Mapping[str, Source]:
        """Return what the metrics of a core consist of; ``applied`` as ``bus_families``."""

        async def own() -> list[Family]:
            return [
                *process_families("core"),
                *host_families(intakes, engines),
                *self.documents.collect(),
                *self.writes.collect(),
            ]

        async def bus() -> list[Family]:
            return await bus_families(connection, applied)

        return dict(zip(CORE_PARTS, (own, bus), strict=True))


def worker_sources(intakes: Intakes, engines: Engines | None) -> Mapping[str, Source]:
    """Return what the metrics of a worker host consist of; those of the bus are the core's."""

    async def own() -> list[Family]:
        return [*process_families("worker"), *host_families(intakes, engines)]

    return {"worker": own}
