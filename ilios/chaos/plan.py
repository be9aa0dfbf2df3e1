"""What is done to the service, and when: all of it from one seed.

A fault is due when so much has been done: its ``progress`` counts documents that were accepted and
documents that have ended, so 500 documents have 1000 moments. The faults are spread evenly over
them, each at random within its own stretch; then a fault waits a moment longer (``delay``), so that
it does not always hit the same step. Clients keep to the same pace: they submit only so far ahead
of the faults that something is always under way, and no fault hits a service with nothing to do.

Between any two faults the service is up again and something was accepted or has ended: however many
there are, the work goes on.
"""

import random
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ilios.chaos.processes import Target

LAST_SHARE = 0.9  # of all there is to do: when the last fault comes, some are still under way
MAX_FAULTS_PER_DOCUMENT = 1.0  # kills and pauses; there are two moments for each document
MIN_AHEAD = 12  # documents that are submitted ahead of the faults, and
STRETCHES_AHEAD = 2  # as many as are accepted between so many faults, if that is more
KILLS_PER_PAUSE = 8
LONGEST_DELAY = 0.4  # seconds
LONGEST_PAUSE = (
    7.0  # seconds: longer than the deadline of an acknowledgement, or than a bus may hang
)
SHORTEST_PAUSE = 0.5  # seconds
STARTING_SHARE = 0.15  # of the kills of the service: another comes before it is up again
LONGEST_START = 1.0  # seconds into a start

_KILL_WEIGHTS: Mapping[Target, int] = {"service": 4, "nats-server": 3, "engine": 3, "all": 2}
_PAUSE_TARGETS: tuple[Target, ...] = ("service", "nats-server", "engine")


class Fault(Struct, frozen=True):
    """One fault. Times are seconds.

    ``how``: a ``kill``, a ``pause`` of ``lasting``, or a kill of the service while it starts,
    ``lasting`` after it was started, which is the second of two kills.
    """

    progress: int
    target: Target
    action: Literal["kill", "pause", "kill twice"] = "kill"
    delay: float = 0.0
    duration: float = 0.0

    @property
    def kills(self) -> int:
        """How many kills it is."""
        return {"kill": 1, "pause": 0, "kill twice": 2}[self.action]

    def __str__(self) -> str:
        match self.action:
            case "pause":
                return f"{self.target} paused for {self.duration:.1f} s"
            case "kill twice":
                return f"{self.target} killed, and again while it starts"
        return f"{self.target} killed"


def max_kills(documents: int) -> int:
    """Return how many kills so many documents leave room for."""
    return int(documents * MAX_FAULTS_PER_DOCUMENT * KILLS_PER_PAUSE / (KILLS_PER_PAUSE + 1))


def plan(documents: int, kills: int, seed: int) -> list[Fault]:
    """Return the faults in their order: exactly so many kills, and a pause for every few."""
    rng = random.Random(seed)  # noqa: S311  # it is to be repeatable, not secret
    faults: list[Fault] = []
    while (left := kills - sum(fault.kills for fault in faults)) > 0:
        faults.append(_kill(rng, left))
    faults += [_pause(rng) for _ in range(-(-kills // KILLS_PER_PAUSE))]
    rng.shuffle(faults)
    # A pause lasts, and all may have ended by its end: after the last fault there is to be work.
    kill = next((at for at, fault in enumerate(faults) if fault.kills), 0)
    if faults and faults[-1].action == "pause":
        faults[kill], faults[-1] = faults[-1], faults[kill]
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
    """Return how many documents may be accepted once so many faults are ``done``.

    Of those that have ``ended`` is told while a fault waits for something to go on: then some more
    may come, or nothing would.
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
