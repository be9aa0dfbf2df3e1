"""Guessing keys is slowed down, and clients at the same address are not."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from ilios.edge.auth import BURST, REFILL_PER_SECOND, FailedAuthLimiter, tenant_of
from ilios.edge.connection_limiter import network_of
from ilios.edge.errors import HttpProblem
from tests.ilios.edge import hostile
from tests.ilios.edge.test_connection_limiter import Clock
from tests.ilios.edge.world import ID, RawResponse, World, read_response, record

HERE, THERE = "192.0.2.1", "192.0.2.2"
STATUS = f"GET /api/documents/status/{ID}"


def retry_after(keys: FailedAuthLimiter, remote: str, tenant: str | None = None) -> int:
    """Return the Retry-After for an address in seconds; 0 where its key is checked."""
    try:
        keys.record(remote, tenant)
    except HttpProblem as refused:
        return int(refused.headers["Retry-After"])
    return 0


def guess_until_blocked(keys: FailedAuthLimiter, remote: str) -> int:
    """Send wrong keys until they are no longer looked at; returns how many were."""
    number = 0
    while not retry_after(keys, remote):
        number += 1
    return number


def test_an_address_may_send_some_wrong_keys_and_then_one_now_and_then() -> None:
    clock = Clock()
    keys = FailedAuthLimiter(clock)
    assert guess_until_blocked(keys, HERE) == BURST
    assert guess_until_blocked(keys, THERE) == BURST, "it has its own count"
    wait = retry_after(keys, HERE)
    assert wait == pytest.approx(1 / REFILL_PER_SECOND)
    clock.now += wait
    assert guess_until_blocked(keys, HERE) == 1
    clock.now += 3600
    assert guess_until_blocked(keys, HERE) == BURST


def test_right_and_wrong_keys_are_answered_alike_while_the_address_is_throttled() -> None:
    clock = Clock()
    keys = FailedAuthLimiter(clock)
    guess_until_blocked(keys, HERE)
    assert retry_after(keys, HERE, "tenant") == retry_after(keys, HERE) > 0
    assert retry_after(keys, THERE, "tenant") == 0
    clock.now += 1 / REFILL_PER_SECOND
    assert keys.record(HERE, "tenant") is True
    assert keys.record(HERE, None) is False, "a right key has cost nothing"


def test_a_key_that_was_right_from_there_goes_on_undisturbed() -> None:
    keys = FailedAuthLimiter(Clock())
    assert keys.record(HERE, "tenant") is True
    guess_until_blocked(keys, HERE)
    assert keys.record(HERE, "tenant") is True
    assert retry_after(keys, HERE, "another") > 0


def test_what_is_remembered_is_bounded() -> None:
    keys = FailedAuthLimiter(Clock(), max_entries=3)
    for number in range(10):
        keys.record(f"198.51.100.{number}", "tenant")
        guess_until_blocked(keys, f"203.0.113.{number}")
    assert len(keys._tokens) == len(keys._succeeded) == 3
    assert retry_after(keys, "203.0.113.9") > 0, "the latest are remembered"
    assert guess_until_blocked(keys, "203.0.113.1") == BURST


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


def test_a_throttled_address_is_logged() -> None:
    keys = FailedAuthLimiter(Clock())
    with capture_logs() as logs:
        guess_until_blocked(keys, HERE)
    assert [(line["event"], line["address"]) for line in logs] == [("too many wrong keys", HERE)]


async def ask(world: World, key: str | None, source: str = "127.0.0.1") -> RawResponse:
    """Ask for a status from another address of this machine."""
    reader, writer = await world.connect(source)
    headers = [] if key is None else [f"X-Api-Key: {key}"]
    writer.write(hostile.request(STATUS, b"", *headers))
    try:
        return await read_response(reader)
    finally:
        writer.close()


async def exhaust(world: World) -> RawResponse:
    """Guess until it is refused; a loaded machine may take so long that a guess comes back."""
    for number in range(10 * BURST):
        answer = await ask(world, f"guess-{number}")
        if answer.status != 401:
            return answer
    raise AssertionError("nobody minds")


async def test_a_guesser_is_throttled_and_its_neighbours_are_not(world: World) -> None:
    await world.serve("key-1", "key-2")
    world.reads.add(record(tenant=tenant_of("key-1")))
    assert (await ask(world, "key-1")).status == 200
    answer: Any = await exhaust(world)
    assert (answer.status, answer.json()["code"]) == (429, "too_many_wrong_keys")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    hostile.assert_refused(answer)
    assert (await ask(world, "key-1")).status == 200, "it was right from here before"
    assert (await ask(world, None)).status == 401, "nothing is guessed without a key"
    assert (await world.send_raw(hostile.request("GET /health"))).status == 200


async def test_a_guesser_holds_up_no_other_address(world: World) -> None:
    await world.serve("key-1")
    world.reads.add(record(tenant=tenant_of("key-1")))
    await exhaust(world)
    # Linux answers on all of 127.0.0.0/8.
    assert (await ask(world, "key-1", "127.0.0.2")).status == 200
    assert (await ask(world, "wrong", "127.0.0.2")).status == 401
