"""Tenants share a lane: who has much in it does not hide what others have."""

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
from bus.others import Others
from bus.publisher import Publisher
from schemas.documents import DocumentSubmitted
from tests import events
from tests.waiting import until

WITHIN = 30.0
CONSUMER = Consumer(name="test", description="A test", hears=DocumentSubmitted, ack_within=60.0)
NORMAL = LANES[1]


async def say(
    connection: Connection, numbers: Iterable[int], tenant: str, priority: int = 5
) -> None:
    publisher = Publisher(connection)
    said = (
        publisher.say(events.submitted(number, tenant=tenant, priority=priority))
        for number in numbers
    )
    await asyncio.gather(*said)


async def take(inbox: Inbox) -> Delivery:
    async with asyncio.timeout(WITHIN):
        return await inbox.take()


async def finish(inbox: Inbox, delivery: Delivery) -> None:
    await delivery.ack()
    inbox.let_go(delivery)


@asynccontextmanager
async def fair(connection: Connection, per_tenant: int) -> AsyncIterator[Inbox]:
    async with Inbox(connection, CONSUMER, per_tenant, per_tenant=per_tenant).open() as inbox:
        yield inbox


async def acknowledged(connection: Connection, sequence: int) -> bool:
    info = await connection.jetstream.consumer_info(streams.EVENTS, CONSUMER.durable(NORMAL))
    return info.ack_floor is not None and info.ack_floor.stream_seq == sequence


async def test_the_next_goes_to_the_tenant_with_the_fewest_in_hand(connection: Connection) -> None:
    await say(connection, range(1, 5), "aaa")
    await say(connection, range(5, 8), "bbb")
    async with fair(connection, 8) as inbox:
        await until(lambda: len(inbox._lanes[1][1].waiting) == 7)
        taken = [(await take(inbox)).tenant for _ in range(7)]
    assert taken == ["aaa", "bbb", "aaa", "bbb", "aaa", "bbb", "aaa"]


async def test_nobody_has_more_in_hand_than_he_may(connection: Connection) -> None:
    await say(connection, range(1, 5), "aaa")
    async with fair(connection, 2) as inbox:
        first, second = await take(inbox), await take(inbox)
        third = asyncio.create_task(inbox.take())
        await until(lambda: len(inbox._lanes[1][1].waiting) == 2)
        await asyncio.sleep(0)
        assert not third.done()
        await finish(inbox, second)
        async with asyncio.timeout(WITHIN):
            assert (await third).sequence == 3
        await finish(inbox, first)


@pytest.mark.parametrize("arrives", ["before", "afterwards"])
async def test_a_tenants_backlog_does_not_hide_what_another_has_behind_it(
    connection: Connection, arrives: str
) -> None:
    """The one with the backlog does not get on at all: nothing of his is ever finished."""
    backlog = 400
    await say(connection, range(1, backlog + 1), "aaa")
    if arrives == "before":
        await say(connection, [1001], "bbb")
    async with fair(connection, 2) as inbox:
        stuck = [await take(inbox) for _ in range(2)]
        assert {delivery.tenant for delivery in stuck} == {"aaa"}
        if arrives == "afterwards":
            ahead = inbox._ahead[NORMAL.name]
            await until(lambda: len(ahead._put_off) >= backlog - 70, WITHIN)
            await say(connection, [1001], "bbb")
        other = await take(inbox)
        assert (other.tenant, other.attempt) == ("bbb", 1)
        await finish(inbox, other)
        held = len(inbox._lanes[1][1].waiting)
        assert held <= 2 + look_ahead.KEPT


async def test_what_was_put_off_comes_back_and_counts_as_no_attempt(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_ahead, "SHORTEST", 0.2)
    monkeypatch.setattr(look_ahead, "LONGEST", 0.5)
    await say(connection, range(1, 101), "aaa")
    async with fair(connection, 2) as inbox:
        stuck = [await take(inbox) for _ in range(2)]
        ahead = inbox._ahead[NORMAL.name]
        await until(lambda: len(ahead._put_off) > 20, WITHIN)
        taken = Counter[int](delivery.sequence for delivery in stuck)
        put_off = 0
        for delivery in stuck:
            await finish(inbox, delivery)
        while len(taken) < 100:
            delivery = await take(inbox)
            taken[delivery.sequence] += 1
            put_off = max(put_off, delivery.put_off)
            assert delivery.attempt == 1 + delivery.put_off
            await finish(inbox, delivery)
        assert put_off > 0
        assert set(taken.values()) == {1}
        await until(lambda: acknowledged(connection, 100))


async def test_another_is_reached_long_before_a_deep_backlog_that_moves_is_worked_off(
    connection: Connection,
) -> None:
    backlog = 1500
    await say(connection, range(1, backlog + 1), "aaa")
    async with fair(connection, 2) as inbox:
        done = Counter[str]()

        async def work() -> None:
            while True:
                delivery = await inbox.take()
                await asyncio.sleep(0.05)
                done[delivery.tenant] += 1
                await finish(inbox, delivery)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        await until(lambda: done["aaa"] > 20, WITHIN)
        await say(connection, range(2001, 2006), "bbb")
        await until(lambda: done["bbb"] == 5, WITHIN)
        assert done["aaa"] < backlog // 2
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_a_tenant_alone_has_nothing_put_off_while_it_moves(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
    await say(connection, range(1, 501), "aaa")
    attempts = Counter[int]()
    async with fair(connection, 2) as inbox:
        for _ in range(500):
            delivery = await take(inbox)
            attempts[delivery.attempt] += 1
            await finish(inbox, delivery)
    assert attempts == {1: 500}


async def test_others_are_found_in_their_lane_and_behind_it_only(connection: Connection) -> None:
    await say(connection, range(1, 4), "aaa")
    await say(connection, [11], "bbb", priority=10)
    others = Others(connection, CONSUMER)
    assert not await others.wait_in(NORMAL, 1, {"aaa"})
    assert await others.wait_in(LANES[0], 1, {"aaa"})
    await say(connection, [12], "bbb")
    assert await others.wait_in(NORMAL, 1, {"aaa"})
    assert not await others.wait_in(NORMAL, 5, {"aaa"})
    assert not await others.wait_in(NORMAL, 1, {"aaa", "bbb"})
