"""The edge process as the core runs it: started, served over the channel, drained.

The listening sockets stay open here: while a crashed edge is replaced, connections wait in them.
"""

import asyncio
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from msgspec import Struct

from bus.diagnostics import PublishStats
from ilios.database.sqlite import DamageMonitor
from ilios.edge.app import SHUTDOWN_TIMEOUT
from ilios.edge.server import ListeningSockets
from ilios.edge_process import messages
from ilios.edge_process.channel import Channel
from ilios.edge_process.messages import (
    DamageMet,
    FromEdge,
    HealthAnswered,
    HealthAsked,
    PasswordSealed,
    PublishesAnswered,
    PublishTimedOut,
    Ready,
    Start,
    State,
)
from ilios.integrity.faults import Faults
from ilios.runtime.parent_death import die_with_parent
from ilios.runtime.restarts import RestartHistory
from schemas.replies import HealthReport

MODULE = "ilios.edge_process"
STATE_INTERVAL = 1.0  # seconds between messages without news, which show that the core works
DRAINED_WITHIN = SHUTDOWN_TIMEOUT + 1.0  # seconds between SIGTERM and SIGKILL

log = structlog.get_logger("edge process")


class CoreParts(Struct, frozen=True):
    """The parts of the core that the edge process reaches over the channel."""

    health: Callable[[], Awaitable[HealthReport]]
    faults: Faults
    damage: DamageMonitor
    publish_stats: PublishStats
    watch_password: Callable[[str, str], None]


class EdgeProcess:
    """One edge process after another; ``run`` is for the supervisor.

    ``make_start`` returns what a process begins with.
    """

    def __init__(
        self, sockets: ListeningSockets, parts: CoreParts, make_start: Callable[[State], Start]
    ) -> None:
        self._sockets = sockets
        self._parts = parts
        self._make_start = make_start
        self._process: Process | None = None
        self._draining = False
        self._channel: Channel[FromEdge] | None = None
        self._questions: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Event()
        self.restarts = RestartHistory(0.0, 0.0)  # the pauses are those of the supervisor
        self._loop = asyncio.get_running_loop()
        parts.faults.on_change(self._send_state)
        parts.damage.on_damage(self._forward_damage)

    async def run(self) -> None:
        """Run one process until it ends; none once it drains."""
        if self._draining:
            await asyncio.Event().wait()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = self._process = await self._spawn(theirs)
            try:
                async with Channel.open(ours, messages.from_edge) as channel:
                    channel.send(self._make_start(self._state))
                    self._channel = channel
                    await self._serve(channel)
            finally:
                self._channel = None
                await self._stop(process)
        if self._draining:
            await asyncio.Event().wait()  # or it would be started again
        code = process.returncode
        self.restarts.record_exit(f"it ended with code {code}")
        log.error("edge process ended", code=code)

    async def wait_until_ready(self) -> None:
        """Wait until the first process accepts connections."""
        await self._ready.wait()

    @asynccontextmanager
    async def draining_at_exit(self) -> AsyncIterator[None]:
        """On leaving, close the sockets and let the process finish what it has."""
        try:
            yield
        finally:
            self._draining = True
            self._sockets.close()
            if self._process is not None:
                await self._stop(self._process)

    async def _spawn(self, theirs: socket.socket) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            MODULE,
            str(theirs.fileno()),
            stdin=DEVNULL,
            pass_fds=(theirs.fileno(), *self._sockets.descriptors),
            start_new_session=True,  # Ctrl-C goes to us; we drain it in order
            preexec_fn=die_with_parent,
        )

    async def _stop(self, process: Process) -> None:
        """Let a process finish what it has, within ``DRAINED_WITHIN``."""
        if process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(DRAINED_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _serve(self, channel: Channel[FromEdge]) -> None:
        beat = asyncio.create_task(self._send_states())
        try:
            while (message := await channel.receive()) is not None:
                self._receive(message)
        finally:
            beat.cancel()

    def _receive(self, message: FromEdge) -> None:
        parts = self._parts
        match message:
            case Ready():
                self._ready.set()
                self.restarts.record_start()
            case HealthAsked(number):
                question = asyncio.create_task(self._answer_health(number))
                self._questions.add(question)
                question.add_done_callback(self._questions.discard)
            case PasswordSealed(tenant, document_id):
                parts.watch_password(tenant, document_id)
            case DamageMet(reason):
                parts.damage.record(reason)
            case PublishesAnswered(latencies, full):
                for latency in latencies:
                    parts.publish_stats.record_reply(stored=True, latency=latency)
                if full or not latencies:
                    parts.publish_stats.record_reply(full=full)
            case PublishTimedOut(started_at):
                parts.publish_stats.record_timeout(started_at)

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
