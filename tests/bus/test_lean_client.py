"""The client writes once in a turn of the loop, and loses nothing by its short ways."""

import asyncio

import nats.errors
import pytest
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport

from bus.connection import Connection, connect
from bus.lean_client import LeanClient
from bus.publisher import Publisher
from tests import events
from tests.bus.conftest import KillableServer
from tests.waiting import wait_until

KILOBYTES = 64 * 1024


@pytest.fixture
def writes(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of commands in the writes from now on."""
    counted: list[int] = []
    write = TcpTransport.writelines

    def counting(transport: TcpTransport, commands: list[bytes]) -> None:
        counted.append(len(commands))
        write(transport, commands)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(TcpTransport, "writelines", counting)
    return counted


async def test_all_that_is_published_in_one_turn_is_written_at_once(
    connection: Connection, writes: list[int]
) -> None:
    publisher = Publisher(connection)
    await publisher.publish(events.submitted(1))
    writes.clear()
    await asyncio.gather(*(publisher.publish(events.submitted(n)) for n in range(2, 22)))
    assert writes == [20]


async def test_an_unanswered_request_times_out_and_leaves_nothing(connection: Connection) -> None:
    async def never(_: Msg) -> None:
        pass

    await connection.client.subscribe("silence", cb=never)
    with pytest.raises(nats.errors.TimeoutError):
        await connection.client.request("silence", timeout=0.05)
    asking = asyncio.create_task(connection.client.request("silence", timeout=60))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert connection.client._replies == {}


async def test_a_request_fails_at_once_when_the_connection_is_interrupted(
    connection: Connection,
) -> None:
    asked = asyncio.Event()

    async def never_reply(_: Msg) -> None:
        asked.set()

    await connection.client.subscribe("silence", cb=never_reply)
    waiting = asyncio.create_task(connection.client.request("silence", timeout=60.0))
    await asked.wait()
    await connection.client.force_reconnect()
    with pytest.raises(nats.errors.Error, match="interrupted"):
        await asyncio.wait_for(waiting, 10.0)


async def test_a_request_without_a_responder_fails_at_once(connection: Connection) -> None:
    with pytest.raises(nats.errors.NoRespondersError):
        await connection.client.request("nobody", timeout=60)


async def test_a_late_reply_is_nobodys(connection: Connection) -> None:
    replies: list[Msg] = []

    async def keep(message: Msg) -> None:
        replies.append(message)

    await connection.client.subscribe("late", cb=keep)
    with pytest.raises(nats.errors.TimeoutError):
        await connection.client.request("late", timeout=0.05)
    await wait_until(lambda: bool(replies))
    await replies[0].respond(b"too late")
    await connection.check()


async def test_a_callback_that_fails_does_not_end_the_reading(connection: Connection) -> None:
    received: list[bytes] = []

    def fail_first(message: Msg) -> None:
        received.append(message.data)
        if len(received) == 1:
            raise ValueError("the first one")

    subscription = await connection.client.subscribe_directly("direct", fail_first)
    for body in (b"1", b"2"):
        await connection.client.publish("direct", body)
    await wait_until(lambda: received == [b"1", b"2"])
    await subscription.unsubscribe()
    await connection.client.publish("direct", b"3")
    await connection.check()
    assert received == [b"1", b"2"]


async def test_what_a_suspended_server_does_not_take_waits_for_it(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        received: list[int] = []
        await connection.client.subscribe_directly(
            "large", lambda message: received.append(len(message.data))
        )
        await connection.client.flush()
        await killable_server.freeze()
        # More than the sockets hold, less than the client may hold.
        for size in range(64):
            await connection.client.publish("large", b"x" * (KILOBYTES + size))
            await asyncio.sleep(0)
        assert connection.client.pending_data_size > 0
        killable_server.thaw()
        await wait_until(lambda: len(received) == 64)
        assert received == [KILOBYTES + size for size in range(64)]


async def test_acknowledgements_wait_for_the_reconnect_up_to_a_limit(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        received: list[bytes] = []
        await connection.client.subscribe_directly(
            "acks", lambda message: received.append(message.data)
        )
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        connection.client.publish_soon("acks", b"first")
        with pytest.raises(nats.errors.OutboundBufferLimitError):
            connection.client.publish_soon("acks", bytes(9 * 1024 * 1024))
        await killable_server.start()
        await wait_until(lambda: received == [b"first"])


def test_a_closed_client_refuses_acknowledgements() -> None:
    client = LeanClient()
    client._status = LeanClient.CLOSED
    with pytest.raises(nats.errors.ConnectionClosedError):
        client.publish_soon("acks", b"late")


async def test_a_flush_writes_what_is_pending_before_it_asks_for_an_answer(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    write, write_lines = TcpTransport.write, TcpTransport.writelines

    def record(transport: TcpTransport, data: bytes) -> None:
        written.append(data)
        write(transport, data)  # type: ignore[no-untyped-call]

    def record_lines(transport: TcpTransport, commands: list[bytes]) -> None:
        written.extend(commands)
        write_lines(transport, commands)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(TcpTransport, "write", record)
    monkeypatch.setattr(TcpTransport, "writelines", record_lines)
    await connection.client.subscribe("ilios.document.completed.>")
    await connection.client.flush()
    assert [data.split()[0] for data in written] == [b"SUB", b"PING"]
