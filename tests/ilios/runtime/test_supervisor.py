"""Restarts of parts that end, and the problems they report."""

import asyncio

import pytest

from actors.writes import DatabaseUnavailable
from bus.errors import BusFull, BusUnavailable
from ilios.runtime import restarts
from ilios.runtime import supervisor as module
from ilios.runtime.supervisor import Supervisor
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
        await asyncio.wait_for(part.runs.wait(), 30)
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
        await asyncio.wait_for(part.runs.wait(), 30)
    assert len(part.starts) == 3


async def test_a_part_that_is_down_is_a_problem_until_it_has_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Together they are the time in which the problem is to be seen.
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr(restarts, "FIRST_SETTLED_AFTER", 0.5)
    part, supervisor = Part(BusUnavailable("it is away")), Supervisor()
    async with supervisor.running("the part", part.run):
        await wait_until(lambda: supervisor.problems == ["the part is down: it is away"])
        await asyncio.wait_for(part.runs.wait(), 30)
        await wait_until(lambda: supervisor.problems == [])


async def test_pauses_between_restarts_grow_up_to_a_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part, supervisor = Part(*[ValueError()] * 7), Supervisor()
    async with supervisor.running("part", part.run):
        await asyncio.wait_for(part.runs.wait(), 30)
    pauses = [part.starts[n + 1] - part.starts[n] for n in range(7)]
    for pause, least in zip(pauses, (0.01, 0.02, 0.04, 0.08, 0.08, 0.08, 0.08), strict=True):
        assert least <= pause < least + 5


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

    async with asyncio.timeout(30), Supervisor().running("part", forgetful):
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
