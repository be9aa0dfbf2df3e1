"""The faults of a run, planned from a seed, and their injection.

A fault is due at a ``progress``: the number of accepted documents plus that of ended ones, so 500
documents have 1000 moments. The faults are spread evenly over them, each at random within its own
stretch; then a fault waits for ``delay``, so that it does not always hit the same step. Clients
submit only so far ahead of the faults that no fault hits an idle service.

Between two faults the service is ready again and a document was accepted or has ended.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal, cast, get_args

from msgspec import Struct

from ilios.chaos.http_client import Activities
from ilios.chaos.processes import NoSuchProcess, ServiceProcess, Target
from ilios.chaos.record import RunRecord

LAST_SHARE = 0.9  # of the progress: at the last fault some documents are still in progress
MAX_FAULTS_PER_DOCUMENT = 1.0  # kills and pauses; there are two moments for each document
MIN_AHEAD = 12  # documents that are submitted ahead of the faults, and
STRETCHES_AHEAD = 2  # as many as are accepted between so many faults, if that is more
KILLS_PER_PAUSE = 8
LONGEST_DELAY = 0.4  # seconds
LONGEST_PAUSE = 7.0  # seconds: beyond the ack deadline, and the time a bus may hang
SHORTEST_PAUSE = 0.5  # seconds
STARTING_SHARE = 0.15  # of the kills of the service: a second one follows while it starts
LONGEST_START = 1.0  # seconds into a start
POLL_INTERVAL = 0.01  # seconds
LISTED = 10  # documents under way in the report of a stall

_KILL_WEIGHTS: Mapping[Target, int] = {
    "service": 4,
    "edge": 2,
    "nats-server": 3,
    "engine": 3,
    "all": 2,
}
_SINGLE: tuple[str, ...] = get_args(Target)
_PAUSE_TARGETS: tuple[Target, ...] = ("service", "edge", "nats-server", "engine")


KILLS: Mapping[str, int] = {"kill": 1, "kill twice": 2}
"""The actions that kill, and how often."""

HostTarget = Literal["core", "worker", "node", "leader", "our node", "two nodes", "store"]
"""What a service on several hosts has besides; ``our node`` is the one the core is connected to."""
HostAction = Literal["cut", "isolate", "slow", "step down", "lame duck", "restart"]
"""``isolate`` cuts a node off from the other nodes, and not from its clients."""


class Fault(Struct, frozen=True):
    """A kill, a pause, or a kill with a second one while the service starts. Times are seconds.

    ``duration`` is that of the pause or cut, from the start to the second kill, or how long a
    killed worker or node is away.
    """

    progress: int
    target: Target | HostTarget
    action: Literal["kill", "pause", "kill twice"] | HostAction = "kill"
    delay: float = 0.0
    duration: float = 0.0

    @property
    def kills(self) -> int:
        """The number of kills."""
        return KILLS.get(self.action, 0)

    def __str__(self) -> str:
        match self.action:
            case "pause":
                return f"{self.target} paused for {self.duration:.1f} s"
            case "kill twice":
                return f"{self.target} killed, and again while it starts"
            case "cut" | "isolate" | "slow":
                return f"{self.target} {self.action} for {self.duration:.1f} s"
            case "step down" | "lame duck" | "restart":
                return f"{self.target} {self.action}"
        return f"{self.target} killed"


def max_kills(documents: int) -> int:
    """Return the most kills for a run of so many documents."""
    return int(documents * MAX_FAULTS_PER_DOCUMENT * KILLS_PER_PAUSE / (KILLS_PER_PAUSE + 1))


def plan(documents: int, kills: int, seed: int) -> list[Fault]:
    """Return the faults in their order: exactly ``kills`` kills, and a pause for every few."""
    rng = random.Random(seed)  # noqa: S311  # it is to be repeatable, not secret
    faults: list[Fault] = []
    while (left := kills - sum(fault.kills for fault in faults)) > 0:
        faults.append(_kill(rng, left))
    faults += [_pause(rng) for _ in range(-(-kills // KILLS_PER_PAUSE))]
    rng.shuffle(faults)
    # By the end of a pause everything may have ended; after the last fault there must be work.
    kill = next((at for at, fault in enumerate(faults) if fault.kills), 0)
    if faults and faults[-1].action == "pause":
        faults[kill], faults[-1] = faults[-1], faults[kill]
    return spread(faults, documents, rng)


def spread(faults: Sequence[Fault], documents: int, rng: random.Random) -> list[Fault]:
    """Return the faults, each due at random within its own stretch of the progress."""
    stretch = 2 * documents * LAST_SHARE / max(1, len(faults))
    return [
        Fault(
            max(1, int((place + rng.random()) * stretch)),
            fault.target,
            fault.action,
            fault.delay,
            fault.duration,
        )
        for place, fault in enumerate(faults)
    ]


def max_accepted(documents: int, faults: int, injected: int, ended: int = 0) -> int:
    """Return how many documents may be accepted after so many injected faults.

    ``ended`` is given while the injector waits for progress: one more document may be accepted
    then, or there would be none.
    """
    if injected >= faults:
        return documents
    stretch = documents / faults
    ahead = int(injected * stretch + max(MIN_AHEAD, STRETCHES_AHEAD * stretch))
    return min(documents, max(ahead, ended + 1))


def _kill(rng: random.Random, max_kills_left: int) -> Fault:
    (target,) = rng.choices(list(_KILL_WEIGHTS), list(_KILL_WEIGHTS.values()))
    delay = rng.uniform(0, LONGEST_DELAY)
    if target in ("service", "all") and max_kills_left > 1 and rng.random() < STARTING_SHARE:
        return Fault(0, target, "kill twice", delay, rng.uniform(0, LONGEST_START))
    return Fault(0, target, "kill", delay)


def _pause(rng: random.Random) -> Fault:
    delay = rng.uniform(0, LONGEST_DELAY)
    duration = rng.uniform(SHORTEST_PAUSE, LONGEST_PAUSE)
    return Fault(0, rng.choice(_PAUSE_TARGETS), "pause", delay, duration)


class Stalled(Exception):
    """There is no progress any more although the service runs."""


class InjectedFault(Struct, frozen=True):
    """An injected fault, over at ``at`` (``time.monotonic``).

    ``restarted_after`` seconds the service was ready again, if it had to be started;
    ``recovered_after`` there was progress again, None if nothing was left to do.
    """

    fault: Fault
    target: Target | HostTarget
    at: float
    restarted_after: float | None = None
    recovered_after: float | None = None


class FaultInjector:
    """Injects faults when they are due, and restarts the service whenever it has ended.

    ``awaiting_progress`` is set while the next fault waits for a document to be accepted or to end.
    """

    def __init__(
        self,
        service: ServiceProcess,
        record: RunRecord,
        work: "asyncio.Task[None]",
        activities: Activities,
        *,
        stalled_after: float = 90.0,  # seconds without progress; one request may take a minute
        found_within: float = 5.0,  # seconds until a process that is to be hit exists
    ) -> None:
        self._service = service
        self._record = record
        self._work = work
        self._activities = activities
        self._stalled_after = stalled_after
        self._found_within = found_within
        self.injected: list[InjectedFault] = []
        self.awaiting_progress = False

    @property
    def kills(self) -> int:
        """The number of injected kills."""
        return sum(one.fault.kills for one in self.injected)

    @property
    def last_at(self) -> float | None:
        """When the last fault was over; None before the first."""
        return self.injected[-1].at if self.injected else None

    async def inject_all(self, faults: Sequence[Fault]) -> None:
        """Inject all faults in their order.

        :raises Stalled: there is no progress up to the next fault.
        :raises DidNotStart: the service does not start again.
        """
        for fault in faults:
            await self.wait_until(lambda due=fault.progress: self._record.progress >= due)  # type: ignore[misc]
            await asyncio.sleep(fault.delay)
            await self._inject(fault)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, restarting the service meanwhile. Errors as ``inject_all``."""
        progress, since = self._record.progress, time.monotonic()
        while not condition():
            await asyncio.sleep(POLL_INTERVAL)
            if self._work.done():
                self._work.result()
            if self._service.exit_code is not None:
                await self._restart_after_exit()
            if self._record.progress != progress:
                progress, since = self._record.progress, time.monotonic()
            elif time.monotonic() - since > self._stalled_after:
                raise Stalled(self._describe_stall())

    def _describe_stall(self) -> str:
        unfinished = [f"{one.name} {one.state}" for one in self._record.unfinished[:LISTED]]
        return (
            f"nothing was accepted and nothing has ended for {self._stalled_after:.0f} s\n"
            f"under way: {', '.join(unfinished) or 'no document'}\n"
            f"the clients:\n{self._activities}\n"
            f"the end of the log of the service:\n{self._service.log_tail()}"
        )

    async def keep_running(self) -> None:
        """Restart the service whenever it ends, for ever. Errors as ``inject_all``."""
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            if self._service.exit_code is not None:
                await self._restart_after_exit()

    async def _inject(self, fault: Fault) -> None:
        target, at = await self._hit(fault)
        before = self._record.progress
        restarted: float | None = None
        if fault.action == "kill twice":
            await self._service.spawn()
            await asyncio.sleep(fault.duration)
            with suppress(NoSuchProcess):  # it has ended by itself already
                await self._service.kill("all")
                at = time.monotonic()
        if fault.action != "pause" and self._service.exit_code is not None:
            await self._service.start()
            restarted = time.monotonic() - at
        self.injected.append(InjectedFault(fault, target, at, restarted))
        self.awaiting_progress = True
        await self.wait_until(lambda: self._record.progress > before or self._all_is_done())
        self.awaiting_progress = False
        if self._record.progress > before:
            self.injected[-1] = InjectedFault(fault, target, at, restarted, time.monotonic() - at)

    def _all_is_done(self) -> bool:
        """Whether there can be no more progress: the last document may end just before a fault."""
        return self._work.done() and not self._record.unfinished

    async def _hit(self, fault: Fault) -> tuple[Target | HostTarget, float]:
        """Hit the target as soon as it exists; after a while, the service instead."""
        target, deadline = fault.target, time.monotonic() + self._found_within
        while True:
            try:
                at = time.monotonic()
                single = cast("Target", target)
                if target not in _SINGLE or fault.action not in ("pause", *KILLS):
                    at = await self._service.disturb(target, fault.action, fault.duration)
                elif fault.action == "pause":
                    await self._service.pause(single, fault.duration)
                    at = time.monotonic()
                else:
                    await self._service.kill(single)
                self.awaiting_progress = False
                return target, at
            except NoSuchProcess:
                self.awaiting_progress = True  # an engine process is started when it has work
                if time.monotonic() > deadline:
                    target = "service"
                await asyncio.sleep(POLL_INTERVAL)
                if self._service.exit_code is not None:
                    await self._restart_after_exit()

    async def _restart_after_exit(self) -> None:
        what = f"it ended with code {self._service.exit_code} although it was not killed"
        self._record.add_violation("ended by itself", "service", what)
        await self._service.start()
