"""Tenants share a lane: the backlog of one does not delay the others."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from bus import inbox as module
from bus import look_ahead, streams
from bus.connection import Connection
from bus.consumers import LANES, Consumer
from bus.delivery import Delivery
from bus.inbox import Inbox
from bus.look_ahead import LookAhead, OtherTenants
from bus.publisher import Publisher
from schemas.documents import DocumentSubmitted
from tests import events
from tests.waiting import wait_until

WITHIN = 30.0
CONSUMER = Consumer(name="test", description="A test", event_type=DocumentSubmitted, ack_wait=60.0)
NORMAL = LANES[1]


async def publish_events(
    connection: Connection, numbers: Iterable[int], tenant: str, priority: int = 5
) -> None:
    publisher = Publisher(connection)
    publications = [
        publisher.publish(events.submitted(number, tenant=tenant, priority=priority))
        for number in numbers
    ]
    # A thousand at once may wait for longer than a publish does on a busy machine.
    for at in range(0, len(publications), 100):
        await asyncio.gather(*publications[at : at + 100])


async def get_delivery(inbox: Inbox) -> Delivery:
    async with asyncio.timeout(WITHIN):
        return await inbox.get()


async def finish(inbox: Inbox, delivery: Delivery) -> None:
    await delivery.ack()
    inbox.release(delivery)


@asynccontextmanager
async def fair_inbox(
    connection: Connection, per_tenant: int, *, shared: bool = False
) -> AsyncIterator[Inbox]:
    closed = Inbox(connection, CONSUMER, per_tenant, max_per_tenant=per_tenant, shared=shared)
    async with closed.open() as inbox:
        yield inbox


async def acknowledged(connection: Connection, sequence: int) -> bool:
    info = await connection.jetstream.consumer_info(streams.EVENTS, CONSUMER.durable(NORMAL))
    return info.ack_floor is not None and info.ack_floor.stream_seq == sequence


async def test_the_tenant_with_the_least_work_in_progress_is_next(connection: Connection) -> None:
    await publish_events(connection, range(1, 5), "aaa")
    await publish_events(connection, range(5, 8), "bbb")
    async with fair_inbox(connection, 8) as inbox:
        await wait_until(lambda: len(inbox._lanes[1][1].buffer) == 7)
        taken = [(await get_delivery(inbox)).tenant for _ in range(7)]
    assert taken == ["aaa", "bbb", "aaa", "bbb", "aaa", "bbb", "aaa"]


async def test_no_tenant_has_more_in_progress_than_allowed(connection: Connection) -> None:
    await publish_events(connection, range(1, 5), "aaa")
    async with fair_inbox(connection, 2) as inbox:
        first, second = await get_delivery(inbox), await get_delivery(inbox)
        third = asyncio.create_task(inbox.get())
        await wait_until(lambda: len(inbox._lanes[1][1].buffer) == 2)
        await asyncio.sleep(0)
        assert not third.done()
        await finish(inbox, second)
        async with asyncio.timeout(WITHIN):
            assert (await third).sequence == 3
        await finish(inbox, first)


@pytest.mark.parametrize("arrives", ["before", "afterwards"])
async def test_the_backlog_of_a_tenant_does_not_delay_later_events_of_others(
    connection: Connection, arrives: str
) -> None:
    """The one with the backlog does not get on at all: nothing of his is ever finished."""
    backlog = 400
    await publish_events(connection, range(1, backlog + 1), "aaa")
    if arrives == "before":
        await publish_events(connection, [1001], "bbb")
    async with fair_inbox(connection, 2) as inbox:
        stuck = [await get_delivery(inbox) for _ in range(2)]
        assert {delivery.tenant for delivery in stuck} == {"aaa"}
        if arrives == "afterwards":
            ahead = inbox._look_aheads[CONSUMER.durable(NORMAL)]
            await wait_until(lambda: len(ahead._deferred) >= backlog - 70, WITHIN)
            await publish_events(connection, [1001], "bbb")
        other = await get_delivery(inbox)
        assert (other.tenant, other.attempt) == ("bbb", 1)
        await finish(inbox, other)
        held = len(inbox._lanes[1][1].buffer)
        assert held <= 2 + look_ahead.EXTRA_CAPACITY


async def test_a_host_that_is_busy_leaves_a_backlog_to_the_others_and_finds_other_tenants(
    connection: Connection,
) -> None:
    await publish_events(connection, range(1, 41), "aaa")
    async with fair_inbox(connection, 2, shared=True) as busy:
        assert [(await get_delivery(busy)).tenant for _ in range(2)] == ["aaa", "aaa"]
        ahead = busy._look_aheads[CONSUMER.durable(NORMAL)]
        await wait_until(lambda: ahead._stalled_looks > look_ahead.STALLED_LOOKS, WITHIN)
        async with fair_inbox(connection, 2, shared=True) as idle:
            for _ in range(36):  # without the two in progress and the two that are buffered there
                await finish(idle, await get_delivery(idle))
            assert not ahead._deferred
            await publish_events(connection, [1001], "bbb")
            other = await get_delivery(idle)
            assert other.tenant == "bbb"
            await finish(idle, other)
        await publish_events(connection, [*range(41, 61)], "aaa")
        await publish_events(connection, [1002], "bbb")
        assert (await get_delivery(busy)).tenant == "bbb"


async def test_a_deferred_event_returns_without_counting_an_attempt(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ahead, "MIN_DELAY", 0.2)
    monkeypatch.setattr(look_ahead, "MAX_DELAY", 0.5)
    await publish_events(connection, range(1, 101), "aaa")
    async with fair_inbox(connection, 2) as inbox:
        stuck = [await get_delivery(inbox) for _ in range(2)]
        ahead = inbox._look_aheads[CONSUMER.durable(NORMAL)]
        await wait_until(lambda: len(ahead._deferred) > 20, WITHIN)
        taken = Counter[int](delivery.sequence for delivery in stuck)
        put_off = 0
        for delivery in stuck:
            await finish(inbox, delivery)
        while len(taken) < 100:
            delivery = await get_delivery(inbox)
            taken[delivery.sequence] += 1
            put_off = max(put_off, delivery.deferrals)
            assert delivery.attempt == 1 + delivery.deferrals
            await finish(inbox, delivery)
        assert put_off > 0
        assert set(taken.values()) == {1}
        await wait_until(lambda: acknowledged(connection, 100))


async def test_deferred_events_return_to_their_place_in_the_order_of_the_log(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delay(_self: LookAhead, delivery: Delivery, _tenant: str) -> float:
        return 0.1 if delivery.sequence % 2 else 0.5

    monkeypatch.setattr(LookAhead, "_delay_until_turn", delay)
    monkeypatch.setattr(module, "LOOK_AHEAD_INTERVAL", 0.05)
    await publish_events(connection, range(1, 201), "aaa")
    async with fair_inbox(connection, 2) as inbox:
        in_work = [await get_delivery(inbox) for _ in range(2)]
        ahead = inbox._look_aheads[CONSUMER.durable(NORMAL)]
        [pull] = [pull for lane, pull in inbox._lanes if lane is NORMAL]
        await wait_until(lambda: len(ahead._deferred) > 100, WITHIN)
        started = {delivery.sequence for delivery in in_work}
        for _ in range(20):  # their places in the buffer are taken by whatever comes first
            await finish(inbox, in_work.pop(0))
            in_work.append(await get_delivery(inbox))
            started.add(in_work[-1].sequence)
        rest = [number for number in range(1, 201) if number not in started]
        first = rest[: look_ahead.MIN_BUFFERED_PER_TENANT]
        await wait_until(
            lambda: [one.sequence for one in pull.buffer][: len(first)] == first, WITHIN
        )


@pytest.mark.slow
async def test_another_is_reached_long_before_a_deep_backlog_that_moves_is_worked_off(
    connection: Connection,
) -> None:
    backlog = 1500
    await publish_events(connection, range(1, backlog + 1), "aaa")
    async with fair_inbox(connection, 2) as inbox:
        done = Counter[str]()

        async def work() -> None:
            while True:
                delivery = await inbox.get()
                await asyncio.sleep(0.05)
                done[delivery.tenant] += 1
                await finish(inbox, delivery)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        await wait_until(lambda: done["aaa"] > 20, WITHIN)
        await publish_events(connection, range(2001, 2006), "bbb")
        await wait_until(lambda: done["bbb"] == 5, WITHIN)
        assert done["aaa"] < backlog // 2
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_a_tenant_alone_has_nothing_put_off_while_it_moves(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_AHEAD_INTERVAL", 0.05)
    await publish_events(connection, range(1, 501), "aaa")
    attempts = Counter[int]()
    async with fair_inbox(connection, 2) as inbox:
        for _ in range(500):
            delivery = await get_delivery(inbox)
            attempts[delivery.attempt] += 1
            await finish(inbox, delivery)
    assert attempts == {1: 500}


async def test_others_are_found_in_their_lane_and_behind_it_only(connection: Connection) -> None:
    await publish_events(connection, range(1, 4), "aaa")
    await publish_events(connection, [11], "bbb", priority=10)
    others = OtherTenants(connection, CONSUMER)
    assert not await others.have_events_in(NORMAL, 1, {"aaa"})
    assert await others.have_events_in(LANES[0], 1, {"aaa"})
    await publish_events(connection, [12], "bbb")
    assert await others.have_events_in(NORMAL, 1, {"aaa"})
    assert not await others.have_events_in(NORMAL, 5, {"aaa"})
    assert not await others.have_events_in(NORMAL, 1, {"aaa", "bbb"})
