"""Documents expire when they are due, not after a jump of the clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.clock_guard import HOLD_DURATION, JUMP_THRESHOLD, MAX_DOWNTIME, ClockGuard
from actors.writes import ClockReading, ClockState

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NONE = timedelta()


def after(last: datetime) -> ClockGuard:
    """Return the guard of a process whose predecessor passed and ended then."""
    moment = ClockReading(last, NONE)
    return ClockGuard(ClockState(trusted=moment, latest=moment))


def restarted(guard: ClockGuard) -> ClockGuard:
    """Return the guard of the next process: it has what was remembered, and no more."""
    return ClockGuard(guard.state)


def test_a_steady_clock_is_trusted() -> None:
    guard = after(NOW - MINUTE)
    for minute in range(10):
        assert guard.check(NOW + minute * MINUTE, minute * MINUTE) is None
    assert not guard.is_holding


def test_the_first_sweep_is_trusted() -> None:
    assert ClockGuard(ClockState()).check(NOW, NONE) is None


def test_a_clock_after_a_week_off_is_trusted() -> None:
    assert after(NOW - 7 * DAY).check(NOW, NONE) is None


def test_a_clock_that_jumps_ahead_while_the_service_runs_holds_everything() -> None:
    guard = after(NOW - MINUTE)
    assert guard.check(NOW, NONE) is None
    held = guard.check(NOW + 400 * DAY, MINUTE)
    assert held
    assert "400.0 days" in held
    assert guard.is_holding


def test_a_clock_that_jumped_while_the_service_was_off_holds_everything() -> None:
    guard = after(NOW)
    assert guard.check(NOW + 400 * DAY, NONE)
    assert guard.check(NOW + 400 * DAY + MINUTE, MINUTE)


def test_a_clock_that_is_set_right_again_lifts_the_hold() -> None:
    guard = after(NOW)
    assert guard.check(NOW + 400 * DAY, NONE)
    assert guard.check(NOW + 2 * MINUTE, 2 * MINUTE) is None
    assert guard.check(NOW + 3 * MINUTE, 3 * MINUTE) is None


def test_an_uncorrected_jump_is_trusted_after_the_hold() -> None:
    guard = after(NOW)
    jumped = NOW + 400 * DAY
    assert guard.check(jumped, NONE)
    assert guard.check(jumped + HOLD_DURATION - MINUTE, HOLD_DURATION - MINUTE)
    assert guard.check(jumped + HOLD_DURATION + MINUTE, HOLD_DURATION + MINUTE) is None
    assert guard.check(jumped + HOLD_DURATION + 2 * MINUTE, HOLD_DURATION + 2 * MINUTE) is None


def test_a_clock_set_back_expires_nothing_and_is_trusted() -> None:
    guard = after(NOW)
    assert guard.check(NOW - 10 * DAY, NONE) is None
    # Coming back is a jump ahead like any other.
    assert guard.check(NOW, MINUTE)


def test_the_hold_of_a_service_that_restarts_every_hour_ends() -> None:
    guard, now = after(NOW), NOW + 400 * DAY
    for hour in range(24):
        guard = restarted(guard)
        assert guard.check(now + hour * HOUR, hour * HOUR), hour
    assert restarted(guard).check(now + 24 * HOUR, 24 * HOUR) is None


def test_a_restart_does_not_forget_a_hold_however_small_the_jump() -> None:
    guard = after(NOW - MINUTE)
    assert guard.check(NOW, NONE) is None
    assert guard.check(NOW + 5 * DAY, MINUTE)
    assert restarted(guard).check(NOW + 5 * DAY + MINUTE, 2 * MINUTE)


@pytest.mark.parametrize("jump", [2 * HOUR, 5 * DAY, 400 * DAY])
@pytest.mark.parametrize("off", [MINUTE, 50 * MINUTE])
def test_a_clock_that_was_set_right_while_the_service_was_off_lifts_the_hold(
    jump: timedelta, off: timedelta
) -> None:
    guard = after(NOW - MINUTE)
    guard.check(NOW, NONE)
    assert guard.check(NOW + jump, MINUTE)
    assert restarted(guard).check(NOW + MINUTE + off, 2 * MINUTE) is None


def test_a_further_jump_that_is_larger_begins_the_hold_again() -> None:
    guard = after(NOW)
    guard.check(NOW, NONE)
    assert guard.check(NOW + 2 * HOUR, MINUTE)
    assert guard.check(NOW + 400 * DAY, 23 * HOUR)
    assert guard.check(NOW + 402 * DAY, 46 * HOUR)
    assert guard.check(NOW + 403 * DAY, 48 * HOUR) is None


def test_the_hold_of_a_machine_that_is_paused_every_night_ends() -> None:
    guard, now, ran = after(NOW), NOW, NONE
    guard.check(now, ran)
    believed = 0
    for _ in range(10):
        now += 9 * HOUR  # which the running time does not count
        for _ in range(15):
            now, ran = now + HOUR, ran + HOUR
            believed += guard.check(now, ran) is None
    assert believed >= 3


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 30 * 60)),
        st.tuples(st.just("restart"), st.integers(0, 20 * 24 * 60)),
        st.tuples(st.just("jump"), st.integers(-800 * 24 * 60, 800 * 24 * 60)),
    ),
    max_size=30,
)


class Machine:
    """A service over its starts, passing every half hour, on a clock that others set."""

    def __init__(self) -> None:
        self.wall, self.ran = NOW, NONE
        self.guard = ClockGuard(ClockState())
        self.ahead = NONE  # of the true time
        self.passed: list[tuple[timedelta, timedelta, bool]] = []  # ran, ahead, believed
        self.sweep()

    def sweep(self) -> bool:
        believed = self.guard.check(self.wall, self.ran) is None
        self.passed.append((self.ran, self.ahead, believed))
        return believed

    def run(self, minutes: int) -> None:
        while minutes > 0:
            part = min(30, minutes)
            minutes -= part
            self.wall += part * MINUTE
            self.ran += part * MINUTE
            self.sweep()

    def restart(self, minutes: int) -> None:
        self.wall += minutes * MINUTE
        self.guard = restarted(self.guard)
        self.sweep()

    def jump(self, minutes: int) -> None:
        self.wall += minutes * MINUTE
        self.ahead += minutes * MINUTE
        self.sweep()


@settings(deadline=None)
@given(STEPS)
def test_every_jump_is_trusted_after_its_hold_and_none_before(
    steps: list[tuple[str, int]],
) -> None:
    machine = Machine()
    for what, minutes in steps:
        getattr(machine, what)(minutes)
    # However it was restarted: a day of running after everything, all is believed.
    for _ in range(25):
        machine.run(60)
        machine.restart(1)
    assert machine.passed[-1][2]
    assert machine.guard.check(machine.wall, machine.ran) is None


@settings(deadline=None)
@given(
    st.integers(61, 800 * 24 * 60),
    st.lists(
        st.one_of(
            st.tuples(st.just("run"), st.integers(1, 10 * 60)),
            st.tuples(st.just("restart"), st.integers(0, 20 * 24 * 60)),
        ),
        max_size=40,
    ),
)
def test_a_hold_lasts_one_day_of_running_time_over_any_restarts(
    jump: int, steps: list[tuple[str, int]]
) -> None:
    machine = Machine()
    machine.run(60)
    machine.jump(jump)
    began = machine.ran
    for what, minutes in steps:
        getattr(machine, what)(minutes)
        if machine.ran - began >= HOLD_DURATION:
            break
    held = [ran for ran, ahead, believed in machine.passed if ahead and not believed]
    trusted = [ran for ran, ahead, believed in machine.passed if ahead and believed]
    assert all(ran - began < HOLD_DURATION for ran in held)
    assert all(ran - began >= HOLD_DURATION for ran in trusted)


def test_the_limits_are_in_order() -> None:
    assert JUMP_THRESHOLD < HOLD_DURATION < MAX_DOWNTIME
