"""Whether the wall clock may be believed when it makes documents due."""

from datetime import datetime, timedelta

from msgspec import Struct

JUMP_THRESHOLD = timedelta(
    hours=1
)  # more than the wall clock may gain on the running time between passes
MAX_DOWNTIME = timedelta(days=30)  # between two passes of two processes
HOLD_DURATION = timedelta(hours=24)  # of running, in which somebody can set the clock right


class ClockReading(Struct, frozen=True):
    """A moment by the wall clock, and by how long the service had run."""

    wall_time: datetime
    running_time: timedelta


class Hold(Struct, frozen=True):
    """A jump ahead: how long the service had run when it was noticed, and how far it went."""

    since: timedelta
    ahead: timedelta


class ClockState(Struct, frozen=True):
    """What is remembered over restarts: the last pass that believed the clock, the last pass of
    all, and the hold that stands.
    """  # noqa: D205

    trusted: ClockReading | None = None
    latest: ClockReading | None = None
    hold: Hold | None = None


class ClockGuard:
    """Compares the wall clock with the running time, which nobody can set.

    A wall clock that jumps ahead holds everything for ``HOLD`` of running, over however many
    starts; setting it right lifts that. A further jump, larger than all before it, begins a new
    hold; smaller ones do not, or a machine that is paused every night would be held for ever.
    """

    def __init__(self, state: ClockState) -> None:
        self.state = state
        # Between the moments of a former process and now the service may have been off.
        self._trusted_in_process = self._checked_in_process = False

    def check(self, now: datetime, running_time: timedelta) -> str | None:
        """Return why nothing may expire now, or None."""
        reading = ClockReading(now, running_time)
        hold = self._next_hold(reading)
        trusted = reading if hold is None else self.state.trusted
        self.state = ClockState(trusted, reading, hold)
        self._trusted_in_process = self._trusted_in_process or hold is None
        self._checked_in_process = True
        return None if hold is None else self._describe(reading, hold)

    @property
    def is_holding(self) -> bool:
        """Whether everything is held; then the time of the pass must not be believed either."""
        return self.state.hold is not None

    def _next_hold(self, reading: ClockReading) -> Hold | None:
        """Return the hold that stands from now on."""
        trusted, hold = self.state.trusted, self.state.hold
        if trusted is None:
            return None
        ahead = _clock_gain(trusted, reading)
        if hold is None:
            jumped = ahead > (JUMP_THRESHOLD if self._trusted_in_process else MAX_DOWNTIME)
            return Hold(reading.running_time, ahead) if jumped else None
        if self._is_corrected(ahead, hold):
            return None
        if self._jumps_further(reading, hold):
            return Hold(reading.running_time, ahead)
        return hold if reading.running_time - hold.since < HOLD_DURATION else None

    def _is_corrected(self, ahead: timedelta, hold: Hold) -> bool:
        if ahead <= JUMP_THRESHOLD:
            return True
        # Time for which the service was off counts as gained, too: it never makes this less.
        went_back = ahead < hold.ahead - JUMP_THRESHOLD
        return went_back and ahead <= MAX_DOWNTIME and not self._trusted_in_process

    def _jumps_further(self, reading: ClockReading, hold: Hold) -> bool:
        if self.state.latest is None:
            return False
        step = _clock_gain(self.state.latest, reading)
        return (
            step > (JUMP_THRESHOLD if self._checked_in_process else MAX_DOWNTIME)
            and step > hold.ahead
        )

    def _describe(self, reading: ClockReading, hold: Hold) -> str:
        assert self.state.trusted is not None  # or there would be nothing to hold against
        ahead = _clock_gain(self.state.trusted, reading) / timedelta(days=1)
        left = (HOLD_DURATION - (reading.running_time - hold.since)) / timedelta(hours=1)
        return (
            f"the clock is {ahead:.1f} days ahead of the pass before; if it is right, do nothing: "
            f"documents expire again after {left:.0f} hours of running"
        )


def _clock_gain(since: ClockReading, reading: ClockReading) -> timedelta:
    """Return by how much the wall clock has gained on the running time."""
    return (reading.wall_time - since.wall_time) - (reading.running_time - since.running_time)
