"""Notices a nats-server that lives and cannot serve, and ends it, so that another takes its place.

One that has met a full volume answers every question, takes nothing any more, and stays so when
there is room again; one that hangs answers nobody. Starting another is its keeper's business
(``NatsServer.watch``), who also starts one that ended by itself.
"""

import asyncio
import time

import structlog

from bus.connection import Connection
from bus.diagnostics import PublishStats
from bus.errors import BusUnavailable
from ilios.integrity.faults import Faults
from ilios.nats import store
from ilios.nats.server import NatsServer
from ilios.runtime import machine_memory
from ilios.runtime.process_activity import ProcessActivity

LOOK_EVERY = 1.0  # seconds
LOOK_AGAIN_AFTER = 0.25  # seconds after a look that was not answered
ANSWERS_WITHIN = 1.0  # seconds
HUNG_AFTER = 3.0  # seconds without an answer, and
HUNG_LOOKS = 3  # questions: after we were stopped ourselves, time alone would say nothing
UNHEARD_AFTER = 6.0  # seconds in which nothing that was said was acknowledged, and
UNHEARD_TRIES = 3  # tries to say it
SLOW_FOR = 30.0  # seconds either may last while the server is at work: a slow disk, a long recovery
NEEDED_BYTES = 8 * 1024**2  # free before another is worth starting; less is used up at once
RAISED_BYTES = 16 * 1024**2  # more than a full log has, to be worth a restart that grants it
LEAST_PAUSE = 1.0  # seconds after a server was ended before one that did work is
FIRST_PAUSE = 5.0  # seconds before one is that never did: another would not do better
LONGEST_PAUSE = 120.0  # seconds; it doubles while none works
MEMORY_ALARM = 0.9  # of its memory goal; at the goal it collects garbage instead of working

MEMORY_SOURCE = "nats-server memory"
"""The fault that is reported when the server outgrows its memory."""

_INFO_SUBJECT = "$JS.API.INFO"
_MIB = 1024 * 1024

log = structlog.get_logger("nats-server")


class NatsWatchdog:
    """Watches the server by what it says, by a question a second, and by what others tell of it.

    ``connection`` asks; ``acknowledgements`` are those of everybody who says something. What
    another server would not do better is a fault for people.
    """

    def __init__(
        self,
        server: NatsServer,
        connection: Connection,
        publish_stats: PublishStats,
        faults: Faults,
    ) -> None:
        self._faults = faults
        self._server = server
        self._connection = connection
        self._publish_stats = publish_stats
        self._watched: int | None = None  # the process that what follows is about
        self._activity = ProcessActivity(
            0.0, 0.0, waits_for_disk=False
        )  # when it was last known to be well
        self._unanswered = 0
        self._waiting_for_space = False
        self._pause = 0.0
        self._ended_at = -LONGEST_PAUSE

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_AFTER if self._unanswered else LOOK_EVERY)
            await self._check()

    async def _check(self) -> None:
        pid = self._server.pid
        if pid is None or not self._server.is_ready:
            # Its store may be large: until it is up it is its keeper who loses patience.
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
        """Report a server that is about to spend its time on garbage, for want of memory."""
        held, goal = machine_memory.resident_bytes(pid), self._server.memory_limit
        if held < MEMORY_ALARM * goal:
            self._faults.resolve(MEMORY_SOURCE)
            return
        self._faults.report(
            MEMORY_SOURCE,
            f"it holds {held // _MIB} MB and slows down above {goal // _MIB} MB, a quarter of the "
            "memory there is; give the machine or container more memory",
        )

    def _has_free_space(self) -> bool:
        """Whether another could write where this one cannot."""
        if store.free(self._server.store) >= NEEDED_BYTES:
            return True
        if self._server.write_error is not None and not self._waiting_for_space:
            self._waiting_for_space = True
            log.error("nats-server waits for room on its volume", store=str(self._server.store))
        return False

    def _write_error(self) -> str | None:
        broken = self._server.write_error
        return f"it can no longer write: {broken}" if broken is not None else None

    async def _store_too_small(self) -> str | None:
        """Say that its log is full, and was given less than there is by now.

        How much it may have is fixed when it starts, which may have been on a full volume.
        """
        if not self._publish_stats.stream_full:
            return None
        # In a thread: a log of a week has thousands of files.
        limit = await asyncio.to_thread(store.store_limit, self._server.store)
        if limit < self._server.store_limit + RAISED_BYTES:
            return None
        return f"its log may have {limit} bytes by now, and has {self._server.store_limit}"

    async def _hung(self, pid: int) -> str | None:
        refused = self._connection.permission_violations.count
        try:
            await self._connection.request(_INFO_SUBJECT, b"", within=ANSWERS_WITHIN)
        except BusUnavailable:
            # What is not permitted is not answered either, and another server would not do so.
            if self._connection.permission_violations.count == refused:
                self._unanswered += 1
        else:
            self._unanswered = 0
            if not self._publish_stats.consecutive_timeouts:
                self._activity = ProcessActivity.of(pid)
        silent_for = time.monotonic() - self._activity.at
        if self._unanswered < HUNG_LOOKS or silent_for < HUNG_AFTER:
            return None
        return self._unless_slow(pid, silent_for, f"it answers nobody for {silent_for:.0f} s")

    def _not_acknowledging(self, pid: int) -> str | None:
        silent_for = self._publish_stats.unanswered_seconds
        if self._publish_stats.consecutive_timeouts < UNHEARD_TRIES or silent_for < UNHEARD_AFTER:
            return None
        return self._unless_slow(pid, silent_for, f"it takes nothing for {silent_for:.0f} s")

    def _unless_slow(self, pid: int, silent_for: float, why: str) -> str | None:
        slow = ProcessActivity.of(pid).progressed_since(self._activity) and silent_for < SLOW_FOR
        return None if slow else why

    async def _replace(self, why: str) -> None:
        since = time.monotonic() - self._ended_at
        # One that has stored something was well: what ails it is new, and another may do better.
        worked = self._publish_stats.seconds_since_ack is not None
        pause = LEAST_PAUSE if worked else self._pause
        if since < pause:
            return
        log.error("nats-server cannot serve, another is started", reason=why)
        # One that answers writes down where it is when it is asked to end, and is up again sooner.
        await self._server.terminate(why, graceful=not self._unanswered)
        self._ended_at = time.monotonic()
        self._pause = FIRST_PAUSE if worked else min(max(FIRST_PAUSE, pause * 2), LONGEST_PAUSE)
