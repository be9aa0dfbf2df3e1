"""Guessers are slowed down, and nobody who shares an address with one."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from ilios.edge import wrong_keys
from ilios.edge.auth import tenant_of
from ilios.edge.errors import Refused
from ilios.edge.wrong_keys import AT_ONCE, PER_SECOND, WrongKeys, network_of
from tests.ilios.edge import hostile
from tests.ilios.edge.test_connection_cap import Clock
from tests.ilios.edge.world import ID, Answer, World, read_answer, record

HERE, THERE = "192.0.2.1", "192.0.2.2"
STATUS = f"GET /api/documents/status/{ID}"


def wait_of(keys: WrongKeys, remote: str, tenant: str | None = None) -> int:
    """Return the seconds an address is told to wait; 0 where its key is looked at."""
    try:
        keys.check(remote, tenant)
    except Refused as refused:
        return int(refused.headers["Retry-After"])
    return 0


def guess(keys: WrongKeys, remote: str) -> int:
    """Send wrong keys until they are no longer looked at; returns how many were."""
    number = 0
    while not wait_of(keys, remote):
        number += 1
    return number


def test_an_address_may_send_some_wrong_keys_and_then_one_now_and_then() -> None:
    clock = Clock()
    keys = WrongKeys(clock)
    assert guess(keys, HERE) == AT_ONCE
    assert guess(keys, THERE) == AT_ONCE, "it has its own count"
    wait = wait_of(keys, HERE)
    assert wait == pytest.approx(1 / PER_SECOND)
    clock.now += wait
    assert guess(keys, HERE) == 1
    clock.now += 3600
    assert guess(keys, HERE) == AT_ONCE


def test_a_right_key_is_not_told_from_a_wrong_one_while_the_address_is_held_up() -> None:
    clock = Clock()
    keys = WrongKeys(clock)
    guess(keys, HERE)
    assert wait_of(keys, HERE, "tenant") == wait_of(keys, HERE) > 0
    assert wait_of(keys, THERE, "tenant") == 0
    clock.now += 1 / PER_SECOND
    assert keys.check(HERE, "tenant") is True
    assert keys.check(HERE, None) is False, "a right key has cost nothing"


def test_a_key_that_was_right_from_there_goes_on_undisturbed() -> None:
    keys = WrongKeys(Clock())
    assert keys.check(HERE, "tenant") is True
    guess(keys, HERE)
    assert keys.check(HERE, "tenant") is True
    assert wait_of(keys, HERE, "another") > 0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_keys, "REMEMBERED", 3)
    keys = WrongKeys(Clock())
    for number in range(10):
        keys.check(f"198.51.100.{number}", "tenant")
        guess(keys, f"203.0.113.{number}")
    assert len(keys._left) == len(keys._right) == 3
    assert wait_of(keys, "203.0.113.9") > 0, "the latest are those that are known"
    assert guess(keys, "203.0.113.1") == AT_ONCE


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "192.0.2.2", False),
    ],
)
def test_an_ipv6_address_counts_with_its_whole_network(one: str, other: str, *, same: bool) -> None:
    assert (network_of(one) == network_of(other)) == same


def test_who_is_held_up_stands_in_the_log() -> None:
    keys = WrongKeys(Clock())
    with capture_logs() as logs:
        guess(keys, HERE)
    assert [(line["event"], line["address"]) for line in logs] == [("too many wrong keys", HERE)]


async def ask(world: World, key: str | None, source: str = "127.0.0.1") -> Answer:
    """Ask for a status from another address of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, local_addr=(source, 0))
    headers = [] if key is None else [f"X-Api-Key: {key}"]
    writer.write(hostile.request(STATUS, b"", *headers))
    try:
        return await read_answer(reader)
    finally:
        writer.close()


async def hold_up(world: World) -> Answer:
    """Guess until it is refused; a loaded machine may take so long that a guess comes back."""
    for number in range(10 * AT_ONCE):
        answer = await ask(world, f"guess-{number}")
        if answer.status != 401:
            return answer
    raise AssertionError("nobody minds")


async def test_a_guesser_is_held_up_and_its_neighbours_are_not(world: World) -> None:
    await world.serve("key-1", "key-2")
    world.reads.add(record(tenant=tenant_of("key-1")))
    assert (await ask(world, "key-1")).status == 200
    answer: Any = await hold_up(world)
    assert (answer.status, answer.json()["code"]) == (429, "too_many_wrong_keys")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    hostile.check_refusal(answer)
    assert (await ask(world, "key-1")).status == 200, "it was right from here before"
    assert (await ask(world, None)).status == 401, "nothing is guessed without a key"
    assert (await world.exchange(hostile.request("GET /health"))).status == 200


async def test_a_guesser_holds_up_no_other_address(world: World) -> None:
    await world.serve("key-1")
    world.reads.add(record(tenant=tenant_of("key-1")))
    await hold_up(world)
    # Linux answers on all of 127.0.0.0/8.
    assert (await ask(world, "key-1", "127.0.0.2")).status == 200
    assert (await ask(world, "wrong", "127.0.0.2")).status == 401
