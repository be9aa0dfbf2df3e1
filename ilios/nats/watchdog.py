"""Detection of a nats-server that runs but cannot serve: it is stopped, and so restarted.

After a full volume the server answers requests but stores nothing, even when there is space again.
A hung one answers nothing. ``NatsServer.supervise`` starts the next one.
"""

import asyncio
import time

import structlog
from msgspec import Struct

from actors.backoff import Backoff
from bus.connection import Connection
from bus.diagnostics import PublishStats
from bus.errors import BusUnavailable
from ilios.integrity.faults import Faults
from ilios.nats import store
from ilios.nats.server import NatsServer
from ilios.runtime import machine
from ilios.runtime.machine import ProcessActivity

HUNG_REQUESTS = 3  # without an answer; time alone proves nothing if this process was stopped
UNACKNOWLEDGED_PUBLISHES = 3
NEEDED_BYTES = 8 * 1024**2  # free before a restart is worth it; less is used up at once
RAISED_BYTES = 16 * 1024**2  # by which the log may grow before a restart is worth it
MIN_RESTART_INTERVAL = 1.0  # seconds between restarts of servers that have stored something
RESTART_BACKOFF = Backoff(first=5.0, longest=120.0)
"""Between restarts of servers that have stored nothing: another one is no better."""
MEMORY_ALARM = 0.9  # of its memory limit; close to that it does nothing but collect garbage

MEMORY_SOURCE = "nats-server memory"
"""The fault that is reported when the server outgrows its memory."""

_INFO_SUBJECT = "$JS.API.INFO"
_MIB = 1024 * 1024

log = structlog.get_logger("nats-server")


class WatchdogTimeouts(Struct, frozen=True, kw_only=True):
    """Intervals and timeouts of the watchdog, in seconds.

    A server that makes progress, as on a slow disk, gets ``slow`` instead of ``hung`` or
    ``unacknowledged``.
    """

    poll: float = 1.0
    poll_unanswered: float = 0.25
    request: float = 1.0
    hung: float = 3.0
    unacknowledged: float = 6.0
    slow: float = 30.0


DEFAULT_TIMEOUTS = WatchdogTimeouts()


class NatsWatchdog:
    """A watchdog that reads the server's log, polls it, and follows the publishers.

    ``connection`` polls; ``publish_stats`` counts the acknowledgements of all publishers. Problems
    that a restart would not solve become faults.
    """

    def __init__(
        self,
        server: NatsServer,
        connection: Connection,
        publish_stats: PublishStats,
        faults: Faults,
        timeouts: WatchdogTimeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self._timeouts = timeouts
        self._faults = faults
        self._server = server
        self._connection = connection
        self._publish_stats = publish_stats
        self._watched: int | None = None  # the process that the following is about
        # Of the last time when it answered.
        self._activity = ProcessActivity(0.0, 0.0, waits_for_disk=False)
        self._unanswered = 0
        self._waiting_for_space = False
        self._restarts = 0  # in a row without anything stored
        self._ended_at = float("-inf")

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            timeouts = self._timeouts
            await asyncio.sleep(timeouts.poll_unanswered if self._unanswered else timeouts.poll)
            await self._check()

    async def _check(self) -> None:
        pid = self._server.pid
        if pid is None or not self._server.is_ready:
            # While it starts, which a large log makes slow, ``NatsServer`` has its own timeout.
            self._begin(None)
            return
        if pid != self._watched:
            self._begin(pid)
        self._check_memory(pid)
        why = await self._hung(pid)
        if why is None and self._has_free_space():
            why = (
                self._write_error() or await self._store_too_small() or self._not_acknowledging(pid)
            )
        if why is not None:
            await self._replace(why)

    def _begin(self, pid: int | None) -> None:
        self._watched, self._unanswered, self._waiting_for_space = pid, 0, False
        self._publish_stats.reset(before=self._server.ready_at)
        if pid is not None:
            self._activity = ProcessActivity.of(pid)

    def _check_memory(self, pid: int) -> None:
        """Report a server that is close to its memory limit."""
        used, limit = machine.resident_bytes(pid), self._server.memory_limit
        if used < MEMORY_ALARM * limit:
            self._faults.resolve(MEMORY_SOURCE)
            return
        self._faults.report(
            MEMORY_SOURCE,
            f"it uses {used // _MIB} MB and slows down above {limit // _MIB} MB, a quarter of all "
            "memory; give the machine or container more memory",
        )

    def _has_free_space(self) -> bool:
        """Whether another server could write."""
        if store.free(self._server.store) >= NEEDED_BYTES:
            return True
        if self._server.write_error is not None and not self._waiting_for_space:
            self._waiting_for_space = True
            log.error("nats-server waiting for disk space", store=str(self._server.store))
        return False

    def _write_error(self) -> str | None:
        broken = self._server.write_error
        return f"it cannot write: {broken}" if broken is not None else None

    async def _store_too_small(self) -> str | None:
        """Return a reason to restart if its log is full, but could be larger by now.

        Its maximal size is set at its start, which may have been on a full volume.
        """
        if not self._publish_stats.stream_full:
            return None
        # In a thread: the log may have thousands of files.
        limit = await asyncio.to_thread(store.store_limit, self._server.store)
        if limit < self._server.store_limit + RAISED_BYTES:
            return None
        return f"its log may have {limit} bytes by now, instead of {self._server.store_limit}"

    async def _hung(self, pid: int) -> str | None:
        refused = self._connection.permission_violations.count
        try:
            await self._connection.request(_INFO_SUBJECT, b"", within=self._timeouts.request)
        except BusUnavailable:
            # A request without permission is not answered either, also by another server.
            if self._connection.permission_violations.count == refused:
                self._unanswered += 1
        else:
            self._unanswered = 0
            if not self._publish_stats.consecutive_timeouts:
                self._activity = ProcessActivity.of(pid)
        silent_for = time.monotonic() - self._activity.at
        if self._unanswered < HUNG_REQUESTS or silent_for < self._timeouts.hung:
            return None
        return self._unless_slow(pid, silent_for, f"no answer for {silent_for:.0f} s")

    def _not_acknowledging(self, pid: int) -> str | None:
        silent_for = self._publish_stats.unanswered_seconds
        if (
            self._publish_stats.consecutive_timeouts < UNACKNOWLEDGED_PUBLISHES
            or silent_for < self._timeouts.unacknowledged
        ):
            return None
        return self._unless_slow(pid, silent_for, f"no acknowledgement for {silent_for:.0f} s")

    def _unless_slow(self, pid: int, silent_for: float, why: str) -> str | None:
        slow = ProcessActivity.of(pid).progressed_since(self._activity)
        return None if slow and silent_for < self._timeouts.slow else why

    async def _replace(self, why: str) -> None:
        since = time.monotonic() - self._ended_at
        # One that has stored something has a new problem, which a restart may solve.
        worked = self._publish_stats.seconds_since_ack is not None
        pause = MIN_RESTART_INTERVAL if worked else RESTART_BACKOFF.pause(self._restarts - 1)
        if since < pause:
            return
        log.error("nats-server replaced", reason=why)
        # On SIGTERM it saves its state, which makes the next start quicker.
        await self._server.terminate(why, graceful=not self._unanswered)
        self._ended_at = time.monotonic()
        self._restarts = 1 if worked else self._restarts + 1
