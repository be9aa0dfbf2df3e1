"""Who is let in, who makes room, and what is answered where nobody does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from ilios.edge import connection_cap
from ilios.edge.connection_cap import PORCH, SPARED, ConnectionCap
from schemas.replies import HealthReport
from tests.ilios.edge.test_connection import BEGUN, LIVE, SOON, connected
from tests.ilios.edge.world import World, file_part, form, post, read_answer
from tests.waiting import until

CONVERT = post(form(file_part()), path="/v1/convert")
INDEX = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"


class Guest:
    """A connection that only knows what it was told."""

    def __init__(self, network: str = "192.0.2.1") -> None:
        self.times_sent_away = 0
        self.is_answered = False
        self.network = network

    def give_up(self) -> None:
        self.times_sent_away += 1

    def break_off(self) -> None:
        self.times_sent_away += 1

    @property
    def gone(self) -> bool:
        return self.times_sent_away > 0


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def entered(cap: ConnectionCap, number: int) -> list[Guest]:
    """Let so many guests in that are then being answered."""
    guests = [Guest() for _ in range(number)]
    for guest in guests:
        assert cap.enter(guest)
        assert cap.has_asked(guest)
    return guests


def test_the_oldest_of_late_headers_goes_first_then_whoever_has_rested_longest() -> None:
    clock = Clock()
    cap = ConnectionCap(5, clock)
    busy, resting, again = entered(cap, 3)
    late = [Guest(), Guest()]
    for guest in late:
        assert cap.enter(guest)
    cap.rests(again)
    cap.rests(resting)
    assert cap.has_asked(again)
    cap.rests(again)  # so it has rested for less than the other
    clock.now += SPARED + 1
    for goes in (*late, resting, again):
        assert goes.times_sent_away == 0
        newcomer = Guest()
        assert cap.enter(newcomer)
        assert goes.times_sent_away == 1
        assert cap.has_asked(newcomer), "there was room inside"
    assert not busy.gone


def test_who_has_most_likely_hung_up_goes_unless_its_answer_is_under_way() -> None:
    cap = ConnectionCap(4, Clock())
    resting, answered, first, second = entered(cap, 4)
    cap.rests(resting)
    answered.is_answered = True
    for guest in (answered, first, second):
        cap.half_closes(guest)
    for goes in (first, second, resting):
        assert goes.times_sent_away == 0
        entered(cap, 1)
        assert goes.times_sent_away == 1
    assert not answered.gone


def test_a_header_that_has_just_begun_is_spared() -> None:
    clock = Clock()
    cap = ConnectionCap(2, clock)
    fresh = Guest()
    assert cap.enter(fresh)
    (resting,) = entered(cap, 1)
    cap.rests(resting)
    assert cap.enter(Guest())
    assert [guest.gone for guest in (resting, fresh)] == [True, False]


def test_a_header_after_a_rest_is_late_from_its_own_first_byte() -> None:
    clock = Clock()
    cap = ConnectionCap(1, clock)
    (guest,) = entered(cap, 1)
    cap.rests(guest)
    clock.now += 60
    cap.asks(guest)
    newcomer = Guest()
    assert cap.enter(newcomer)
    assert not cap.has_asked(newcomer)
    assert guest.times_sent_away == 0
    clock.now += SPARED + 1
    assert not cap.has_asked(newcomer), "it is on the porch, and was heard already"
    assert cap.enter(Guest())
    assert guest.times_sent_away == 1


def test_the_porch_is_bounded_and_whoever_is_not_answered_there_makes_room() -> None:
    cap = ConnectionCap(1, Clock())
    entered(cap, 1)
    porch = [Guest() for _ in range(PORCH)]
    for guest in porch:
        assert cap.enter(guest)
    for guest in porch[1:]:
        assert not cap.has_asked(guest)
    newcomer = Guest()
    assert cap.enter(newcomer)
    assert porch[0].gone
    assert not cap.has_asked(newcomer)
    assert not cap.enter(Guest()), "all of them are being answered"
    cap.rests(porch[1])
    assert cap.enter(Guest())
    assert porch[1].gone


def test_a_place_that_became_free_meanwhile_is_for_the_porch_too() -> None:
    cap = ConnectionCap(1, Clock())
    (inside,) = entered(cap, 1)
    newcomer = Guest()
    assert cap.enter(newcomer)
    cap.leave(inside)
    assert cap.has_asked(newcomer)
    assert not cap.has_asked(inside), "who has left is not inside"


def test_what_has_left_takes_no_place() -> None:
    cap = ConnectionCap(2, Clock())
    for _ in range(5):
        first, second = entered(cap, 2)
        cap.rests(first)
        cap.leave(first)
        cap.leave(first)
        cap.leave(second)
        assert not first.gone
    entered(cap, 2)


def test_that_the_cap_is_reached_is_said_once_a_minute() -> None:
    clock = Clock()
    cap = ConnectionCap(1, clock)
    entered(cap, 1)
    with capture_logs() as logs:
        for _ in range(5):
            cap.enter(Guest())
        assert len(logs) == 1
        clock.now += connection_cap.COMPLAIN_EVERY
        cap.enter(Guest())
    assert len(logs) == 2


@asynccontextmanager
async def crowded(world: World, most: int, raw: bytes, **limits: Any) -> AsyncIterator[Any]:
    """An edge with as many connections as may be, over each of which ``raw`` was sent."""
    await world.serve(max_connections=most, **limits)
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connected(world)) for _ in range(most)]
        for _, writer in opened:
            writer.write(raw)
        yield opened


async def converting(world: World, most: int) -> None:
    """Wait until so many conversions are waited for."""
    await until(lambda: len(world.publisher.said) == most, SOON)


async def test_over_the_cap_what_is_asked_is_refused_in_our_words(world: World) -> None:
    async with crowded(world, 4, CONVERT):
        await converting(world, 4)
        answer = await world.exchange(INDEX)
        assert (answer.status, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["connection"] == "close"
        assert answer.json()["requestId"] == answer.headers["x-request-id"] != ""
        answer = await world.exchange(CONVERT)
        assert (answer.status, answer.json()["code"]) == (503, "overloaded")
        assert len(world.publisher.said) == 4


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
async def test_over_the_cap_whether_all_is_well_is_still_told(world: World, path: str) -> None:
    async with crowded(world, 4, CONVERT):
        await converting(world, 4)
        answer = await world.exchange(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert answer.status == 200
        assert answer.headers["connection"] == "close", "the porch is no place to stay"


async def test_a_connection_at_rest_makes_room(world: World) -> None:
    async with crowded(world, 3, LIVE) as opened:
        for reader, _ in opened:
            assert (await read_answer(reader)).status == 200
        assert (await world.exchange(INDEX)).status == 200
        (first, _), *others = opened
        assert await first.read() == b""
        for reader, writer in others:
            writer.write(LIVE)
            assert (await read_answer(reader)).status == 200


async def test_a_header_that_has_been_begun_makes_room_and_is_told_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_cap, "SPARED", -1.0)
    async with crowded(world, 3, BEGUN) as opened:
        async with connected(world) as (reader, writer):
            writer.write(LIVE)
            assert (await read_answer(reader)).status == 200
        # Each was to be late, so it is the oldest that has gone; it had said something by then.
        answer = await read_answer(opened[0][0])
        assert (answer.status, answer.json()["code"]) == (408, "request_too_slow")


async def test_when_it_is_over_everybody_is_served_again(world: World) -> None:
    async with crowded(world, 4, CONVERT):
        await converting(world, 4)
        assert (await world.exchange(INDEX)).status == 503

    async def is_served() -> bool:
        return (await world.exchange(INDEX)).status == 200

    await until(is_served, SOON)


async def test_when_the_porch_is_full_of_checks_a_newcomer_is_told_without_being_heard(
    world: World,
) -> None:
    go_on, checks = asyncio.Event(), 0

    async def late() -> HealthReport:
        nonlocal checks
        checks += 1
        await go_on.wait()
        return world.report

    world.health = late  # type: ignore[method-assign]
    async with crowded(world, 1, CONVERT), AsyncExitStack() as stack:
        await converting(world, 1)
        waiting = []
        for _ in range(PORCH):
            reader, writer = await stack.enter_async_context(connected(world))
            writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            waiting.append(reader)
        await until(lambda: checks == PORCH, SOON)
        async with connected(world) as (reader, _):
            answer = await read_answer(reader)
            assert (answer.status, answer.headers["retry-after"]) == (503, "2")
            assert await reader.read() == b""
        go_on.set()
        for reader in waiting:
            assert (await read_answer(reader)).status == 200
