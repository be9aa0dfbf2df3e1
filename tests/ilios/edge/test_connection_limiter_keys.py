"""Connections without a key make room for those with one, on real sockets too."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ilios.edge import pages
from ilios.edge.connection_limiter import HEALTH_ONLY_SLOTS, ConnectionLimiter
from tests.ilios.edge.test_connection import BEGUN, LIVE, SOON
from tests.ilios.edge.test_connection_limiter import INDEX, Clock, FakeConnection, admitted
from tests.ilios.edge.world import World, file_part, multipart_form, post_request
from tests.waiting import wait_until

KEY = "a-key-that-is-long-enough"
SUBMIT = post_request(multipart_form(file_part()), f"X-Api-Key: {KEY}")
LIMIT = 40


def has_key() -> bool:
    return True


def authenticated(limiter: ConnectionLimiter, number: int) -> list[FakeConnection]:
    """Admit so many connections, each with a request with a key that is being answered."""
    made = [FakeConnection() for _ in range(number)]
    for one in made:
        assert limiter.admit(one)
        assert limiter.admit_request(one, has_key)
        limiter.mark_authenticated(one)
    return made


def test_an_authenticated_connection_replaces_any_unauthenticated_one() -> None:
    limiter = ConnectionLimiter(4, Clock(), keys_required=True)
    with_key = authenticated(limiter, 2)
    (anonymous,) = admitted(limiter, 1)
    anonymous.response_started = True  # and does not read
    other = FakeConnection("192.0.2.2")
    assert limiter.admit(other)
    assert limiter.admit_request(other)
    newcomers = [FakeConnection(), FakeConnection(), FakeConnection()]
    assert all(limiter.admit(newcomer) for newcomer in newcomers), "their headers are read"
    assert anonymous.times_evicted == 0
    assert limiter.admit_request(newcomers[0], has_key)
    limiter.mark_authenticated(newcomers[0])
    assert anonymous.times_evicted == 1
    assert limiter.admit_request(newcomers[1], has_key)
    limiter.mark_authenticated(newcomers[1])
    assert other.evicted
    assert not limiter.admit_request(newcomers[2], has_key), "no anonymous one is left"
    assert not any(one_with_key.evicted for one_with_key in with_key)


def test_an_unauthenticated_connection_replaces_only_idle_unauthenticated_ones() -> None:
    limiter = ConnectionLimiter(8, Clock(), keys_required=True)
    with_key = authenticated(limiter, 6)
    first, second = admitted(limiter, 2)
    limiter.mark_idle(with_key[0])
    newcomer = FakeConnection("192.0.2.2")
    assert limiter.admit(newcomer)
    assert not limiter.admit_request(newcomer)
    limiter.mark_idle(second)
    newcomer = FakeConnection("192.0.2.2")
    assert limiter.admit(newcomer)
    assert limiter.admit_request(newcomer)
    assert second.evicted
    assert not any(one.evicted for one in (first, *with_key))


def test_new_incomplete_headers_yield_to_an_authenticated_connection() -> None:
    limiter = ConnectionLimiter(4, Clock(), keys_required=True)
    silent = [FakeConnection() for _ in range(4)]
    assert all(limiter.admit(one) for one in silent)
    newcomer = FakeConnection()
    assert limiter.admit(newcomer)
    assert limiter.admit_request(newcomer, has_key)
    assert [one.evicted for one in silent] == [True, False, False, False]


def test_unauthenticated_connections_of_a_network_are_limited() -> None:
    limiter = ConnectionLimiter(16, Clock(), keys_required=True)
    admitted(limiter, 4)
    refused, elsewhere, one_with_key = (
        FakeConnection(),
        FakeConnection("192.0.2.2"),
        FakeConnection(),
    )
    for one in (refused, elsewhere, one_with_key):
        assert limiter.admit(one)
    assert not limiter.admit_request(refused)
    assert limiter.admit_request(elsewhere)
    assert limiter.admit_request(one_with_key, has_key)


def test_an_idle_unauthenticated_connection_yields_to_another_of_its_network() -> None:
    limiter = ConnectionLimiter(16, Clock(), keys_required=True)
    first, *_ = admitted(limiter, 4)
    limiter.mark_idle(first)
    admitted(limiter, 1)
    assert first.evicted


def test_where_no_keys_are_needed_a_network_that_has_most_places_makes_room_for_others() -> None:
    limiter = ConnectionLimiter(8, Clock())
    crowd = admitted(limiter, 8)
    crowd[3].response_started = True
    for _ in range(4):
        assert limiter.admit_request(_enters(limiter, FakeConnection("192.0.2.2")))
    assert [one.evicted for one in crowd].count(True) == 4
    assert crowd[3].evicted
    assert not limiter.admit_request(_enters(limiter, FakeConnection("192.0.2.2"))), (
        "it has its half"
    )
    assert not limiter.admit_request(_enters(limiter, FakeConnection()))


def _enters(limiter: ConnectionLimiter, one: FakeConnection) -> FakeConnection:
    assert limiter.admit(one)
    return one


def test_one_network_cannot_take_all_health_slots() -> None:
    limiter = ConnectionLimiter(1, Clock(), keys_required=True)
    authenticated(limiter, 1)
    crowd = [_enters(limiter, FakeConnection()) for _ in range(HEALTH_ONLY_SLOTS - 1)]
    other = _enters(limiter, FakeConnection("192.0.2.2"))
    for _ in range(2 * HEALTH_ONLY_SLOTS):
        _enters(limiter, FakeConnection())
    assert all(one.evicted for one in crowd)
    assert not other.evicted


def test_a_client_that_does_not_read_its_refusal_loses_its_health_slot() -> None:
    limiter = ConnectionLimiter(1, Clock(), keys_required=True)
    authenticated(limiter, 1)
    health_only = [_enters(limiter, FakeConnection()) for _ in range(HEALTH_ONLY_SLOTS)]
    for one in health_only:
        assert not limiter.admit_request(one)
        one.response_started = True
    _enters(limiter, FakeConnection())
    assert health_only[0].evicted


@asynccontextmanager
async def connected_from(world: World, address: str, raw: bytes) -> AsyncIterator[Any]:
    """A connection from another address of this machine, over which ``raw`` was sent."""
    opened = await world.connect(address)
    try:
        opened[1].write(raw)
        yield opened
    finally:
        opened[1].close()


@pytest.mark.skipif(sys.platform != "linux", reason="one address of loopback")
@pytest.mark.parametrize(
    ("crowd_from", "raw"),
    [
        ("127.0.0.2", b""),
        ("127.0.0.1", b""),
        ("127.0.0.2", BEGUN),
        ("127.0.0.2", LIVE),
        ("127.0.0.2", LIVE * 50),
        ("127.0.0.2", post_request(b"", path="/api/documents/submit", length=10_000)),
        ("127.0.0.2", b"GET /docs HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
    ids=["silent", "same address", "slow header", "idle", "pipelined", "unread body", "page"],
)
async def test_unauthenticated_connections_never_block_authenticated_ones(
    world: World, crowd_from: str, raw: bytes
) -> None:
    await world.serve(KEY, max_connections=LIMIT)
    async with AsyncExitStack() as stack:
        for _ in range(3 * LIMIT):
            await stack.enter_async_context(connected_from(world, crowd_from, raw))
        for _ in range(3):
            assert (await world.send_raw(SUBMIT)).status == 202


@pytest.mark.skipif(sys.platform != "linux", reason="one address of loopback")
async def test_unread_responses_yield_to_an_authenticated_connection(world: World) -> None:
    """Each of them is held for two minutes otherwise."""
    await world.serve(KEY, max_connections=LIMIT)
    largest = max(pages.STATIC_FILES, key=lambda name: len(pages.static_file(name).body))
    # So often that no kernel has room for it all.
    raw = f"GET /docs/{pages.assets_version()}/{largest} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 20
    async with AsyncExitStack() as stack:
        for number in range(LIMIT):
            address = f"127.0.0.{2 + number % 8}"
            await stack.enter_async_context(connected_from(world, address, raw))

        async def is_full() -> bool:
            return (await world.send_raw(INDEX)).status == 503

        await wait_until(is_full, SOON)
        for _ in range(5):
            assert (await world.send_raw(SUBMIT)).status == 202
