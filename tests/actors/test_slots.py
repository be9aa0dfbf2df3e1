"""The order in which work gets slots."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from actors import slots as module
from actors.slots import FairSlots


class World:
    """Slots, with work that ends on command."""

    def __init__(self, most: int) -> None:
        self.places = FairSlots(most)
        self.running: list[str] = []
        self._may_end: dict[str, asyncio.Event] = {}

    def enter(self, name: str, *, rank: int = 1, size: int = 0) -> bool:
        """Enter work of the tenant the name begins with."""

        async def work() -> None:
            self.running.append(name)
            await self._may_end.setdefault(name, asyncio.Event()).wait()
            self.running.remove(name)

        return self.places.submit(name[0], work, rank=rank, size=size)

    async def end(self, *names: str) -> None:
        for name in names:
            self._may_end[name].set()
        await run_pending()

    async def stop(self) -> None:
        running = self.places.drain()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await run_pending()
        self.running.clear()


@pytest.fixture
async def make() -> AsyncIterator[Callable[[int], World]]:
    made: list[World] = []

    def world_of(most: int) -> World:
        made.append(World(most))
        return made[-1]

    yield world_of
    for world in made:
        await world.stop()


Make = Callable[[int], World]


async def run_pending() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_tenant_alone_has_all_but_the_last_places(make: Make) -> None:
    world = make(8)
    for number in range(20):
        assert world.enter(f"a{number}")
    await run_pending()
    assert world.running == [f"a{number}" for number in range(7)]
    world.enter("b0")
    await run_pending()
    assert world.running[-1] == "b0", "one place was left for it"


async def test_the_next_place_is_for_the_tenant_that_holds_fewest(make: Make) -> None:
    world = make(4)
    for name in ("a0", "a1", "a2", "a3", "a4", "b0", "b1", "c0"):
        world.enter(name)
    await run_pending()
    assert world.running == ["a0", "a1", "a2", "b0"]
    await world.end("a0")
    assert world.running[-1] == "c0"
    await world.end("b0")
    assert world.running[-1] == "b1"


async def test_two_that_hold_as_many_take_turns(make: Make) -> None:
    world = make(1)
    for name in ("a0", "a1", "a2", "b0", "b1"):
        world.enter(name)
    await run_pending()
    order = []
    while world.running:
        order += world.running
        await world.end(*world.running)
    assert order == ["a0", "b0", "a1", "b1", "a2"]


async def test_urgent_work_goes_first_and_has_half_of_what_is_left_to_others(make: Make) -> None:
    world = make(16)
    for number in range(20):
        world.enter(f"a{number}")
    world.enter("a-later", rank=2)
    world.enter("a-urgent", rank=0)
    world.enter("a-urgent too", rank=0)
    await run_pending()
    assert world.running == [*(f"a{number}" for number in range(14)), "a-urgent"]
    await world.end("a0", "a1")
    assert world.running[-1] == "a-urgent too"


async def test_too_many_do_not_wait_but_of_each_tenant_some_may(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)
    monkeypatch.setattr(module, "MIN_WAITING_PER_TENANT", 2)
    world = make(1)
    assert [world.enter(f"a{number}") for number in range(13)] == [True] * 11 + [False] * 2
    assert [world.enter(f"b{number}") for number in range(3)] == [True, True, False]


async def test_waiting_work_is_bounded_by_its_bytes_too(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 100)
    monkeypatch.setattr(module, "MIN_WAITING_PER_TENANT", 0)
    world = make(1)
    assert [world.enter(f"a{number}", size=40) for number in range(4)] == [True] * 3 + [False]
    await run_pending()
    await world.end("a0")
    assert world.enter("a4", size=40)


async def test_waiting_work_is_dropped_at_the_end_and_slots_are_free_again(make: Make) -> None:
    world = make(2)
    for name in ("a0", "a1", "a2"):
        world.enter(name)
    await run_pending()
    await world.stop()
    world.enter("b0")
    world.enter("c0")
    await run_pending()
    assert world.running == ["b0", "c0"]
