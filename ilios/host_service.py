"""A process of a service as operators see it: a NATS micro service with its state.

``nats micro ls`` and ``nats micro stats`` show each process, ``ilios status`` reads the same.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from bus.connection import Connection
from bus.intake import Intake
from bus.micro import Endpoint, Lane, Request, Service, ServiceReply
from ilios import __version__
from ilios.orders import Orders
from ilios.settings.settings import Settings
from ilios.worker_composition import Intakes, Parts, Role
from schemas.hosts import EngineState, HostState, RoleState
from schemas.replies import format_instant

CORE, WORKER = "core", "worker"
SUBJECT = "ilios.host"
"""Requests for the state of one process: ``ilios.host.<host>.<pid>``."""
STOP_WITHIN = 1.0  # seconds for answers under way


def service_name(kind: str) -> str:
    """Return the name of the micro service of a kind of process."""
    return f"ilios-{kind}"


class HostService:
    """Answers for this process: its roles, the work in hand, and why it takes no more."""

    def __init__(
        self,
        connection: Connection,
        host: str,
        kind: str,
        intakes: Intakes,
        orders: Orders,
        *,
        engine: Callable[[], EngineState | None],
        problems: Callable[[], Sequence[str]],
    ) -> None:
        self._connection = connection
        self._host = host
        self._kind = kind
        self._intakes = intakes
        self._orders = orders
        self._engine = engine
        self._problems = problems
        self._started = format_instant(datetime.now(UTC))

    @property
    def state(self) -> HostState:
        """The state at the moment."""
        roles = {
            str(role): RoleState(
                in_hand=intake.in_hand, taking=intake.is_open, reasons=intake.reasons
            )
            for role, intake in self._intakes.items()
        }
        return HostState(
            host=self._host,
            kind=self._kind,
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            roles=roles,
            engine=self._engine(),
            drained=self._orders.drained,
            problems=list(self._problems()),
        )

    async def run(self) -> None:
        """Answer until cancelled.

        :raises BusUnavailable: the bus is not connected.
        """
        pid = str(os.getpid())
        service = Service(
            self._connection,
            self._answer,
            (Endpoint("status", f"{SUBJECT}.{self._host}.*", {}),),
            name=service_name(self._kind),
            version=__version__,
            description=f"A {self._kind} of ilios",
            metadata={"host": self._host, "roles": " ".join(self._intakes), "pid": pid},
            data=lambda: self.state,
        )
        lanes = [Lane(self._connection, (pid,))]
        async with service.running(lanes, lambda: None, STOP_WITHIN):
            await asyncio.Event().wait()

    async def _answer(self, _request: Request) -> ServiceReply:
        return ServiceReply(msgspec.json.encode(self.state))


class Host:
    """A process with roles that take work, as operators see and steer it."""

    def __init__(
        self, settings: Settings, kind: str, connection: Connection, roles: Sequence[Role]
    ) -> None:
        self.connection = connection
        self.intakes: Intakes = {role: Intake() for role in roles}
        self.orders = Orders(connection, settings.name, self.intakes)
        self._name = settings.name
        self._kind = kind

    def parts(
        self,
        *,
        engine: Callable[[], EngineState | None],
        problems: Callable[[], Sequence[str]],
    ) -> Parts:
        """Build what follows the orders of operators and answers their questions."""
        service = HostService(
            self.connection,
            self._name,
            self._kind,
            self.intakes,
            self.orders,
            engine=engine,
            problems=problems,
        )
        return {"orders": self.orders.run, "host service": service.run}
