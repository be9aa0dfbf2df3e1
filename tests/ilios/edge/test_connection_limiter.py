"""Which connections are admitted and closed, and the answers when there is no room."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from ilios.edge import connection_limiter
from ilios.edge.connection_limiter import HEALTH_ONLY_SLOTS, MIN_HEADER_AGE, ConnectionLimiter
from schemas.service_replies import HealthReport
from tests.ilios.edge.test_connection import BEGUN, LIVE, SOON, connected
from tests.ilios.edge.world import World, file_part, multipart_form, post_request, read_response
from tests.waiting import wait_until

CONVERT = post_request(multipart_form(file_part()), path="/v1/convert")
INDEX = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"


class FakeConnection:
    """A connection whose state is set by the test."""

    def __init__(self, network: str = "192.0.2.1") -> None:
        self.times_evicted = 0
        self.response_started = False
        self.network = network

    def expire(self) -> None:
        self.times_evicted += 1

    def abort(self) -> None:
        self.times_evicted += 1

    @property
    def evicted(self) -> bool:
        return self.times_evicted > 0


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def admitted(limiter: ConnectionLimiter, number: int) -> list[FakeConnection]:
    """Admit so many connections, each with a request that is being answered."""
    made = [FakeConnection() for _ in range(number)]
    for one in made:
        assert limiter.admit(one)
        assert limiter.admit_request(one)
    return made


def test_the_oldest_late_header_is_evicted_first_then_the_longest_idle() -> None:
    clock = Clock()
    limiter = ConnectionLimiter(5, clock)
    busy, resting, again = admitted(limiter, 3)
    late = [FakeConnection(), FakeConnection()]
    for one in late:
        assert limiter.admit(one)
    limiter.mark_idle(again)
    limiter.mark_idle(resting)
    assert limiter.admit_request(again)
    limiter.mark_idle(again)  # so it has rested for less than the other
    clock.now += MIN_HEADER_AGE + 1
    for goes in (*late, resting, again):
        assert goes.times_evicted == 0
        newcomer = FakeConnection()
        assert limiter.admit(newcomer)
        assert goes.times_evicted == 1
        assert limiter.admit_request(newcomer), "there was room inside"
    assert not busy.evicted


def test_who_has_most_likely_hung_up_goes_unless_its_answer_is_under_way() -> None:
    limiter = ConnectionLimiter(4, Clock())
    resting, answered, first, second = admitted(limiter, 4)
    limiter.mark_idle(resting)
    answered.response_started = True
    for one in (answered, first, second):
        limiter.mark_half_closed(one)
    for goes in (first, second, resting):
        assert goes.times_evicted == 0
        admitted(limiter, 1)
        assert goes.times_evicted == 1
    assert not answered.evicted


def test_a_header_that_has_just_begun_is_spared() -> None:
    clock = Clock()
    limiter = ConnectionLimiter(2, clock)
    fresh = FakeConnection()
    assert limiter.admit(fresh)
    (resting,) = admitted(limiter, 1)
    limiter.mark_idle(resting)
    assert limiter.admit(FakeConnection())
    assert [one.evicted for one in (resting, fresh)] == [True, False]


def test_a_header_after_a_rest_is_late_from_its_own_first_byte() -> None:
    clock = Clock()
    limiter = ConnectionLimiter(1, clock)
    (one,) = admitted(limiter, 1)
    limiter.mark_idle(one)
    clock.now += 60
    limiter.mark_reading_header(one)
    newcomer = FakeConnection()
    assert limiter.admit(newcomer)
    assert not limiter.admit_request(newcomer)
    assert one.times_evicted == 0
    clock.now += MIN_HEADER_AGE + 1
    assert not limiter.admit_request(newcomer), "it has a health-only slot, and its header was read"
    assert limiter.admit(FakeConnection())
    assert one.times_evicted == 1


def test_health_slots_are_bounded_and_unanswered_connections_are_evicted() -> None:
    limiter = ConnectionLimiter(1, Clock())
    admitted(limiter, 1)
    health_only = [FakeConnection() for _ in range(HEALTH_ONLY_SLOTS)]
    for one in health_only:
        assert limiter.admit(one)
    for one in health_only[1:]:
        assert not limiter.admit_request(one)
    newcomer = FakeConnection()
    assert limiter.admit(newcomer)
    assert health_only[0].evicted
    assert not limiter.admit_request(newcomer)
    assert not limiter.admit(FakeConnection()), "all of them are being answered"
    limiter.mark_idle(health_only[1])
    assert limiter.admit(FakeConnection())
    assert health_only[1].evicted


def test_a_freed_slot_is_given_to_a_connection_in_a_health_slot() -> None:
    limiter = ConnectionLimiter(1, Clock())
    (inside,) = admitted(limiter, 1)
    newcomer = FakeConnection()
    assert limiter.admit(newcomer)
    limiter.remove(inside)
    assert limiter.admit_request(newcomer)
    assert not limiter.admit_request(inside), "who has left is not inside"


def test_what_has_left_takes_no_place() -> None:
    limiter = ConnectionLimiter(2, Clock())
    for _ in range(5):
        first, second = admitted(limiter, 2)
        limiter.mark_idle(first)
        limiter.remove(first)
        limiter.remove(first)
        limiter.remove(second)
        assert not first.evicted
    admitted(limiter, 2)


def test_reaching_the_limit_is_logged_once_a_minute() -> None:
    clock = Clock()
    limiter = ConnectionLimiter(1, clock)
    admitted(limiter, 1)
    with capture_logs() as logs:
        for _ in range(5):
            limiter.admit(FakeConnection())
        assert len(logs) == 1
        clock.now += connection_limiter.WARN_INTERVAL
        limiter.admit(FakeConnection())
    assert len(logs) == 2


@asynccontextmanager
async def full_edge(world: World, most: int, raw: bytes, **limits: Any) -> AsyncIterator[Any]:
    """An edge at its connection limit, with ``raw`` sent over each connection."""
    await world.serve(max_connections=most, **limits)
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(connected(world)) for _ in range(most)]
        for _, writer in opened:
            writer.write(raw)
        yield opened


async def converting(world: World, most: int) -> None:
    """Wait until so many conversions are waited for."""
    await wait_until(lambda: len(world.publisher.published) == most, SOON)


async def test_over_the_limit_requests_are_refused_with_a_problem(world: World) -> None:
    async with full_edge(world, 4, CONVERT):
        await converting(world, 4)
        answer = await world.send_raw(INDEX)
        assert (answer.status, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["connection"] == "close"
        assert answer.json()["requestId"] == answer.headers["x-request-id"] != ""
        answer = await world.send_raw(CONVERT)
        assert (answer.status, answer.json()["code"]) == (503, "overloaded")
        assert len(world.publisher.published) == 4


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
async def test_over_the_limit_health_checks_are_still_answered(world: World, path: str) -> None:
    async with full_edge(world, 4, CONVERT):
        await converting(world, 4)
        answer = await world.send_raw(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert answer.status == 200
        assert answer.headers["connection"] == "close", "a health-only slot is given back"


async def test_an_idle_connection_is_evicted(world: World) -> None:
    async with full_edge(world, 3, LIVE) as opened:
        for reader, _ in opened:
            assert (await read_response(reader)).status == 200
        assert (await world.send_raw(INDEX)).status == 200
        (first, _), *others = opened
        assert await first.read() == b""
        for reader, writer in others:
            writer.write(LIVE)
            assert (await read_response(reader)).status == 200


async def test_an_incomplete_header_is_evicted_with_a_response(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limiter, "MIN_HEADER_AGE", -1.0)
    async with full_edge(world, 3, BEGUN) as opened:
        async with connected(world) as (reader, writer):
            writer.write(LIVE)
            assert (await read_response(reader)).status == 200
        # Each was to be late, so it is the oldest that has gone; it had sent something by then.
        answer = await read_response(opened[0][0])
        assert (answer.status, answer.json()["code"]) == (408, "request_too_slow")


async def test_when_it_is_over_everybody_is_served_again(world: World) -> None:
    async with full_edge(world, 4, CONVERT):
        await converting(world, 4)
        assert (await world.send_raw(INDEX)).status == 503

    async def is_served() -> bool:
        return (await world.send_raw(INDEX)).status == 200

    await wait_until(is_served, SOON)


async def test_with_all_health_slots_busy_a_new_connection_gets_503_unread(
    world: World,
) -> None:
    go_on, checks = asyncio.Event(), 0

    async def late() -> HealthReport:
        nonlocal checks
        checks += 1
        await go_on.wait()
        return world.report

    world.health = late  # type: ignore[method-assign]
    async with full_edge(world, 1, CONVERT), AsyncExitStack() as stack:
        await converting(world, 1)
        waiting = []
        for _ in range(HEALTH_ONLY_SLOTS):
            reader, writer = await stack.enter_async_context(connected(world))
            writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            waiting.append(reader)
        await wait_until(lambda: checks == HEALTH_ONLY_SLOTS, SOON)
        async with connected(world) as (reader, _):
            answer = await read_response(reader)
            assert (answer.status, answer.headers["retry-after"]) == (503, "2")
            assert await reader.read() == b""
        go_on.set()
        for reader in waiting:
            assert (await read_response(reader)).status == 200
