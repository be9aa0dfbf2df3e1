"""Pauses between restarts, and the time until a part is healthy again."""

import pytest

from ilios.runtime import restarts as module
from ilios.runtime.restarts import FIRST_SETTLED_AFTER, SETTLED_AFTER, WINDOW, RestartHistory

FIRST, LONGEST = 0.5, 4.0


class Clock:
    """Time that only the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_pauses_double_up_to_a_maximum_and_reset_after_success(clock: Clock) -> None:
    restarts = RestartHistory(FIRST, LONGEST)
    pauses = []
    for _ in range(5):
        pauses.append(restarts.record_exit("it was"))
        restarts.record_start()
        clock.now += 1
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0]
    clock.now += SETTLED_AFTER
    assert restarts.record_exit("it was") == FIRST


def test_a_failing_part_reports_reason_and_restart_count(clock: Clock) -> None:
    restarts = RestartHistory(FIRST, LONGEST)
    restarts.record_exit("it crashed")
    assert restarts.problem == "is down: it crashed"
    restarts.record_start()
    restarts.record_exit("it hung")
    assert restarts.problem == "is down: it hung (2 times in the last minute)"
    clock.now += WINDOW + 1
    assert restarts.problem == "is down: it hung"


@pytest.mark.parametrize("ends", [1, 2, 3, 10])
def test_each_further_exit_doubles_the_time_to_settle(clock: Clock, ends: int) -> None:
    restarts = RestartHistory(FIRST, LONGEST)
    for _ in range(ends):
        restarts.record_exit("it crashed")
        restarts.record_start()
    settled = min(SETTLED_AFTER, FIRST_SETTLED_AFTER * 2 ** (ends - 1))
    clock.now += settled
    assert str(restarts.problem).startswith("was down a moment ago: it crashed")
    clock.now += 0.01
    assert restarts.problem is None


def test_tolerated_exits_are_no_problem(clock: Clock) -> None:
    restarts = RestartHistory(FIRST, LONGEST, tolerated_exits=2)
    problems = []
    for _ in range(3):
        restarts.record_exit("it was killed")
        restarts.record_start()
        problems.append(restarts.problem)
    assert problems[:2] == [None, None]
    assert problems[2]
