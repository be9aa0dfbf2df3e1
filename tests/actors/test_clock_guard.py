"""Documents expire when they are due, not when a clock says so that has just jumped."""

from datetime import UTC, datetime, timedelta

from actors.retention import HOLD, ClockGuard

NOW = datetime(2026, 1, 15, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def test_a_clock_that_runs_as_time_does_is_believed() -> None:
    guard = ClockGuard(NOW - MINUTE)
    for minute in range(10):
        assert guard.look(NOW + minute * MINUTE, 60.0 * minute) is None
    assert not guard.holds


def test_the_first_pass_of_all_is_believed() -> None:
    assert ClockGuard(None).look(NOW, 0.0) is None


def test_a_service_that_was_off_for_a_week_is_believed() -> None:
    assert ClockGuard(NOW - 7 * DAY).look(NOW, 0.0) is None


def test_a_clock_that_jumps_ahead_while_the_service_runs_holds_everything() -> None:
    guard = ClockGuard(NOW - MINUTE)
    assert guard.look(NOW, 0.0) is None
    held = guard.look(NOW + 400 * DAY, 60.0)
    assert held
    assert "400.0 days" in held
    assert guard.holds


def test_a_clock_that_jumped_while_the_service_was_off_holds_everything() -> None:
    guard = ClockGuard(NOW)
    assert guard.look(NOW + 400 * DAY, 0.0)
    assert guard.look(NOW + 400 * DAY + MINUTE, 60.0)


def test_a_clock_that_is_set_right_again_lifts_the_hold() -> None:
    guard = ClockGuard(NOW)
    assert guard.look(NOW + 400 * DAY, 0.0)
    assert guard.look(NOW + 2 * MINUTE, 120.0) is None
    assert guard.look(NOW + 3 * MINUTE, 180.0) is None


def test_a_jump_nobody_set_right_is_believed_after_the_hold() -> None:
    guard = ClockGuard(NOW)
    jumped = NOW + 400 * DAY
    assert guard.look(jumped, 0.0)
    assert guard.look(jumped + timedelta(seconds=HOLD - 1), HOLD - 1)
    assert guard.look(jumped + timedelta(seconds=HOLD + 1), HOLD + 1) is None
    assert guard.look(jumped + timedelta(seconds=HOLD + 61), HOLD + 61) is None


def test_a_clock_that_goes_back_expires_nothing_by_itself_and_is_believed() -> None:
    guard = ClockGuard(NOW)
    assert guard.look(NOW - 10 * DAY, 0.0) is None
    # Coming back is a jump ahead like any other.
    assert guard.look(NOW, 60.0)
