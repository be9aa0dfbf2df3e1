"""A connection reconnects, and no event on the log can end it."""

import asyncio
import contextlib
import gc
import socket
from typing import Any

import pytest
from nats.aio.client import Client

from bus import connection as module
from bus import streams
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from bus.reader import Reader
from ilios.nats.server import NatsServer
from schemas.documents import DocumentSubmitted
from tests import events
from tests.bus.conftest import KillableServer
from tests.bus.raw_client import RawClient, publish
from tests.waiting import wait_until


async def test_a_connection_has_its_url(nats_server: NatsServer) -> None:
    async with connect(nats_server.url("operator"), name="test") as connection:
        await connection.check()
        assert connection.connected
        assert connection.address == f"127.0.0.1:{nats_server.port}"
    assert not connection.connected


async def test_no_server_is_reported_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 0.3)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(BusUnavailable, match=r"cannot connect.*(refused|failed)"):
            async with asyncio.timeout(30), connect(url, name="test"):
                pytest.fail("there is nobody")


async def test_wrong_credentials_are_reported_within_the_timeout(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 2.0)
    url = f"nats://ilios:guess@127.0.0.1:{nats_server.port}"
    with pytest.raises(BusUnavailable, match=r"refuses the user or the password .*Authorization"):
        async with asyncio.timeout(30), connect(url, name="test"):
            pytest.fail("anybody may come in")


async def test_an_old_server_is_refused(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.check()
    monkeypatch.setattr(module, "MINIMUM_VERSION", (99, 0))
    with pytest.raises(BusUnavailable, match=r"too old: 99\.0"):
        await connection.check()


async def test_a_connection_reconnects_and_notifies_its_listeners(
    killable_server: KillableServer,
) -> None:
    notified = asyncio.Event()
    async with connect(killable_server.url("operator"), name="test") as connection:
        forget = connection.on_reconnect(notified.set)
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        with pytest.raises(BusUnavailable):
            await connection.request("$JS.API.INFO", b"")
        with pytest.raises(BusUnavailable):
            await connection.check()
        await killable_server.start()
        await asyncio.wait_for(notified.wait(), 30)
        await connection.check()
        forget()
        notified.clear()
        await killable_server.kill()
        await killable_server.start()
        await wait_until(lambda: connection.connected)
        await connection.check()
        assert not notified.is_set()


async def test_an_error_the_server_hangs_up_after_is_survived(connection: Connection) -> None:
    """The client by itself would close for ever, and the service with it."""
    again = asyncio.Event()
    connection.on_reconnect(again.set)
    await connection.client._process_err("'maximum payload violation'")
    await asyncio.wait_for(again.wait(), 30)
    assert await Publisher(connection).publish(events.submitted()) == 1


async def test_a_first_connection_that_swallows_a_cancellation_is_given_up_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the client does before Python 3.12 when it comes in the moment of an answer."""
    connects = Client.connect

    async def forgetful(client: Client, *arguments: Any, **options: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await connects(client, *arguments, **options)
        await asyncio.Event().wait()

    monkeypatch.setattr(Client, "connect", forgetful)
    monkeypatch.setattr("bus.connection.CONNECT_TIMEOUT", 0.1)
    async with asyncio.timeout(20):
        with pytest.raises(BusUnavailable):
            async with connect("nats://127.0.0.1:1", name="setup"):
                pass


async def test_cancellation_while_connecting_or_closing_is_not_lost(
    nats_server: NatsServer,
) -> None:
    """The client forgets a cancellation in some of its waits, wherever that happens to hit it."""

    async def come_and_go() -> None:
        async with connect(nats_server.url("setup"), name="setup"):
            pass
        await asyncio.Event().wait()

    async def stopped_after(steps: int) -> None:
        task = asyncio.create_task(come_and_go())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done, f"it goes on when it is cancelled after {steps} steps"
        assert task.cancelled()

    for number in range(80):
        await stopped_after(number)
    # A connection that was left open is a warning here, and not in a later test.
    gc.collect()


async def test_an_abandoned_ping_does_not_end_the_connection(
    connection: Connection,
) -> None:
    reconnects: list[None] = []
    connection.on_reconnect(lambda: reconnects.append(None))
    for _ in range(20):
        flushing = asyncio.create_task(connection.client.flush(5))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        flushing.cancel()
        await asyncio.wait([flushing])
    await connection.client.flush(5)
    await connection.check()
    assert reconnects == []


async def test_leaving_while_the_server_is_down_does_not_hang(
    killable_server: KillableServer,
) -> None:
    async with asyncio.timeout(30):
        async with connect(killable_server.url("operator"), name="test") as connection:
            await killable_server.kill()
            await wait_until(lambda: not connection.connected)


async def test_other_clients_do_not_see_our_answers(
    nats_server: NatsServer, connection: Connection
) -> None:
    """Our replies are outside the inboxes that a publisher may subscribe to."""
    async with RawClient(nats_server.url("publisher-default")) as spy:
        assert await spy.send(b"SUB _INBOX.> 1\r\n") == b""
        await Publisher(connection).publish(events.submitted())
        await connection.check()
        assert await spy.send(b"") == b""
        assert b"Permissions Violation" in await spy.send(b"SUB _ILIOS.> 2\r\n")


SUBJECT = b"ilios.document.submitted.p05.default." + events.id_of(1).encode()
POISON = {
    "a subject that is not UTF-8": publish(b"ilios.document.submitted.p05.\xff\xfe.x", b"{}"),
    "a vertical tab in the subject": publish(b"ilios.document.submitted.p05.a\x0bb.x", b"{}"),
    "a carriage return in the subject": publish(b"ilios.document.submitted.p05.a\rb.x", b"{}"),
    "a NUL in the subject": publish(b"ilios.document.submitted.p05.a\0b.x", b"{}"),
    "a wildcard in the subject": publish(b"ilios.document.submitted.p05.*.>", b"{}"),
    "a very long subject": publish(b"ilios.document.submitted.p05." + b"z" * 4000, b"{}"),
    "a header of one byte": publish(SUBJECT, b"{}", header=b"N"),
    "a header without an end": publish(SUBJECT, b"{}", header=b"NATS/1.0"),
    "a header that is not UTF-8": publish(SUBJECT, b"", header=b"NATS/1.0\r\n\xff: \xff\r\n\r\n"),
    "a status that is not UTF-8": publish(SUBJECT, b"", header=b"NATS/1.0 \xff\xff \xff\r\n\r\n"),
    "a status": publish(SUBJECT, b"", header=b"NATS/1.0 409 Consumer Deleted\r\n\r\n"),
    "the end of the consumer": publish(
        SUBJECT,
        b"",
        header=b"NATS/1.0\r\nStatus: 409\r\nDescription: Consumer Deleted\r\n\r\n",
    ),
    "an idle heartbeat": publish(SUBJECT, b"", header=b"NATS/1.0\r\nStatus: 100\r\n\r\n"),
}


@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
async def test_no_message_on_the_log_stops_reading(
    nats_server: NatsServer, connection: Connection, poison: bytes
) -> None:
    async with RawClient(nats_server.url("operator")) as publisher:
        assert await publisher.send(poison) == b""
        assert await publisher.send(publish(SUBJECT, b"after")) == b""
    reader = Reader(connection, "test", "A test", (DocumentSubmitted,))
    async with asyncio.timeout(30), reader.read_after(0, 10) as reading:
        bodies: list[bytes] = []
        while len(bodies) < 2:
            bodies += [delivery.body for delivery in await reading.fetch(10)]
    assert bodies[-1] == b"after"
    assert await Publisher(connection).publish(events.submitted(2)) == 3


async def test_the_streams_are_made_once_and_left_alone(connection: Connection) -> None:
    js = connection.jetstream
    config = (await js.stream_info(streams.EVENTS)).config
    await js.update_stream(config.evolve(max_age=24 * 3600.0))
    await streams.ensure(js)
    assert (await js.stream_info(streams.EVENTS)).config.max_age == 24 * 3600.0


async def test_a_log_that_is_created_reaches_back_as_far_as_set(connection: Connection) -> None:
    js = connection.jetstream
    await js.delete_stream(streams.EVENTS)
    await streams.ensure(js, max_age=3 * 24 * 3600.0)
    assert (await js.stream_info(streams.EVENTS)).config.max_age == 3 * 24 * 3600.0
    assert await streams.age_advice(js, 3 * 24 * 3600.0) is None


async def test_the_age_of_an_existing_log_is_left_alone_and_the_command_returned(
    connection: Connection,
) -> None:
    js = connection.jetstream
    await streams.ensure(js, owned=True, max_age=14 * 24 * 3600.0)
    assert (await js.stream_info(streams.EVENTS)).config.max_age == streams.EVENTS_MAX_AGE
    advice = await streams.age_advice(js, 14 * 24 * 3600.0)
    assert advice is not None
    assert "reaches back 168 hours" in advice
    assert advice.endswith("nats stream edit ILIOS_EVENTS --max-age 336h")


async def test_an_older_window_of_the_bus_inside_is_shortened_and_nothing_else(
    connection: Connection,
) -> None:
    js = connection.jetstream
    await Publisher(connection).publish(events.submitted())
    for name in (streams.EVENTS, streams.DEAD_LETTERS):
        config = (await js.stream_info(name)).config
        await js.update_stream(config.evolve(duplicate_window=600.0, max_age=24 * 3600.0))
    assert await streams.ensure(js, owned=True) == []
    found = await js.stream_info(streams.EVENTS)
    assert found.config.duplicate_window == streams.DUPLICATE_WINDOW
    assert found.config.max_age == 24 * 3600.0
    assert found.state.messages == 1
    letters = (await js.stream_info(streams.DEAD_LETTERS)).config
    assert letters.duplicate_window == streams.DEAD_LETTER_WINDOW


async def test_an_older_window_of_another_bus_is_left_alone_and_reported_with_the_command(
    connection: Connection,
) -> None:
    js = connection.jetstream
    config = (await js.stream_info(streams.EVENTS)).config
    await js.update_stream(config.evolve(duplicate_window=600.0))
    (advice,) = await streams.ensure(js)
    assert "nats stream edit ILIOS_EVENTS --dupe-window 0.5s" in advice
    assert (await js.stream_info(streams.EVENTS)).config.duplicate_window == 600.0


async def test_a_shorter_window_of_its_owner_stays(connection: Connection) -> None:
    js = connection.jetstream
    config = (await js.stream_info(streams.EVENTS)).config
    await js.update_stream(config.evolve(duplicate_window=0.2))
    assert await streams.ensure(js, owned=True) == []
    assert (await js.stream_info(streams.EVENTS)).config.duplicate_window == 0.2


async def test_streams_on_a_server_that_does_not_answer_are_an_error(
    killable_server: KillableServer,
) -> None:
    async with connect(killable_server.url("operator"), name="test") as connection:
        await killable_server.kill()
        await wait_until(lambda: not connection.connected)
        js = connection.client.jetstream(timeout=0.2)
        with pytest.raises(BusUnavailable, match=streams.EVENTS):
            await streams.ensure(js)


async def test_a_recreated_stream_has_another_identity(connection: Connection) -> None:
    publisher = Publisher(connection)
    before = await streams.identity(connection.jetstream)
    await publisher.publish(events.submitted())
    grown = await streams.identity(connection.jetstream)
    assert (grown.created, grown.last_sequence) == (before.created, 1)
    await connection.jetstream.delete_stream(streams.EVENTS)
    await streams.ensure(connection.jetstream)
    after = await streams.identity(connection.jetstream)
    assert after.created != before.created
    assert after.last_sequence == 0
