"""Connections without a key make room for those with one, on real sockets too."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ilios.edge import static_files
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


def authenticated(cap: ConnectionLimiter, number: int) -> list[FakeConnection]:
    """Let so many guests in that have shown a key and are being answered."""
    guests = [FakeConnection() for _ in range(number)]
    for guest in guests:
        assert cap.admit(guest)
        assert cap.admit_request(guest, has_key)
        cap.mark_authenticated(guest)
    return guests


def test_an_authenticated_connection_replaces_any_unauthenticated_one() -> None:
    cap = ConnectionLimiter(4, Clock(), keys_required=True)
    holders = authenticated(cap, 2)
    (stranger,) = admitted(cap, 1)
    stranger.response_started = True  # and does not read
    other = FakeConnection("192.0.2.2")
    assert cap.admit(other)
    assert cap.admit_request(other)
    newcomers = [FakeConnection(), FakeConnection(), FakeConnection()]
    assert all(cap.admit(newcomer) for newcomer in newcomers), "they are heard at least"
    assert stranger.times_evicted == 0
    assert cap.admit_request(newcomers[0], has_key)
    cap.mark_authenticated(newcomers[0])
    assert stranger.times_evicted == 1
    assert cap.admit_request(newcomers[1], has_key)
    cap.mark_authenticated(newcomers[1])
    assert other.evicted
    assert not cap.admit_request(newcomers[2], has_key), "there is no stranger left"
    assert not any(holder.evicted for holder in holders)


def test_an_unauthenticated_connection_replaces_only_idle_unauthenticated_ones() -> None:
    cap = ConnectionLimiter(8, Clock(), keys_required=True)
    holders = authenticated(cap, 6)
    first, second = admitted(cap, 2)
    cap.mark_idle(holders[0])
    newcomer = FakeConnection("192.0.2.2")
    assert cap.admit(newcomer)
    assert not cap.admit_request(newcomer)
    cap.mark_idle(second)
    newcomer = FakeConnection("192.0.2.2")
    assert cap.admit(newcomer)
    assert cap.admit_request(newcomer)
    assert second.evicted
    assert not any(guest.evicted for guest in (first, *holders))


def test_new_incomplete_headers_yield_to_an_authenticated_connection() -> None:
    cap = ConnectionLimiter(4, Clock(), keys_required=True)
    silent = [FakeConnection() for _ in range(4)]
    assert all(cap.admit(guest) for guest in silent)
    newcomer = FakeConnection()
    assert cap.admit(newcomer)
    assert cap.admit_request(newcomer, has_key)
    assert [guest.evicted for guest in silent] == [True, False, False, False]


def test_unauthenticated_connections_of_a_network_are_limited() -> None:
    cap = ConnectionLimiter(16, Clock(), keys_required=True)
    admitted(cap, 4)
    refused, elsewhere, holder = FakeConnection(), FakeConnection("192.0.2.2"), FakeConnection()
    for guest in (refused, elsewhere, holder):
        assert cap.admit(guest)
    assert not cap.admit_request(refused)
    assert cap.admit_request(elsewhere)
    assert cap.admit_request(holder, has_key)


def test_an_idle_unauthenticated_connection_yields_to_another_of_its_network() -> None:
    cap = ConnectionLimiter(16, Clock(), keys_required=True)
    first, *_ = admitted(cap, 4)
    cap.mark_idle(first)
    admitted(cap, 1)
    assert first.evicted


def test_where_no_keys_are_needed_a_network_that_has_most_places_makes_room_for_others() -> None:
    cap = ConnectionLimiter(8, Clock())
    crowd = admitted(cap, 8)
    crowd[3].response_started = True
    for _ in range(4):
        assert cap.admit_request(_enters(cap, FakeConnection("192.0.2.2")))
    assert [guest.evicted for guest in crowd].count(True) == 4
    assert crowd[3].evicted
    assert not cap.admit_request(_enters(cap, FakeConnection("192.0.2.2"))), "it has its half"
    assert not cap.admit_request(_enters(cap, FakeConnection()))


def _enters(cap: ConnectionLimiter, guest: FakeConnection) -> FakeConnection:
    assert cap.admit(guest)
    return guest


def test_one_network_cannot_take_all_health_slots() -> None:
    cap = ConnectionLimiter(1, Clock(), keys_required=True)
    authenticated(cap, 1)
    crowd = [_enters(cap, FakeConnection()) for _ in range(HEALTH_ONLY_SLOTS - 1)]
    other = _enters(cap, FakeConnection("192.0.2.2"))
    for _ in range(2 * HEALTH_ONLY_SLOTS):
        _enters(cap, FakeConnection())
    assert all(guest.evicted for guest in crowd)
    assert not other.evicted


def test_a_client_that_does_not_read_its_refusal_loses_its_health_slot() -> None:
    cap = ConnectionLimiter(1, Clock(), keys_required=True)
    authenticated(cap, 1)
    porch = [_enters(cap, FakeConnection()) for _ in range(HEALTH_ONLY_SLOTS)]
    for guest in porch:
        assert not cap.admit_request(guest)
        guest.response_started = True
    _enters(cap, FakeConnection())
    assert porch[0].evicted


@asynccontextmanager
async def connected_from(world: World, address: str, raw: bytes) -> AsyncIterator[Any]:
    """A connection from another address of this machine, over which ``raw`` was sent."""
    opened = await asyncio.open_connection("127.0.0.1", world.port, local_addr=(address, 0))
    try:
        opened[1].write(raw)
        yield opened
    finally:
        opened[1].close()


@pytest.mark.skipif(sys.platform != "linux", reason="one address of loopback")
@pytest.mark.parametrize("crowd_from", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        BEGUN,
        LIVE,
        LIVE * 50,
        post_request(b"", path="/api/documents/submit", length=10_000),
        b"GET /docs HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["silent", "slow header", "resting", "pipelined", "unread body", "page"],
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
    largest = max(
        static_files.STATIC_FILES, key=lambda name: len(static_files.static_file(name).body)
    )
    # So often that no kernel has room for it all.
    raw = (
        f"GET /docs/{static_files.assets_version()}/{largest} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        * 20
    )
    async with AsyncExitStack() as stack:
        for number in range(LIMIT):
            address = f"127.0.0.{2 + number % 8}"
            await stack.enter_async_context(connected_from(world, address, raw))

        async def is_full() -> bool:
            return (await world.send_raw(INDEX)).status == 503

        await wait_until(is_full, SOON)
        for _ in range(5):
            assert (await world.send_raw(SUBMIT)).status == 202
