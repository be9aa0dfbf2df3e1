"""The running time of the service, and the protection of retention by it.

The running time over all starts is a clock that cannot be set. A wall clock that jumps ahead of it
must not expire documents.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from actors.writes import (
    ClockReading,
    ClockState,
    DatabaseUnavailable,
    Hold,
    MarkRunningTime,
    Writer,
)

JUMP_THRESHOLD = timedelta(hours=1)  # gain on the running time between passes that is a jump
MAX_DOWNTIME = timedelta(days=30)  # the same between passes of two processes
HOLD_DURATION = timedelta(hours=24)  # of running time, in which an operator can correct the clock


class ClockGuard:
    """Compares the wall clock with the running time, which cannot be set.

    After a jump ahead nothing expires for ``HOLD_DURATION`` of running time, over any number of
    starts; correcting the clock ends that. A further jump begins a new hold only if it is larger
    than all before it, or a machine that is suspended every night would never leave the hold.
    """

    def __init__(self, state: ClockState) -> None:
        self.state = state
        # Between the readings of a former process and now the service may have been stopped.
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
        """Whether nothing expires; then the time of the pass must not be trusted either."""
        return self.state.hold is not None

    def _next_hold(self, reading: ClockReading) -> Hold | None:
        """Return the hold after a reading, if any."""
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
        # Downtime counts as gain, too, and never makes it smaller.
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
        assert self.state.trusted is not None  # a hold begins only after a trusted reading
        ahead = _clock_gain(self.state.trusted, reading) / timedelta(days=1)
        left = (HOLD_DURATION - (reading.running_time - hold.since)) / timedelta(hours=1)
        return (
            f"the clock is {ahead:.1f} days ahead of the pass before; if it is right, do nothing: "
            f"documents expire again after {left:.0f} hours of running"
        )


def _clock_gain(since: ClockReading, reading: ClockReading) -> timedelta:
    """Return the gain of the wall clock on the running time."""
    return (reading.wall_time - since.wall_time) - (reading.running_time - since.running_time)


SAVE_INTERVAL = 60.0  # seconds, which are lost at most when the process is killed


class RunningTime:
    """Counts on from ``previous``, the stored running time of earlier starts.

    ``clock`` returns seconds and never goes back.
    """

    def __init__(
        self, writer: Writer, previous: timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._writer = writer
        self._previous = previous
        self._clock = clock
        self._started_at = clock()

    def now(self) -> timedelta:
        """Return the running time until now."""
        return self._previous + timedelta(seconds=self._clock() - self._started_at)

    async def save(self) -> None:
        """Store the running time.

        :raises DatabaseUnavailable: the database cannot be written at the moment.
        """
        await self._writer.commit(MarkRunningTime(self.now()))

    async def run(self, interval: float = SAVE_INTERVAL) -> None:
        """Store the running time regularly until cancelled."""
        while True:
            with suppress(DatabaseUnavailable):  # reported by health; the next one stores more
                await self.save()
            await asyncio.sleep(interval)
