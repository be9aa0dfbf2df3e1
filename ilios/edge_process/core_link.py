"""The edge's end of the channel: faults and health of the core, and what the core must learn."""

import asyncio
import itertools
from collections.abc import Mapping

import structlog

from bus.diagnostics import PublishStats
from bus.errors import BusUnavailable
from ilios.database.sqlite import DamageMonitor
from ilios.edge_process.channel import Channel
from ilios.edge_process.messages import (
    DamageMet,
    FromCore,
    HealthAnswered,
    HealthAsked,
    MetricsAnswered,
    MetricsAsked,
    PasswordSealed,
    PublishesAnswered,
    PublishRefused,
    PublishTimedOut,
    State,
)
from ilios.integrity.faults import Fault, Faults
from ilios.metrics.families import Family
from schemas.service_replies import HealthReport

SILENT_FOR = 10.0  # seconds without a message after which the core counts as hanging
FLUSH_INTERVAL = 0.1  # seconds for which acknowledgements are collected
SOURCE = "core process"

log = structlog.get_logger("edge")


class EdgeFaults(Faults):
    """The faults of the edge, and those of the core."""

    def __init__(self, of_core: Mapping[str, Fault]) -> None:
        super().__init__()
        self.of_core = of_core

    @property
    def standing(self) -> Mapping[str, Fault]:
        """The faults of both by source."""
        return {**self.of_core, **super().standing}

    @property
    def storage(self) -> str | None:
        """As above: a core that is gone or hangs has left on disk what the log acknowledged."""
        return self.first_blocking(except_of=SOURCE)


class ForwardedPublishStats(PublishStats):
    """Forwards the results of publishes to the core, which watches over the server."""

    def __init__(self, channel: Channel[FromCore]) -> None:
        super().__init__()
        self._channel = channel
        self._unsent: list[float] = []
        self._timer: asyncio.TimerHandle | None = None

    def record_reply(
        self, *, full: bool = False, stored: bool = False, latency: float = 0.0
    ) -> None:
        """Record a reply; a log without room is forwarded at once."""
        doubtful = self.stream_full or self.consecutive_timeouts or self.has_no_leader
        super().record_reply(full=full, stored=stored, latency=latency)
        if stored:
            self._unsent.append(latency)
        if full or doubtful:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL, self._flush)

    def record_timeout(self, started_at: float) -> None:
        """Record a try without a reply, which is forwarded at once."""
        super().record_timeout(started_at)
        self._flush()
        self._channel.send(PublishTimedOut(started_at))

    def record_no_leader(self) -> None:
        """Record the answer that no server stores events, which is forwarded at once."""
        super().record_no_leader()
        if self._unsent:
            self._flush()
        self._channel.send(PublishRefused())

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._channel.send(PublishesAnswered(self._unsent, self.stream_full))
        self._unsent = []


class CoreLink:
    """The state of the core, and messages to it. ``run`` receives."""

    def __init__(self, channel: Channel[FromCore], state: State, damage: DamageMonitor) -> None:
        self._channel = channel
        self._damage = damage
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[HealthReport]] = {}
        self._scrapes: dict[int, asyncio.Future[list[Family] | None]] = {}
        self.faults = EdgeFaults(state.faults)
        self.is_gone = False
        self.answers = True
        self._apply(state)
        damage.on_damage(self._forward_damage)

    async def run(self) -> None:
        """Receive until the core is gone, which leaves a blocking fault."""
        silence = self._loop.call_later(SILENT_FOR, self._report_silence)
        try:
            while (message := await self._channel.receive()) is not None:
                silence.cancel()
                silence = self._loop.call_later(SILENT_FOR, self._report_silence)
                self.faults.resolve(SOURCE)
                self.answers = True
                match message:
                    case State():
                        self._apply(message)
                    case HealthAnswered(number, report):
                        if (waiting := self._waiting.pop(number, None)) and not waiting.done():
                            waiting.set_result(report)
                    case MetricsAnswered(number, families):
                        if (scrape := self._scrapes.pop(number, None)) and not scrape.done():
                            scrape.set_result(families)
        finally:
            silence.cancel()
        self.is_gone = True
        self.faults.report(SOURCE, "it has ended", blocking=True)

    async def health(self) -> HealthReport:
        """Ask for the health of the core; waits for the answer."""
        number = next(self._numbers)
        answer: asyncio.Future[HealthReport] = self._loop.create_future()
        self._waiting[number] = answer
        try:
            self._channel.send(HealthAsked(number))
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def metrics(self, part: str) -> list[Family]:
        """Ask for the metrics of a part of the core; waits for the answer.

        :raises BusUnavailable: they cannot be collected.
        """
        number = next(self._numbers)
        answer: asyncio.Future[list[Family] | None] = self._loop.create_future()
        self._scrapes[number] = answer
        try:
            self._channel.send(MetricsAsked(number, part))
            families = await answer
        finally:
            self._scrapes.pop(number, None)
        if families is None:
            raise BusUnavailable(f"the core cannot collect the metrics of {part}")
        return families

    def watch_password(self, tenant: str, document_id: str) -> None:
        """Have the password of a document deleted at its end."""
        self._channel.send(PasswordSealed(tenant, document_id))

    def _apply(self, state: State) -> None:
        self.faults.of_core = state.faults
        if state.damage is not None:
            self._damage.record(state.damage)

    def _forward_damage(self) -> None:
        # From the thread of a connection.
        self._loop.call_soon_threadsafe(self._channel.send, DamageMet(self._damage.reason or ""))

    def _report_silence(self) -> None:
        self.answers = False
        self.faults.report(SOURCE, "it does not answer", blocking=True)
