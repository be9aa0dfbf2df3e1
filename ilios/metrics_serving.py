"""Metrics as the edge and the worker hosts serve them, apart from what is measured.

An edge process imports this without the engines and actors that the core measures.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from ilios.edge.app import serve_metrics_app
from ilios.listening import open_metrics_sockets
from ilios.metrics.exposition import Exposition, Source
from ilios.metrics.families import Family
from ilios.metrics.processes import process_families
from ilios.settings.settings import Settings
from schemas.service_replies import HealthReport

CORE_PARTS = ("core", "bus")
"""What the metrics of a core consist of, for an edge that asks for them."""


def edge_exposition(
    of_core: Mapping[str, Source], health: Callable[[], Awaitable[HealthReport]]
) -> Exposition:
    """Return the metrics of an edge in a process of its own, with those that the core sends."""

    async def own() -> list[Family]:
        return process_families("edge")

    return Exposition({**of_core, "edge": own}, health)


@asynccontextmanager
async def serve_metrics(settings: Settings, exposition: Exposition | None) -> AsyncIterator[None]:
    """Answer scrapes on a port of their own while the context is open, if one is set.

    :raises CannotListen: it is taken.
    """
    async with AsyncExitStack() as stack:
        if exposition is not None and settings.metrics_port is not None:
            sockets = await stack.enter_async_context(open_metrics_sockets(settings))
            key = settings.metrics_key
            await stack.enter_async_context(
                serve_metrics_app(sockets, exposition, key.get_secret_value() if key else None)
            )
        yield
