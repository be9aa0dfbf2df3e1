"""The edge process as the core runs it: started, served over the channel, drained.

The listening sockets stay open here: while a crashed edge is replaced, connections wait in them,
and are answered by the core if that takes long.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

import structlog
from msgspec import Struct

from bus.diagnostics import PublishStats
from bus.errors import BusUnavailable
from ilios.database.sqlite import DamageMonitor
from ilios.edge.app import serve_startup_app
from ilios.edge.server import ListeningSockets
from ilios.edge_process import messages
from ilios.edge_process.channel import Channel
from ilios.edge_process.child import EdgeChild
from ilios.edge_process.messages import (
    DamageMet,
    FromEdge,
    HealthAnswered,
    HealthAsked,
    MetricsAnswered,
    MetricsAsked,
    PasswordSealed,
    PublishesAnswered,
    PublishRefused,
    PublishTimedOut,
    Ready,
    Start,
    State,
)
from ilios.integrity.faults import Faults
from ilios.metrics.exposition import Source
from ilios.runtime.restarts import RestartHistory
from schemas.service_replies import HealthReport

STATE_INTERVAL = 1.0  # seconds between messages without news, which show that the core works
MOST_FAILED_STARTS = 5  # processes in a row that end before the first one accepts connections
ANSWER_AFTER = 5.0  # seconds without an edge for which clients wait rather than get an answer

log = structlog.get_logger("edge process")


class EdgeCannotStart(Exception):
    """The edge process ends again and again before it accepts connections."""


class CoreParts(Struct, frozen=True):
    """The parts of the core that the edge process reaches over the channel."""

    health: Callable[[], Awaitable[HealthReport]]
    faults: Faults
    damage: DamageMonitor
    publish_stats: PublishStats
    watch_password: Callable[[str, str], None]
    metrics: Mapping[str, Source] = {}


class EdgeProcess:
    """One edge process after another; ``run`` is for the supervisor.

    ``early`` is the first of them; ``make_start`` returns what one begins with.
    """

    def __init__(
        self,
        sockets: ListeningSockets,
        parts: CoreParts,
        make_start: Callable[[State], Start],
        early: EdgeChild,
    ) -> None:
        self._sockets = sockets
        self._parts = parts
        self._make_start = make_start
        self._child: EdgeChild | None = None
        self._early: EdgeChild | None = early
        self._draining = False
        self._channel: Channel[FromEdge] | None = None
        self._questions: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._first_ready: asyncio.Future[None] = self._loop.create_future()
        self._failed_starts = 0
        self._answering: asyncio.Task[None] | None = None
        self.restarts = RestartHistory(0.0, 0.0)  # the pauses are those of the supervisor
        parts.faults.on_change(self._send_state)
        parts.damage.on_damage(self._forward_damage)

    async def run(self) -> None:
        """Run one process until it ends; none once it drains."""
        if self._draining:
            await asyncio.Event().wait()
        child, self._early = self._early or await EdgeChild.spawn(self._sockets), None
        self._child = child
        try:
            async with Channel.open(child.end, messages.from_edge) as channel:
                channel.send(self._make_start(self._state))
                self._channel = channel
                await self._serve(channel)
        finally:
            self._channel = None
            await child.stop()
        if self._draining:
            await asyncio.Event().wait()  # or it would be started again
        self.restarts.record_exit(f"it ended with code {child.exit_code}")
        log.error("edge process ended", code=child.exit_code)
        if not self._first_ready.done():
            self._record_failed_start(child.exit_code)
        elif self._answering is None:
            self._answering = asyncio.create_task(self._answer_late())

    async def wait_until_ready(self) -> None:
        """Wait until the first process accepts connections.

        :raises EdgeCannotStart: several have ended before.
        """
        await self._first_ready

    @asynccontextmanager
    async def draining_at_exit(self) -> AsyncIterator[None]:
        """On leaving, close the sockets and let the process finish what it has."""
        try:
            yield
        finally:
            self._draining = True
            await self._stop_answering()
            self._sockets.close()
            if self._child is not None:
                await self._child.stop()

    def _record_failed_start(self, code: int | None) -> None:
        self._failed_starts += 1
        if self._failed_starts == MOST_FAILED_STARTS:
            self._first_ready.set_exception(
                EdgeCannotStart(
                    f"the edge process ended {MOST_FAILED_STARTS} times before it accepted "
                    f"connections, the last one with code {code}; its output has the cause. "
                    "ILIOS_EDGE_PROCESSES=0 runs the edge inside the core"
                )
            )

    async def _answer_late(self) -> None:
        """Answer that the service is not ready, once the edge has been down for long."""
        await asyncio.sleep(ANSWER_AFTER)
        async with serve_startup_app(self._sockets, lambda: f"the edge {self.restarts.problem}"):
            await asyncio.Event().wait()

    async def _stop_answering(self) -> None:
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.cancel()
            await asyncio.wait([answering])

    async def _serve(self, channel: Channel[FromEdge]) -> None:
        beat = asyncio.create_task(self._send_states())
        try:
            while (message := await channel.receive()) is not None:
                self._receive(message)
                if isinstance(message, Ready):
                    await self._stop_answering()
        finally:
            beat.cancel()

    def _receive(self, message: FromEdge) -> None:
        parts = self._parts
        match message:
            case Ready():
                if not self._first_ready.done():
                    self._first_ready.set_result(None)
                self.restarts.record_start()
            case HealthAsked(number):
                self._answer(self._answer_health(number))
            case MetricsAsked(number, part):
                self._answer(self._answer_metrics(number, part))
            case PasswordSealed(tenant, document_id):
                parts.watch_password(tenant, document_id)
            case DamageMet(reason):
                parts.damage.record(reason)
            case PublishesAnswered() | PublishTimedOut() | PublishRefused():
                _record(message, parts.publish_stats)

    def _answer(self, answering: Coroutine[None, None, None]) -> None:
        question = asyncio.create_task(answering)
        self._questions.add(question)
        question.add_done_callback(self._questions.discard)

    async def _answer_metrics(self, number: int, part: str) -> None:
        families = None
        source = self._parts.metrics.get(part)
        if source is not None:
            try:
                families = await source()
            except BusUnavailable as error:
                log.info("metrics incomplete", part=part, error=str(error))
        if self._channel is not None:
            self._channel.send(MetricsAnswered(number, families))

    async def _answer_health(self, number: int) -> None:
        report = await self._parts.health()
        if self._channel is not None:
            self._channel.send(HealthAnswered(number, report))

    async def _send_states(self) -> None:
        while True:
            self._send_state()
            await asyncio.sleep(STATE_INTERVAL)

    def _send_state(self) -> None:
        if self._channel is not None:
            self._channel.send(self._state)

    def _forward_damage(self) -> None:
        # From the thread of a connection.
        self._loop.call_soon_threadsafe(self._send_state)

    @property
    def _state(self) -> State:
        return State(dict(self._parts.faults.standing), self._parts.damage.reason)


def _record(
    result: PublishesAnswered | PublishTimedOut | PublishRefused, stats: PublishStats
) -> None:
    """Record a result of the edge's publishes."""
    match result:
        case PublishesAnswered(latencies, full):
            for latency in latencies:
                stats.record_reply(stored=True, latency=latency)
            if full or not latencies:
                stats.record_reply(full=full)
        case PublishTimedOut(started_at):
            stats.record_timeout(started_at)
        case PublishRefused():
            stats.record_no_leader()
