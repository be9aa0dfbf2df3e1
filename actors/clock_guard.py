"""Whether the wall clock may be believed when it makes documents due."""

from datetime import datetime, timedelta

from msgspec import Struct

JUMP = timedelta(hours=1)  # more than the wall clock may gain on the running time between passes
LONG_ASLEEP = timedelta(days=30)  # between two passes of two processes
HOLD = timedelta(hours=24)  # of running, in which somebody can set the clock right


class Moment(Struct, frozen=True):
    """A moment by the wall clock, and by how long the service had run."""

    at: datetime
    ran: timedelta


class Hold(Struct, frozen=True):
    """A jump ahead: how long the service had run when it was noticed, and how far it went."""

    since: timedelta
    ahead: timedelta


class ClockState(Struct, frozen=True):
    """What is remembered over restarts: the last pass that believed the clock, the last pass of
    all, and the hold that stands.
    """  # noqa: D205

    believed: Moment | None = None
    seen: Moment | None = None
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
        self._believed_here = self._seen_here = False

    def look(self, now: datetime, ran: timedelta) -> str | None:
        """Return why nothing may expire now, or None."""
        here = Moment(now, ran)
        hold = self._hold(here)
        believed = here if hold is None else self.state.believed
        self.state = ClockState(believed, here, hold)
        self._believed_here = self._believed_here or hold is None
        self._seen_here = True
        return None if hold is None else self._sentence(here, hold)

    @property
    def holds(self) -> bool:
        """Whether everything is held; then the time of the pass must not be believed either."""
        return self.state.hold is not None

    def _hold(self, here: Moment) -> Hold | None:
        """Return the hold that stands from now on."""
        believed, hold = self.state.believed, self.state.hold
        if believed is None:
            return None
        ahead = _gained(believed, here)
        if hold is None:
            jumped = ahead > (JUMP if self._believed_here else LONG_ASLEEP)
            return Hold(here.ran, ahead) if jumped else None
        if self._is_set_right(ahead, hold):
            return None
        if self._jumps_further(here, hold):
            return Hold(here.ran, ahead)
        return hold if here.ran - hold.since < HOLD else None

    def _is_set_right(self, ahead: timedelta, hold: Hold) -> bool:
        if ahead <= JUMP:
            return True
        # Time for which the service was off counts as gained, too: it never makes this less.
        went_back = ahead < hold.ahead - JUMP
        return went_back and ahead <= LONG_ASLEEP and not self._believed_here

    def _jumps_further(self, here: Moment, hold: Hold) -> bool:
        if self.state.seen is None:
            return False
        step = _gained(self.state.seen, here)
        return step > (JUMP if self._seen_here else LONG_ASLEEP) and step > hold.ahead

    def _sentence(self, here: Moment, hold: Hold) -> str:
        assert self.state.believed is not None  # or there would be nothing to hold against
        ahead = _gained(self.state.believed, here) / timedelta(days=1)
        left = (HOLD - (here.ran - hold.since)) / timedelta(hours=1)
        return (
            f"the clock is {ahead:.1f} days ahead of the pass before; if it is right, do nothing: "
            f"documents expire again after {left:.0f} hours of running"
        )


def _gained(since: Moment, here: Moment) -> timedelta:
    """Return by how much the wall clock has gained on the running time."""
    return (here.at - since.at) - (here.ran - since.ran)
