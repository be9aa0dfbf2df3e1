"""A publisher that takes all it can get leaves the bus to the service, its operator and others."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from bus import streams
from bus.connection import Connection, connect
from bus.publisher import Publisher
from ilios import machine_memory, nats_server, nats_users
from ilios.nats_server import NatsServer, embedded
from ilios.nats_users import publisher_of
from tests import events
from tests.bus.raw import RawClient, publish
from tests.waiting import until

TENANTS = ("default", "acme")
OURS, THEIRS = map(publisher_of, TENANTS)
ESTABLISHED = "01"  # proc(5), /proc/net/tcp
MIB = 1024 * 1024
WITHIN = 60.0  # seconds; a machine under load is slow, not wrong


@pytest.fixture
async def of_two(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A bus with two tenants, on which the streams exist."""
    async with embedded(tmp_path / "nats", 0, TENANTS) as server:
        async with connect(server.url("operator"), name="tests") as connection:
            await streams.ensure(connection.jetstream)
        yield server


async def test_one_who_opens_all_connections_keeps_nobody_else_out(of_two: NatsServer) -> None:
    async with AsyncExitStack() as stack:
        taken, refused = 0, 0
        for _ in range(nats_users.MOST_CONNECTIONS + 20):
            client = RawClient(of_two.url(OURS))
            await stack.enter_async_context(client)
            try:
                answer = await client.say(b"")
            except ConnectionError:  # reset before its reason was read
                refused += 1
                continue
            if b"maximum account active connections" in answer:
                refused += 1
            else:
                taken += 1
        assert taken <= nats_users.MOST_CONNECTIONS
        assert refused
        for user in (*nats_users.ROLES, "operator", "setup"):
            async with connect(of_two.url(user), name=user) as connection:
                assert connection.connected
        async with RawClient(of_two.url(THEIRS)) as other:
            subject = f"ilios.document.submitted.p05.acme.{events.name(1)}".encode()
            assert await other.say(publish(subject, b"")) == b""


def test_all_publishers_together_leave_room_for_service_and_operator(tmp_path: Path) -> None:
    for tenants in (1, 2, 50, 500):
        names = [f"k{number:016x}" for number in range(tenants)]
        users = nats_users.Users(tmp_path, names)
        text = (tmp_path / nats_users.PUBLISHERS).read_text()
        allowed = [int(line.split()[1]) for line in text.splitlines() if "max_connections" in line]
        assert len(allowed) == tenants
        assert sum(allowed) + nats_users.RESERVED_CONNECTIONS <= users.max_connections
        assert min(allowed) >= nats_users.FEWEST_CONNECTIONS


async def test_a_connection_has_so_many_subscriptions_and_no_more(of_two: NatsServer) -> None:
    async with RawClient(of_two.url(OURS)) as publisher:
        line = b"SUB ilios.document.completed.> %d\r\n"
        many = b"".join(line % number for number in range(nats_users.MOST_SUBSCRIPTIONS))
        assert await publisher.say(many) == b""
        answer = await publisher.say(line % nats_users.MOST_SUBSCRIPTIONS)
        assert b"maximum subscriptions exceeded" in answer.lower()


async def test_one_who_reads_nothing_is_cut_off_and_others_go_on(of_two: NatsServer) -> None:
    """Each event comes a thousand times to who subscribes a thousand times."""
    user, _, password = of_two.url(OURS).removeprefix("nats://").partition("@")[0].partition(":")
    hello = f'CONNECT {{"verbose":false,"user":"{user}","pass":"{password}"}}\r\n'
    lines = (f"SUB ilios.document.failed.> {number}\r\n" for number in range(1000))
    before = machine_memory.held_bytes(of_two.pid or 0)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", of_two.port))
        deaf.sendall((hello + "".join(lines)).encode())
        async with (
            connect(of_two.url("operator"), name="tests") as operator,
            RawClient(of_two.url(THEIRS)) as other,
        ):
            publisher, client, body = Publisher(operator), operator.client, b"x" * 10_000

            async def is_cut_off() -> bool:
                for number in range(20):
                    subject = f"ilios.document.failed.p05.default.{events.name(number)}"
                    await client.publish(subject, body)
                await client.flush(timeout=30)
                await asyncio.sleep(0.1)
                return not _is_connected(deaf)

            await until(is_cut_off, within=WITHIN)
            await publisher.say(events.submitted(1))
            subject = f"ilios.document.submitted.p05.acme.{events.name(1)}".encode()
            assert b"-ERR" not in await other.say(publish(subject, b""))
            await until(lambda: _holds(operator, subject), within=WITHIN)
    assert machine_memory.held_bytes(of_two.pid or 0) - before < 400 * MIB


async def _holds(operator: Connection, subject: bytes) -> bool:
    try:
        found = await operator.jetstream.get_last_msg(streams.EVENTS, subject.decode(), direct=True)
    except NotFoundError:
        return False  # not yet: it was published without waiting for the acknowledgement
    return found.subject == subject.decode()


def _is_connected(deaf: socket.socket) -> bool:
    """Whether the server still has its end open, by the system's table of connections."""
    port = deaf.getsockname()[1]
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [line.split() for line in lines if line.split()[2].endswith(f":{port:04X}")]
    return any(state == ESTABLISHED for _, _, _, state, *_ in ends)


async def test_huge_message_ids_are_not_kept(of_two: NatsServer) -> None:
    """The server forgets them in a second or so, for as long as more of them come."""
    assert await _flood(of_two, sent=4000, at_once=8) < 200 * MIB  # all together are 256 MB


async def _flood(server: NatsServer, sent: int, at_once: int) -> int:
    left, peak = iter(range(sent)), 0

    async def one_client() -> None:
        nonlocal peak
        async with RawClient(server.url(OURS)) as client:
            for _ in left:
                subject = f"ilios.document.submitted.p05.default.{events.name(1)}"
                head = f"NATS/1.0\r\nNats-Msg-Id: {os.urandom(32_000).hex()}\r\n\r\n".encode()
                line = f"HPUB {subject} {len(head)} {len(head) + 2}\r\n".encode()
                await client.say(line + head + b"{}\r\n")
                peak = max(peak, machine_memory.held_bytes(server.pid or 0))

    await asyncio.gather(*(one_client() for _ in range(at_once)))
    return peak


async def test_the_server_may_have_its_share_of_what_memory_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_memory, "limit_bytes", lambda: 4096 * MIB)
    async with embedded(tmp_path, 0) as server:
        environment = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
        assert b"GOMEMLIMIT=%d" % (1024 * MIB) in environment
        assert server.memory_goal == 1024 * MIB
    monkeypatch.setattr(machine_memory, "limit_bytes", lambda: 256 * MIB)
    assert nats_server.memory_goal() == nats_server.LEAST_MEMORY_GOAL
