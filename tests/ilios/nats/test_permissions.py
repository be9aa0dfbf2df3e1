"""Users of the embedded nats-server, and what each may publish and subscribe to."""

import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import nats.errors
import pytest
from msgspec import structs
from nats.aio.client import Client

from bus import streams
from bus.connection import Connection, connect
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios.nats.server import NatsServer, embedded
from ilios.nats.users import ROLES, publisher_name
from tests import batch_events, events
from tests.bus.raw_client import RawClient, publish
from tests.waiting import wait_until

TENANTS = ("default", "acme")
OURS, THEIRS = map(publisher_name, TENANTS)
SUBJECT = f"ilios.document.submitted.p05.default.{events.id_of(1)}".encode()
BATCH = f"ilios.batch.submitted.default.{batch_events.id_of()}".encode()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_credentials_are_for_the_owner_alone_and_stay_what_they_are(tmp_path: Path) -> None:
    directory = tmp_path / "nats"
    before = os.umask(0)
    try:
        async with embedded(directory, 0, TENANTS) as first:
            users = ("operator", *ROLES, *map(publisher_name, TENANTS))
            urls = [first.url(user) for user in users]
            files = [path for path in directory.iterdir() if path.is_file()]
            assert {path.name for path in files if mode(path) != 0o600} == set()
            assert mode(directory) == mode(directory / "jetstream") == 0o700
            for user in ("operator", *map(publisher_name, TENANTS)):
                assert first.url_file(user).read_text().strip() == first.url(user)
            assert first.url_file("publisher").read_text().strip() == first.url(OURS)
        async with embedded(directory, first.port, TENANTS) as second:
            assert [second.url(user) for user in users] == urls
    finally:
        os.umask(before)


async def test_a_tenant_that_is_gone_has_no_user_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.connection.CONNECT_TIMEOUT", 1.0)
    async with embedded(tmp_path, 0, TENANTS) as server:
        url = server.url(THEIRS)
        port = server.port
    async with embedded(tmp_path, port, ("default",)) as server:
        assert not server.url_file(THEIRS).exists()
        with pytest.raises(BusUnavailable):
            async with connect(url, name="test"):
                pytest.fail("the URL should be refused")


async def test_no_password_stands_in_the_command_line(nats_server: NatsServer) -> None:
    command = Path(f"/proc/{nats_server.pid}/cmdline").read_bytes().decode()
    for user in ("operator", *ROLES, OURS):
        assert nats_server.url(user).split(":")[2].split("@")[0] not in command


async def test_nobody_comes_in_without_a_password(nats_server: NatsServer) -> None:
    for credentials in ("", "edge:@", "publisher-default:guess@"):
        client = Client()
        with pytest.raises(nats.errors.Error):
            await client.connect(
                f"nats://{credentials}127.0.0.1:{nats_server.port}", allow_reconnect=False
            )
        await client.close()


async def test_it_listens_on_one_port_of_this_machine_and_on_no_other(
    nats_server: NatsServer,
) -> None:
    process = Path(f"/proc/{nats_server.pid}")
    files = {os.path.basename(os.path.realpath(file)) for file in (process / "fd").iterdir()}
    tables = ((process / "net" / name).read_text() for name in ("tcp", "tcp6"))
    lines = [line.split() for table in tables for line in table.splitlines()[1:]]
    ours = [line for line in lines if f"socket:[{line[9]}]" in files]
    listening = [line[1] for line in ours if line[3] == "0A"]
    assert listening == [f"0100007F:{nats_server.port:04X}"], "and no monitoring port"


async def test_a_permission_violation_of_a_role_is_recorded(nats_server: NatsServer) -> None:
    async with connect(nats_server.url("ocr"), name="ocr") as ocr:
        await ocr.client.publish("ilios.document.completed.x", b"")
        await wait_until(lambda: ocr.permission_violations.count == 1)
    (problem,) = ocr.permission_violations.problems
    assert problem.startswith("ocr may not publish to ilios.document.completed.x")


async def test_a_wrong_password_for_the_service_is_a_bus_error(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.connection.CONNECT_TIMEOUT", 1.0)
    url = nats_server.url("operator").replace("operator:", "edge:")
    with pytest.raises(BusUnavailable, match=r"(?i)authorization"):
        async with connect(url, name="test"):
            pytest.fail("the password is not the edge's")


async def holds(connection: Connection, messages: int) -> bool:
    state = (await connection.jetstream.stream_info(streams.EVENTS)).state
    return state.messages == messages


FORBIDDEN = [
    f"ilios.document.{event}.p05.default.{events.id_of(1)}"
    for event in ("fetched", "converted", "completed", "failed", "deleted")
] + [
    f"ilios.batch.completed.default.{batch_events.id_of()}",
    "ilios.batch.submitted",
    f"ilios.page.default.{events.id_of(1)}",
    "ilios.janitor.swept",
    "ilios.dead.submitted.default.x",
    "ilios.document.submitted",
    f"ilios.document.submitted.p05.acme.{events.id_of(1)}",
    f"ilios.batch.submitted.acme.{batch_events.id_of()}",
    "$JS.API.STREAM.DELETE.ILIOS_EVENTS",
    "$JS.API.STREAM.PURGE.ILIOS_EVENTS",
    "$JS.API.DIRECT.GET.ILIOS_EVENTS",
    "$JS.API.STREAM.INFO.ILIOS_EVENTS",
    "$JS.API.STREAM.INFO.OBJ_ilios-uploads-acme",
    "$JS.API.STREAM.PURGE.OBJ_ilios-uploads-acme",
    "$JS.API.STREAM.DELETE.OBJ_ilios-uploads-default",
    "$JS.API.STREAM.UPDATE.OBJ_ilios-uploads-default",
    "$JS.API.CONSUMER.CREATE.OBJ_ilios-uploads-default.x",
    "$JS.API.DIRECT.GET.OBJ_ilios-uploads-acme.$O.ilios-uploads-acme.M.YQ==",
    "$JS.API.INFO",
    "$O.ilios-uploads-acme.C.x",
    "$O.ilios-uploads-acme.M.x",
    "$JS.API.CONSUMER.MSG.NEXT.ILIOS_EVENTS.ocr-normal",
    "$JS.ACK.ILIOS_EVENTS.ocr-normal.1.1.1.1.0",
    "_ILIOS.x",
    "_INBOX.x",
]


async def test_a_publisher_may_submit_and_nothing_else(
    nats_server: NatsServer, connection: Connection
) -> None:
    async with RawClient(nats_server.url(OURS)) as publisher:
        for subject in FORBIDDEN:
            answer = await publisher.send(publish(subject.encode(), b""))
            assert b"Permissions Violation" in answer, subject
        assert await publisher.send(publish(SUBJECT, b"")) == b""
        assert await publisher.send(publish(BATCH, b"")) == b""
    await wait_until(lambda: holds(connection, 2))


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


async def test_a_publisher_receives_terminal_events_and_nothing_else(
    nats_server: NatsServer, connection: Connection
) -> None:
    async with RawClient(nats_server.url(OURS)) as publisher:
        for subject in HIDDEN:
            answer = await publisher.send(b"SUB %s 1\r\n" % subject.encode())
            assert b"Permissions Violation" in answer, subject
        assert await publisher.send(b"SUB ilios.document.completed.> 2\r\n") == b""
        await Publisher(connection).publish(events.completed())
        assert b"document.completed/1" in await publisher.read_until(b"}\r\n")
        assert await publisher.send(b"SUB ilios.document.cancelled.> 4\r\n") == b""
        await Publisher(connection).publish(events.cancelled())
        assert b"document.cancelled/1" in await publisher.read_until(b"}\r\n")
        assert await publisher.send(b"SUB ilios.batch.completed.> 3\r\n") == b""
        await Publisher(connection).publish(batch_events.completed())
        assert b"batch.completed/1" in await publisher.read_until(b"}\r\n")


async def test_who_deletes_objects_can_purge_no_stream_of_the_service(
    nats_server: NatsServer, connection: Connection
) -> None:
    """It may purge any but those that `nats.conf` names: a further one has to be named as well."""
    names = [info.config.name for info in await connection.jetstream.streams_info()]
    assert set(names) >= {streams.EVENTS, streams.DEAD_LETTERS}
    async with RawClient(nats_server.url("objects")) as client:
        for name in names:
            order = f"$JS.API.STREAM.PURGE.{name}".encode()
            assert b"Permissions Violation" in await client.send(publish(order, b"")), name


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


async def test_a_publisher_cannot_send_commands_by_its_reply_subject(
    nats_server: NatsServer, connection: Connection
) -> None:
    """The server publishes the acknowledgement there, without permissions."""
    js = connection.jetstream
    await Publisher(connection).publish(events.submitted(2))
    await js.add_consumer(streams.EVENTS, durable_name="victim")
    before = (await js.consumer_info(streams.EVENTS, "victim")).config
    async with RawClient(nats_server.url(OURS)) as publisher:
        for number, order in enumerate(ORDERS, start=2):
            await publisher.send(publish(SUBJECT, b"", reply=order.encode()))
            await wait_until(partial(holds, connection, number))
            assert (await js.consumer_info(streams.EVENTS, "victim")).config == before, order
    await Publisher(connection).publish(events.submitted(3))
    await connection.check()
    assert await holds(connection, len(ORDERS) + 2)
    assert (await js.consumer_info(streams.EVENTS, "victim")).config == before
    assert len(await js.consumers_info(streams.EVENTS)) == 1


@pytest.fixture
async def two_tenants(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A bus with two tenants, on which the streams exist."""
    async with embedded(tmp_path / "nats", 0, TENANTS) as server:
        async with connect(server.url("operator"), name="tests") as connection:
            await streams.ensure(connection.jetstream)
        yield server


async def test_a_publisher_receives_events_of_its_own_tenant_only(two_tenants: NatsServer) -> None:
    ours, theirs = events.completed(), structs.replace(events.completed(), tenant="acme")
    async with (
        connect(two_tenants.url("operator"), name="tests") as connection,
        RawClient(two_tenants.url(THEIRS)) as listener,
    ):
        for number, event in enumerate(("completed", "failed", "cancelled")):
            assert (
                await listener.send(b"SUB ilios.document.%s.> %d\r\n" % (event.encode(), number))
                == b""
            )
        await Publisher(connection).publish(ours)
        await Publisher(connection).publish(theirs)
        received = await listener.read_until(b"}\r\n")
    assert received.count(b"MSG ") == 1
    assert b".acme." in received


async def test_events_about_pages_reach_the_edge_and_their_own_tenant_only(
    two_tenants: NatsServer,
) -> None:
    def subject(tenant: str) -> bytes:
        return f"ilios.page.{tenant}.{events.id_of(1)}".encode()

    async with (
        RawClient(two_tenants.url("ocr")) as ocr,
        RawClient(two_tenants.url("edge")) as edge,
        RawClient(two_tenants.url(THEIRS)) as listener,
    ):
        assert await listener.send(b"SUB ilios.page.> 1\r\n") == b""
        assert await edge.send(b"SUB ilios.page.*.* 1\r\n") == b""
        assert await ocr.send(publish(subject("default"), b"{1}")) == b""
        assert await ocr.send(publish(subject("acme"), b"{2}")) == b""
        assert b"{1}" in await edge.read_until(b"{2}\r\n")
        received = await listener.read_until(b"}\r\n")
        assert received.count(b"MSG ") == 1
        assert b".acme." in received
        for other in (edge, listener):
            assert b"Permissions Violation" in await other.send(publish(subject("acme"), b""))


async def test_drafts_of_pages_are_for_the_edge_and_not_for_publishers(
    two_tenants: NatsServer,
) -> None:
    subject = f"ilios.pages.{TENANTS[0]}.{events.id_of(1)}".encode()
    async with (
        RawClient(two_tenants.url("ocr")) as ocr,
        RawClient(two_tenants.url("edge")) as edge,
        RawClient(two_tenants.url(OURS)) as publisher,
    ):
        assert await ocr.send(b"SUB ilios.pages.*.* 1\r\n") == b""
        assert await edge.send(b"SUB _ILIOS.edge.x 1\r\n") == b""
        await edge.send(publish(subject, b"", reply=b"_ILIOS.edge.x"))
        request = (await ocr.read_until(b"\r\n\r\n\r\n")).split()
        assert await ocr.send(publish(request[3], b"{pages}")) == b""
        assert b"{pages}" in await edge.read_until(b"}\r\n")
        assert b"Permissions Violation" in await publisher.send(publish(subject, b""))


async def test_publishers_cannot_reach_each_other(two_tenants: NatsServer) -> None:
    """Where one may listen as a whole, another may want its answers."""
    async with (
        RawClient(two_tenants.url(THEIRS)) as spy,
        RawClient(two_tenants.url(OURS)) as publisher,
    ):
        assert await spy.send(b"SUB _INBOX.> 1\r\n") == b""
        assert await publisher.send(b"SUB _INBOX.x 1\r\n") == b""
        await publisher.send(publish(SUBJECT, b"", reply=b"_INBOX.x"))
        assert b"ILIOS_EVENTS" in await publisher.read_until(b"}\r\n")
        assert await spy.send(b"") == b""


MAY_PUBLISH = {
    "edge": {"submitted", "cancelled", "deleted"},
    "fetcher": {"fetched", "failed"},
    "ocr": {"converted", "failed"},
    "batcher": {"converted", "fetched"},
    "persister": {"completed"},
    "aggregator": {"submitted"},
    "janitor": {"submitted", "fetched", "failed", "archived", "deleted"},
    "objects": set(),
}
EVENT_NAMES = MAY_PUBLISH["persister"].union(*MAY_PUBLISH.values(), {"converted"})


async def test_a_role_publishes_its_own_events_and_no_others(
    nats_server: NatsServer, connection: Connection
) -> None:
    for role in ROLES:
        async with RawClient(nats_server.url(role)) as client:
            for name in sorted(EVENT_NAMES):
                subject = f"ilios.document.{name}.p05.default.{events.id_of(1)}"
                is_refused = b"Permissions Violation" in await client.send(
                    publish(subject.encode(), b"")
                )
                assert is_refused == (name not in MAY_PUBLISH[role]), (role, name)
    await wait_until(lambda: holds(connection, sum(map(len, MAY_PUBLISH.values()))))


async def test_no_role_can_delete_the_log(nats_server: NatsServer, connection: Connection) -> None:
    for role in ROLES:
        async with RawClient(nats_server.url(role)) as client:
            for order in ORDERS:
                if order != "$JS.API.CONSUMER.RESET.ILIOS_EVENTS.victim":
                    answer = await client.send(publish(order.encode(), b""))
                    assert b"Permissions Violation" in answer, (role, order)
            for stranger in {*ROLES} - {role}:
                answer = await client.send(b"SUB _ILIOS.%s.> 1\r\n" % stranger.encode())
                assert b"Permissions Violation" in answer, (role, stranger)


async def test_the_edge_cannot_send_commands_by_its_reply_subject(
    nats_server: NatsServer, connection: Connection
) -> None:
    js = connection.jetstream
    await Publisher(connection).publish(events.submitted(2))
    await js.add_consumer(streams.EVENTS, durable_name="victim")
    orders = [*ORDERS, f"ilios.document.converted.p05.default.{events.id_of(1)}"]
    async with RawClient(nats_server.url("edge")) as edge:
        for number, order in enumerate(orders, start=2):
            await edge.send(publish(SUBJECT, b"", reply=order.encode()))
            query = b'{"seq":1}'
            get = b"$JS.API.DIRECT.GET.ILIOS_EVENTS"
            await edge.send(publish(get, query, reply=order.encode()))
            await wait_until(partial(holds, connection, number))
    await connection.check()
    assert await holds(connection, len(orders) + 1)
    assert len(await js.consumers_info(streams.EVENTS)) == 1
