"""The answer to a scrape: metrics of all parts of a service on one host, as text."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from bus.errors import BusUnavailable
from ilios.metrics.families import Family, Text, gauge, render
from ilios.metrics.requests import RequestMetrics
from schemas.service_replies import HealthReport

SOURCE_TIMEOUT = 4.0  # seconds; a scrape has ten as a rule

Source = Callable[[], Awaitable[list[Family]]]
"""Returns some of the families at the moment."""

log = structlog.get_logger("metrics")


class Exposition:
    """Collects families of several sources, by name; one that fails is left out.

    ``sources`` may become more later.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        health: Callable[[], Awaitable[HealthReport]],
        requests: RequestMetrics | None = None,
    ) -> None:
        self.requests = requests or RequestMetrics()
        self._sources = sources
        self._health = health

    async def __call__(self, accept: str = "") -> Text:
        """Return the metrics in the format that the header ``Accept`` asks for; never raises."""
        sources = {**self._sources, "health": self._healthy}
        found = await asyncio.gather(*(self._ask(*source) for source in sources.items()))
        families = [one for some in found for one in some or ()]
        missing = gauge(
            "ilios_metrics_missing",
            "Whether a part of the metrics cannot be collected.",
            [({"part": name}, some is None) for name, some in zip(sources, found, strict=True)],
        )
        return render([*families, *self.requests.collect(), missing], accept)

    async def _healthy(self) -> list[Family]:
        report = await self._health()
        return [gauge("ilios_healthy", "Whether /health answers 200.", [({}, report.healthy)])]

    async def _ask(self, name: str, source: Source) -> list[Family] | None:
        try:
            async with asyncio.timeout(SOURCE_TIMEOUT):
                return await source()
        except (BusUnavailable, TimeoutError) as error:
            log.info("metrics incomplete", part=name, error=str(error))
        except Exception:
            log.exception("metrics incomplete", part=name)
        return None
