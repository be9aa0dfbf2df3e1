"""Connections without a key make room for those with one, on real sockets too."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ilios.edge import page_files
from ilios.edge.connection_cap import PORCH, ConnectionCap
from tests.ilios.edge.test_connection import BEGUN, LIVE, SOON
from tests.ilios.edge.test_connection_cap import INDEX, Clock, Guest, entered
from tests.ilios.edge.world import World, file_part, form, post
from tests.waiting import until

KEY = "a-key-that-is-long-enough"
SUBMIT = post(form(file_part()), f"X-Api-Key: {KEY}")
MOST = 40


def has_key() -> bool:
    return True


def keyed(cap: ConnectionCap, number: int) -> list[Guest]:
    """Let so many guests in that have shown a key and are being answered."""
    guests = [Guest() for _ in range(number)]
    for guest in guests:
        assert cap.enter(guest)
        assert cap.has_asked(guest, has_key)
        cap.has_key(guest)
    return guests


def test_whoever_has_a_key_gets_the_place_of_a_stranger_whatever_that_one_is_at() -> None:
    cap = ConnectionCap(4, Clock(), keyed=True)
    holders = keyed(cap, 2)
    (stranger,) = entered(cap, 1)
    stranger.is_answered = True  # and does not read
    other = Guest("192.0.2.2")
    assert cap.enter(other)
    assert cap.has_asked(other)
    newcomers = [Guest(), Guest(), Guest()]
    assert all(cap.enter(newcomer) for newcomer in newcomers), "they are heard at least"
    assert stranger.times_sent_away == 0
    assert cap.has_asked(newcomers[0], has_key)
    cap.has_key(newcomers[0])
    assert stranger.times_sent_away == 1
    assert cap.has_asked(newcomers[1], has_key)
    cap.has_key(newcomers[1])
    assert other.gone
    assert not cap.has_asked(newcomers[2], has_key), "there is no stranger left"
    assert not any(holder.gone for holder in holders)


def test_a_stranger_gets_nobodys_place_but_that_of_a_stranger_at_rest() -> None:
    cap = ConnectionCap(8, Clock(), keyed=True)
    holders = keyed(cap, 6)
    first, second = entered(cap, 2)
    cap.rests(holders[0])
    newcomer = Guest("192.0.2.2")
    assert cap.enter(newcomer)
    assert not cap.has_asked(newcomer)
    cap.rests(second)
    newcomer = Guest("192.0.2.2")
    assert cap.enter(newcomer)
    assert cap.has_asked(newcomer)
    assert second.gone
    assert not any(guest.gone for guest in (first, *holders))


def test_headers_that_have_just_begun_make_room_for_a_key() -> None:
    cap = ConnectionCap(4, Clock(), keyed=True)
    silent = [Guest() for _ in range(4)]
    assert all(cap.enter(guest) for guest in silent)
    newcomer = Guest()
    assert cap.enter(newcomer)
    assert cap.has_asked(newcomer, has_key)
    assert [guest.gone for guest in silent] == [True, False, False, False]


def test_the_strangers_of_a_network_have_their_share_and_no_more() -> None:
    cap = ConnectionCap(16, Clock(), keyed=True)
    entered(cap, 4)
    refused, elsewhere, holder = Guest(), Guest("192.0.2.2"), Guest()
    for guest in (refused, elsewhere, holder):
        assert cap.enter(guest)
    assert not cap.has_asked(refused)
    assert cap.has_asked(elsewhere)
    assert cap.has_asked(holder, has_key)


def test_a_stranger_at_rest_makes_room_for_the_next_of_its_network() -> None:
    cap = ConnectionCap(16, Clock(), keyed=True)
    first, *_ = entered(cap, 4)
    cap.rests(first)
    entered(cap, 1)
    assert first.gone


def test_where_no_keys_are_needed_a_network_that_has_most_places_makes_room_for_others() -> None:
    cap = ConnectionCap(8, Clock())
    crowd = entered(cap, 8)
    crowd[3].is_answered = True
    for _ in range(4):
        assert cap.has_asked(_enters(cap, Guest("192.0.2.2")))
    assert [guest.gone for guest in crowd].count(True) == 4
    assert crowd[3].gone
    assert not cap.has_asked(_enters(cap, Guest("192.0.2.2"))), "it has its half"
    assert not cap.has_asked(_enters(cap, Guest()))


def _enters(cap: ConnectionCap, guest: Guest) -> Guest:
    assert cap.enter(guest)
    return guest


def test_the_porch_is_not_for_one_network_alone() -> None:
    cap = ConnectionCap(1, Clock(), keyed=True)
    keyed(cap, 1)
    crowd = [_enters(cap, Guest()) for _ in range(PORCH - 1)]
    other = _enters(cap, Guest("192.0.2.2"))
    for _ in range(2 * PORCH):
        _enters(cap, Guest())
    assert all(guest.gone for guest in crowd)
    assert not other.gone


def test_who_does_not_take_the_refusal_does_not_keep_the_porch() -> None:
    cap = ConnectionCap(1, Clock(), keyed=True)
    keyed(cap, 1)
    porch = [_enters(cap, Guest()) for _ in range(PORCH)]
    for guest in porch:
        assert not cap.has_asked(guest)
        guest.is_answered = True
    _enters(cap, Guest())
    assert porch[0].gone


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
        post(b"", path="/api/documents/submit", length=10_000),
        b"GET /docs HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["silent", "slow header", "resting", "pipelined", "unread body", "page"],
)
async def test_strangers_never_keep_out_whoever_has_a_key(
    world: World, crowd_from: str, raw: bytes
) -> None:
    await world.serve(KEY, max_connections=MOST)
    async with AsyncExitStack() as stack:
        for _ in range(3 * MOST):
            await stack.enter_async_context(connected_from(world, crowd_from, raw))
        for _ in range(3):
            assert (await world.exchange(SUBMIT)).status == 202


@pytest.mark.skipif(sys.platform != "linux", reason="one address of loopback")
async def test_answers_that_strangers_do_not_read_make_room_for_a_key(world: World) -> None:
    """Each of them is held for two minutes otherwise."""
    await world.serve(KEY, max_connections=MOST)
    largest = max(page_files.SERVED, key=lambda name: len(page_files.served(name).body))
    # So often that no kernel has room for it all.
    raw = f"GET /docs/{page_files.edition()}/{largest} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 20
    async with AsyncExitStack() as stack:
        for number in range(MOST):
            address = f"127.0.0.{2 + number % 8}"
            await stack.enter_async_context(connected_from(world, address, raw))

        async def is_full() -> bool:
            return (await world.exchange(INDEX)).status == 503

        await until(is_full, SOON)
        for _ in range(5):
            assert (await world.exchange(SUBMIT)).status == 202
