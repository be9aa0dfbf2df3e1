"""Fair slots: bounded, urgent requests first, no tenant starved."""

import asyncio
import random

from ilios.runtime.fair_semaphore import EXTRA, OVERTAKES, FairSemaphore


class SlotUsers:
    """Requests that wait for a slot, and release it on demand."""

    def __init__(self, count: int) -> None:
        self.slots = FairSemaphore(count)
        self.inside: list[str] = []
        self.most = 0
        self._may_leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def send(self, name: str, *, urgent: bool = False, tenant: str = "") -> None:
        self._may_leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, urgent=urgent, tenant=tenant))
        await self.settled()

    async def _stay(self, name: str, *, urgent: bool, tenant: str) -> None:
        async with self.slots.slot(urgent=urgent, tenant=tenant):
            self.inside.append(name)
            self.most = max(self.most, len(self.inside))
            try:
                await self._may_leave[name].wait()
            finally:
                self.inside.remove(name)

    async def leave(self, name: str) -> None:
        self._may_leave[name].set()
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_an_urgent_request_has_a_slot_while_ordinary_ones_take_all() -> None:
    crowd = SlotUsers(2)
    for name in "abc":
        await crowd.send(name)
    assert crowd.inside == ["a", "b"]
    await crowd.send("u", urgent=True)
    await crowd.send("v", urgent=True)
    assert crowd.inside == ["a", "b", "u"]
    await crowd.leave("a")
    assert crowd.inside == ["b", "u", "v"]
    await crowd.leave("v")
    assert crowd.inside == ["b", "u"]  # the extra place is not for ordinary ones
    await crowd.leave("u")
    assert crowd.inside == ["b", "c"]
    for name in "bc":
        await crowd.leave(name)
    await crowd.slots.wait_idle()


async def test_urgent_requests_do_not_starve_an_ordinary_one() -> None:
    crowd = SlotUsers(1)
    await crowd.send("first", urgent=True)
    await crowd.send("second", urgent=True)
    await crowd.send("ordinary")
    for number in range(2 * OVERTAKES):
        await crowd.send(f"urgent {number}", urgent=True)
    await crowd.leave("first")  # that was the extra place
    served = 0
    while "ordinary" not in crowd.inside:
        await crowd.leave(crowd.inside[0])
        served += 1
        assert served <= OVERTAKES + EXTRA + 1
    for name in crowd.tasks:
        await crowd.leave(name)
    await crowd.slots.wait_idle()


async def test_a_waiting_tenant_has_a_slot_while_another_takes_all() -> None:
    crowd = SlotUsers(2)
    for name in ("a1", "a2", "a3"):
        await crowd.send(name, tenant="a")
    assert crowd.inside == ["a1", "a2"]  # alone it has all of them, and no more
    for name in ("b1", "b2"):
        await crowd.send(name, tenant="b")
    assert crowd.inside == ["a1", "a2", "b1"]
    await crowd.send("c1", tenant="c")
    await crowd.leave("b1")
    assert crowd.inside == ["a1", "a2", "b2"]  # it came first
    await crowd.leave("b2")
    assert crowd.inside == ["a1", "a2", "c1"]
    await crowd.leave("a1")
    assert crowd.inside == ["a2", "c1"]  # the further place was for as long as the others lasted
    for name in ("a2", "a3", "c1"):
        await crowd.leave(name)
    await crowd.slots.wait_idle()


async def test_urgent_requests_of_one_tenant_leave_a_slot_for_another() -> None:
    crowd = SlotUsers(1)
    for name in ("a1", "a2", "a3"):
        await crowd.send(name, urgent=True, tenant="a")
    assert crowd.inside == ["a1", "a2"]
    await crowd.send("b1", tenant="b")
    assert crowd.inside == ["a1", "a2", "b1"]
    for name in ("a1", "a2", "b1", "a3"):
        await crowd.leave(name)
    await crowd.slots.wait_idle()


async def test_a_free_slot_goes_to_the_tenant_with_the_fewest_slots() -> None:
    crowd = SlotUsers(3)
    for name in ("a1", "a2", "b1"):
        await crowd.send(name, tenant=name[0])
    for name in ("a3", "a4", "b2"):
        await crowd.send(name, tenant=name[0])
    await crowd.leave("a1")
    assert crowd.inside == ["a2", "b1", "a3"]  # one each: the one that came first
    await crowd.leave("b1")
    assert crowd.inside == ["a2", "a3", "b2"]
    for name in ("a2", "a3", "b2", "a4"):
        await crowd.leave(name)
    await crowd.slots.wait_idle()


async def test_an_urgent_request_has_a_slot_beside_that_of_another_tenant() -> None:
    crowd = SlotUsers(1)
    await crowd.send("a1", tenant="a")
    await crowd.send("b1", tenant="b")
    await crowd.send("a2", urgent=True, tenant="a")
    assert crowd.inside == ["a1", "b1", "a2"]
    for name in ("a1", "b1", "a2"):
        await crowd.leave(name)
    await crowd.slots.wait_idle()


async def test_a_cancelled_request_takes_no_slot() -> None:
    crowd = SlotUsers(1)
    await crowd.send("a")
    await crowd.send("b")
    await crowd.send("c")
    crowd.tasks["b"].cancel()
    await crowd.settled()
    await crowd.leave("a")
    assert crowd.inside == ["c"]
    crowd.tasks["c"].cancel()
    await crowd.settled()
    assert not crowd.slots.full
    await crowd.slots.wait_idle()


async def test_a_slot_granted_to_a_cancelled_request_is_passed_on() -> None:
    slots = FairSemaphore(1)
    holding, entered = slots.slot(), asyncio.Event()

    async def hold() -> None:
        async with slots.slot():
            entered.set()

    await holding.__aenter__()
    cancelled, following = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0)
    await holding.__aexit__(None, None, None)  # the slot is granted, and its waiter has not run yet
    cancelled.cancel()
    async with asyncio.timeout(30):
        await following
        await slots.wait_idle()


async def test_slot_counts_are_correct_in_any_history() -> None:
    dice = random.Random(3)
    crowd = SlotUsers(3)
    for number in range(500):
        await crowd.send(
            f"{number}", urgent=dice.random() < 0.4, tenant=dice.choice(("", "a", "b"))
        )
        for name in dice.sample(sorted(crowd.tasks), min(2, len(crowd.tasks))):
            if dice.random() < 0.5:
                crowd._may_leave[name].set()
            if dice.random() < 0.3:
                crowd.tasks[name].cancel()  # perhaps the very moment it is given a place
        if dice.random() < 0.5:
            await crowd.settled()
    for name in list(crowd.tasks):
        await crowd.leave(name)
    async with asyncio.timeout(30):
        await crowd.slots.wait_idle()
    assert not crowd.inside
    assert crowd.most == 3 + 2 * EXTRA
    assert not crowd.slots.full
    assert not crowd.slots.oversubscribed
    assert not crowd.slots._active
