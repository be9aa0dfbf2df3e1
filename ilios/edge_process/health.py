"""Health of the edge in its own process: that of the core, and of the edge's connections."""

import msgspec

from bus.connection import Connection
from ilios.edge_process.core_link import CoreLink
from ilios.runtime.supervisor import Supervisor
from schemas.service_replies import HealthReport


class EdgeHealth:
    """Asks the core, and adds what only the edge can know."""

    def __init__(self, core: CoreLink, connection: Connection, supervisor: Supervisor) -> None:
        self._core = core
        self._connection = connection
        self._supervisor = supervisor

    async def __call__(self) -> HealthReport:
        """Return the state of the parts of both processes."""
        own = [
            *(f"edge process: {problem}" for problem in self._supervisor.problems),
            *self._core.faults.problems,
            *(f"bus: {refused}" for refused in self._connection.permission_violations.problems),
        ]
        if self._core.is_gone:
            return HealthReport(services={}, healthy=False, problems=own)
        report = await self._core.health()
        services = report.services
        if not self._connection.connected:
            services = {**services, "bus": "unavailable"}
            own.append("bus: the edge is not connected")
        problems = [*report.problems, *(one for one in own if one not in report.problems)]
        return msgspec.structs.replace(
            report, services=services, healthy=not problems, problems=problems
        )
