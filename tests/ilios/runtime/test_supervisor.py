"""Restarts of parts that end, the pauses between them, and the problems they report."""

import asyncio

import pytest

from actors.writes import DatabaseUnavailable
from bus.errors import BusFull, BusUnavailable
from ilios.runtime import supervisor as module
from ilios.runtime.supervisor import (
    FIRST_SETTLED_AFTER,
    SETTLED_AFTER,
    WINDOW,
    RestartHistory,
    Supervisor,
)
from tests.waiting import wait_until


class Part:
    """A part that raises these errors, one at each start, or ends (None); then it runs."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.outcomes = list(errors)
        self.starts: list[float] = []
        self.runs = asyncio.Event()
        self.ended = False

    async def run(self) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        if self.outcomes:
            error = self.outcomes.pop(0)
            if error is None:
                return
            raise error
        self.runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.08)


async def test_a_part_runs_until_its_context_is_left() -> None:
    part, supervisor = Part(), Supervisor()
    async with supervisor.running("part", part.run):
        await asyncio.wait_for(part.runs.wait(), 5)
        assert supervisor.problems == []
        assert not part.ended
    assert part.ended


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("a defect"),
        BusUnavailable("away"),
        BusFull("full"),
        DatabaseUnavailable("full"),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_part_that_ends_is_restarted(error: BaseException | None) -> None:
    part, supervisor = Part(error, error), Supervisor()
    async with supervisor.running("part", part.run):
        await asyncio.wait_for(part.runs.wait(), 5)
    assert len(part.starts) == 3


async def test_a_part_that_is_down_is_a_problem_until_it_has_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(module, "FIRST_SETTLED_AFTER", 0.1)
    part, supervisor = Part(BusUnavailable("it is away")), Supervisor()
    async with supervisor.running("the part", part.run):
        await wait_until(lambda: supervisor.problems == ["the part is down: it is away"])
        await asyncio.wait_for(part.runs.wait(), 5)
        await wait_until(lambda: supervisor.problems == [])


async def test_pauses_between_restarts_grow_up_to_a_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part, supervisor = Part(*[ValueError()] * 7), Supervisor()
    async with supervisor.running("part", part.run):
        await asyncio.wait_for(part.runs.wait(), 5)
    pauses = [part.starts[n + 1] - part.starts[n] for n in range(7)]
    for pause, least in zip(pauses, (0.01, 0.02, 0.04, 0.08, 0.08, 0.08, 0.08), strict=True):
        assert least <= pause < least + 1


async def test_a_part_that_ignores_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CANCEL_AGAIN_AFTER", 0.05)
    forgotten = 0

    async def forgetful() -> None:
        nonlocal forgotten
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                forgotten += 1
                if forgotten == 3:
                    raise

    async with asyncio.timeout(5), Supervisor().running("part", forgetful):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert forgotten == 3


async def test_parts_stop_in_the_reverse_order_of_their_start() -> None:
    order: list[str] = []

    async def part(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append(name)

    supervisor = Supervisor()
    async with (
        supervisor.running("first", lambda: part("first")),
        supervisor.running("second", lambda: part("second")),
    ):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert order == ["second", "first"]


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
