"""A publisher at its limits does not impair the service, its operator and other publishers."""

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
from ilios.nats import server as nats_server
from ilios.nats import users
from ilios.nats.server import NatsServer, embedded
from ilios.nats.users import publisher_name
from ilios.runtime import machine
from tests import events
from tests.bus.raw_client import RawClient, publish
from tests.waiting import wait_until

TENANTS = ("default", "acme")
FLOOD_PAUSE = 0.01  # seconds between two messages of one client
OURS, THEIRS = map(publisher_name, TENANTS)
ESTABLISHED = "01"  # proc(5), /proc/net/tcp
MIB = 1024 * 1024
WITHIN = 60.0  # seconds; a machine under load is slow, not wrong


@pytest.fixture
async def two_tenants(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A bus with two tenants, on which the streams exist."""
    async with embedded(tmp_path / "nats", 0, TENANTS) as server:
        async with connect(server.url("operator"), name="tests") as connection:
            await streams.ensure(connection.jetstream)
        yield server


async def test_a_client_with_all_its_connections_open_excludes_no_other(
    two_tenants: NatsServer,
) -> None:
    async with AsyncExitStack() as stack:
        taken, refused = 0, 0
        for _ in range(users.MAX_CONNECTIONS + 20):
            client = RawClient(two_tenants.url(OURS))
            await stack.enter_async_context(client)
            try:
                answer = await client.send(b"")
            except ConnectionError:  # reset before its reason was read
                refused += 1
                continue
            if b"maximum account active connections" in answer:
                refused += 1
            else:
                taken += 1
        assert taken <= users.MAX_CONNECTIONS
        assert refused
        for user in (*users.ROLES, "operator", "setup"):
            async with connect(two_tenants.url(user), name=user) as connection:
                assert connection.connected
        async with RawClient(two_tenants.url(THEIRS)) as other:
            subject = f"ilios.document.submitted.p05.acme.{events.id_of(1)}".encode()
            assert await other.send(publish(subject, b"")) == b""


def test_all_publishers_together_leave_room_for_service_and_operator(tmp_path: Path) -> None:
    for tenants in (1, 2, 50, 500):
        names = [f"k{number:016x}" for number in range(tenants)]
        made = users.Users(tmp_path, names)
        text = made.publisher_accounts
        allowed = [int(line.split()[1]) for line in text.splitlines() if "max_connections" in line]
        assert len(allowed) == tenants
        assert sum(allowed) + users.RESERVED_CONNECTIONS <= made.max_connections
        assert min(allowed) >= users.MIN_CONNECTIONS


async def test_a_connection_has_so_many_subscriptions_and_no_more(two_tenants: NatsServer) -> None:
    async with RawClient(two_tenants.url(OURS)) as publisher:
        line = b"SUB ilios.document.completed.> %d\r\n"
        many = b"".join(line % number for number in range(users.MAX_SUBSCRIPTIONS))
        assert await publisher.send(many) == b""
        answer = await publisher.send(line % users.MAX_SUBSCRIPTIONS)
        assert b"maximum subscriptions exceeded" in answer.lower()


@pytest.mark.slow
async def test_a_client_that_reads_nothing_is_disconnected_and_others_continue(
    two_tenants: NatsServer,
) -> None:
    """Each event comes a thousand times to who subscribes a thousand times."""
    user, _, password = (
        two_tenants.url(OURS).removeprefix("nats://").partition("@")[0].partition(":")
    )
    hello = f'CONNECT {{"verbose":false,"user":"{user}","pass":"{password}"}}\r\n'
    lines = (f"SUB ilios.document.failed.> {number}\r\n" for number in range(1000))
    before = machine.resident_bytes(two_tenants.pid or 0)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", two_tenants.port))
        deaf.sendall((hello + "".join(lines)).encode())
        async with (
            connect(two_tenants.url("operator"), name="tests") as operator,
            RawClient(two_tenants.url(THEIRS)) as other,
        ):
            publisher, client, body = Publisher(operator), operator.client, b"x" * 10_000

            async def is_cut_off() -> bool:
                for number in range(20):
                    subject = f"ilios.document.failed.p05.default.{events.id_of(number)}"
                    await client.publish(subject, body)
                await client.flush(timeout=30)
                await asyncio.sleep(0.1)
                return not _is_connected(deaf)

            await wait_until(is_cut_off, within=WITHIN)
            await publisher.publish(events.submitted(1))
            subject = f"ilios.document.submitted.p05.acme.{events.id_of(1)}".encode()
            assert b"-ERR" not in await other.send(publish(subject, b""))
            await wait_until(lambda: _holds(operator, subject), within=WITHIN)
    assert machine.resident_bytes(two_tenants.pid or 0) - before < 400 * MIB


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


@pytest.mark.slow
async def test_huge_message_ids_are_not_stored(two_tenants: NatsServer) -> None:
    """The server forgets them in a second or so, for as long as more of them come."""
    assert await _flood(two_tenants, sent=4000, at_once=8) < 200 * MIB  # all together are 256 MB


async def _flood(server: NatsServer, sent: int, at_once: int) -> int:
    left, peak = iter(range(sent)), 0

    async def one_client(number: int) -> None:
        nonlocal peak
        inbox = f"_INBOX.{number}"
        subject = f"ilios.document.submitted.p05.default.{events.id_of(1)}"
        async with RawClient(server.url(OURS)) as client:
            await client.send(f"SUB {inbox} 1\r\n".encode())
            for _ in left:
                head = f"NATS/1.0\r\nNats-Msg-Id: {os.urandom(32_000).hex()}\r\n\r\n".encode()
                message = publish(subject.encode(), b"{}", header=head, reply=inbox.encode())
                # Until it is stored: what waits for the disk would count as what is remembered.
                if b"MSG " not in await client.send(message):
                    await client.read_until(b"}\r\n")
                # Or a fast disk stores all of them in the second in which they are remembered.
                await asyncio.sleep(FLOOD_PAUSE)
                peak = max(peak, machine.resident_bytes(server.pid or 0))

    await asyncio.gather(*(one_client(number) for number in range(at_once)))
    return peak


async def test_the_memory_limit_of_the_server_is_a_share_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "limit_bytes", lambda: 4096 * MIB)
    async with embedded(tmp_path, 0) as server:
        environment = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
        assert b"GOMEMLIMIT=%d" % (1024 * MIB) in environment
        assert server.memory_limit == 1024 * MIB
    monkeypatch.setattr(machine, "limit_bytes", lambda: 256 * MIB)
    assert nats_server.go_memory_limit() == nats_server.MIN_MEMORY_LIMIT
