"""Who may come in on the bus inside, and what they may say and hear."""

import os
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client

from bus import streams
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios.nats_server import NatsServer, embedded
from tests import batch_events, events
from tests.bus.raw import RawClient, publish
from tests.waiting import until

SUBJECT = f"ilios.document.submitted.p05.default.{events.name(1)}".encode()
BATCH = f"ilios.batch.submitted.default.{batch_events.name()}".encode()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_credentials_are_for_the_owner_alone_and_stay_what_they_are(tmp_path: Path) -> None:
    directory = tmp_path / "nats"
    before = os.umask(0)
    try:
        async with embedded(directory, 0) as first:
            url = first.url("publisher")
            files = [
                directory / "credentials.json",
                *map(first.url_file, ("operator", "publisher")),
            ]
            assert [mode(file) for file in files] == [0o600] * 3
            assert mode(directory) == mode(directory / "jetstream") == 0o700
            assert first.url_file("publisher").read_text().strip() == url
        async with embedded(directory, first.port) as second:
            assert second.url("publisher") == url
    finally:
        os.umask(before)


async def test_no_password_stands_in_the_command_line(nats_server: NatsServer) -> None:
    command = Path(f"/proc/{nats_server.pid}/cmdline").read_bytes().decode()
    for user in ("ilios", "operator", "publisher"):
        assert nats_server.url(user).split(":")[2].split("@")[0] not in command


async def test_nobody_comes_in_without_a_password(nats_server: NatsServer) -> None:
    for credentials in ("", "ilios:@", "publisher:guess@"):
        client = Client()
        with pytest.raises(nats.errors.Error):
            await client.connect(
                f"nats://{credentials}127.0.0.1:{nats_server.port}", allow_reconnect=False
            )
        await client.close()


async def test_it_listens_on_this_machine_only(nats_server: NatsServer) -> None:
    lines = Path(f"/proc/{nats_server.pid}/net/tcp").read_text().splitlines()[1:]
    port = f"{nats_server.port:04X}"
    listening = {line.split()[1] for line in lines if line.split()[3] == "0A"}
    assert {address for address in listening if address.endswith(":" + port)} == {
        f"0100007F:{port}"
    }


async def test_a_wrong_password_for_the_service_is_an_error_in_our_words(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.connection.CONNECT_WITHIN", 0.3)
    url = nats_server.url("ilios").replace("ilios:", "operator:")
    with pytest.raises(BusUnavailable):
        async with connect(url, name="test"):
            pytest.fail("the password is not the operator's")


async def holds(connection: Connection, messages: int) -> bool:
    state = (await connection.jetstream.stream_info(streams.EVENTS)).state
    return state.messages == messages


FORBIDDEN = [
    f"ilios.document.{event}.p05.default.{events.name(1)}"
    for event in ("fetched", "converted", "completed", "failed", "deleted")
] + [
    f"ilios.batch.completed.default.{batch_events.name()}",
    "ilios.batch.submitted",
    "ilios.janitor.swept",
    "ilios.dead.submitted.default.x",
    "ilios.document.submitted",
    "$JS.API.STREAM.DELETE.ILIOS_EVENTS",
    "$JS.API.STREAM.PURGE.ILIOS_EVENTS",
    "$JS.API.DIRECT.GET.ILIOS_EVENTS",
    "$JS.API.CONSUMER.MSG.NEXT.ILIOS_EVENTS.ocr-normal",
    "$JS.ACK.ILIOS_EVENTS.ocr-normal.1.1.1.1.0",
    "_ILIOS.x",
    "_INBOX.x",
]


@pytest.mark.parametrize("subject", FORBIDDEN)
async def test_a_publisher_may_submit_and_nothing_else(
    nats_server: NatsServer, connection: Connection, subject: str
) -> None:
    async with RawClient(nats_server.url("publisher")) as publisher:
        assert b"Permissions Violation" in await publisher.say(publish(subject.encode(), b""))
        assert await publisher.say(publish(SUBJECT, b"")) == b""
        assert await publisher.say(publish(BATCH, b"")) == b""
    await until(lambda: holds(connection, 2))


HIDDEN = [
    ">",
    "ilios.>",
    "ilios.document.submitted.>",
    "ilios.batch.submitted.>",
    "ilios.dead.>",
    "$JS.>",
    "_ILIOS.>",
    "$SYS.>",
]


@pytest.mark.parametrize("subject", HIDDEN)
async def test_a_publisher_hears_how_documents_end_and_nothing_else(
    nats_server: NatsServer, connection: Connection, subject: str
) -> None:
    async with RawClient(nats_server.url("publisher")) as publisher:
        line = b"SUB %s 1\r\n" % subject.encode()
        assert b"Permissions Violation" in await publisher.say(line)
        assert await publisher.say(b"SUB ilios.document.completed.> 2\r\n") == b""
        await Publisher(connection).say(events.completed())
        assert b"document.completed/1" in await publisher.listen(b"}\r\n")
        assert await publisher.say(b"SUB ilios.document.cancelled.> 4\r\n") == b""
        await Publisher(connection).say(events.cancelled())
        assert b"document.cancelled/1" in await publisher.listen(b"}\r\n")
        assert await publisher.say(b"SUB ilios.batch.completed.> 3\r\n") == b""
        await Publisher(connection).say(batch_events.completed())
        assert b"batch.completed/1" in await publisher.listen(b"}\r\n")


ORDERS = [
    "$JS.API.STREAM.PURGE.ILIOS_EVENTS",
    "$JS.API.STREAM.DELETE.ILIOS_EVENTS",
    "$JS.API.STREAM.UPDATE.ILIOS_EVENTS",
    "$JS.API.STREAM.MSG.DELETE.ILIOS_EVENTS",
    "$JS.API.CONSUMER.DELETE.ILIOS_EVENTS.victim",
    "$JS.API.CONSUMER.PAUSE.ILIOS_EVENTS.victim",
    "$JS.API.CONSUMER.RESET.ILIOS_EVENTS.victim",
    "$JS.API.CONSUMER.CREATE.ILIOS_EVENTS",
]


@pytest.mark.parametrize("order", ORDERS)
async def test_a_publisher_gives_no_orders_by_where_it_wants_its_answer(
    nats_server: NatsServer, connection: Connection, order: str
) -> None:
    """The server itself says the acknowledgement there, and what it says nobody forbids."""
    js = connection.jetstream
    await Publisher(connection).say(events.submitted(2))
    await js.add_consumer(streams.EVENTS, durable_name="victim")
    before = (await js.consumer_info(streams.EVENTS, "victim")).config
    async with RawClient(nats_server.url("publisher")) as publisher:
        await publisher.say(publish(SUBJECT, b"", reply=order.encode()))
    await until(lambda: holds(connection, 2))
    await Publisher(connection).say(events.submitted(3))
    await connection.check()
    assert await holds(connection, 3)
    assert (await js.consumer_info(streams.EVENTS, "victim")).config == before
    assert len(await js.consumers_info(streams.EVENTS)) == 1
