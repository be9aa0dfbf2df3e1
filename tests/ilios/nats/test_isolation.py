"""Accounts of two tenants on one server: nothing of the one can be reached or seen by the other."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import nats
import pytest
from nats.aio.client import Client

from bus import streams
from bus.connection import Connection, connect
from bus.micro import Lane, Request, Service, ServiceReply
from ilios.edge.bus_service.operations import OPERATIONS
from ilios.edge.bus_service.service import endpoint
from ilios.nats.server import NatsServer, embedded
from ilios.nats.users import DISCOVERY_SUBJECTS, NOBODY, REQUEST_SUBJECTS, publisher_name
from tests import events
from tests.bus.raw_client import RawClient, publish

OURS, THEIRS = "ours", "theirs"
VIOLATION = b"Permissions Violation"


class Import(NamedTuple):
    """One import of a tenant's account: its subject there, and that of the service's account."""

    kind: str
    local: str
    remote: str


class Grants(NamedTuple):
    """What the configuration gives to one tenant."""

    imports: list[Import]
    publish: list[str]
    subscribe: list[str]


class Bus(NamedTuple):
    """A server with both tenants, and the requests that its service has received."""

    server: NatsServer
    operator: Connection
    requests: list[Request]
    grants: dict[str, Grants]


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    requests: list[Request] = []

    async def answer(request: Request) -> ServiceReply:
        requests.append(request)
        return ServiceReply(b"the answer for " + request.subject.encode())

    async with (
        embedded(tmp_path, 0, (OURS, THEIRS)) as server,
        connect(server.url("operator"), name="operator") as operator,
        connect(server.url("edge"), name="edge") as edge,
    ):
        await streams.ensure(operator.jetstream)
        service = Service(
            edge,
            answer,
            tuple(map(endpoint, OPERATIONS)),
            name="ilios",
            version="1.0.0",
            description="",
            metadata={},
        )
        lanes = [Lane(edge, (OURS,)), Lane(edge, (THEIRS,))]
        async with service.running(lanes, lambda: None, 1):
            text = (tmp_path / "publishers.conf").read_text()
            yield Bus(server, operator, requests, dict(grants(text)))
        assert edge.permission_violations.count == 0


def grants(configuration: str) -> Iterator[tuple[str, Grants]]:
    """Return what each account of the configuration imports, and what its user may do."""
    for account in re.split(r"(?m)^PUBLISHER_", configuration)[1:]:
        tenant = account.split(" ", 1)[0]
        imports = [
            Import(kind, local or remote, remote)
            for kind, remote, local in re.findall(
                r'(service|stream): \{ account: \w+, subject: "([^"]+)" \}(?:, to: "([^"]+)")?',
                account,
            )
        ]
        lists = [re.findall(r'"([^"]+)"', one) for one in re.findall(r"allow: \[(.*?)\]", account)]
        assert account.count("account:") == len(imports), "an import in another form"
        yield tenant, Grants(imports, *lists)


@asynccontextmanager
async def publisher(bus: Bus, tenant: str) -> AsyncIterator[Client]:
    """Connect as any NATS client does, with the credentials of a tenant."""
    client = await nats.connect(bus.server.url(publisher_name(tenant)))
    try:
        yield client
    finally:
        await client.close()


def concrete(subject: str) -> str:
    """Return a subject that fits a pattern."""
    name = events.id_of(1)
    return subject.replace(".*.", ".p05.").replace(".*", f".{name}").replace(">", name)


def test_an_account_imports_what_has_its_tenant_in_the_subject_and_the_discovery(bus: Bus) -> None:
    assert set(bus.grants) == {OURS, THEIRS}
    for tenant, granted in bus.grants.items():
        open_to_all = {*DISCOVERY_SUBJECTS, NOBODY}
        named = [one for one in granted.imports if one.remote not in open_to_all]
        assert len(named) > len(REQUEST_SUBJECTS)
        for subject in [one.remote for one in named] + granted.publish:
            shared = subject in REQUEST_SUBJECTS or subject in DISCOVERY_SUBJECTS
            assert shared or tenant in re.split(r"[._-]", subject), subject
        shorter = {one.local: one.remote for one in named if one.local != one.remote}
        assert shorter == {subject: f"{subject}.{tenant}" for subject in REQUEST_SUBJECTS}


async def test_a_request_is_that_of_its_account_whatever_its_sender_does(bus: Bus) -> None:
    for tenant in (OURS, THEIRS):
        async with publisher(bus, tenant) as client:
            for subject in REQUEST_SUBJECTS:
                reply = await client.request(subject, b"{}", timeout=5)
                assert reply.data.decode() == f"the answer for {subject}.{tenant}"
    assert {one.subject.rpartition(".")[2] for one in bus.requests} == {OURS, THEIRS}


async def test_every_subject_of_the_other_is_refused(bus: Bus) -> None:
    ours, theirs = bus.grants[OURS], bus.grants[THEIRS]
    common = {*REQUEST_SUBJECTS, *DISCOVERY_SUBJECTS}
    common.add(NOBODY)
    subjects = {one.remote for one in ours.imports} | {*ours.publish}
    subjects |= {f"{subject}.{OURS}" for subject in REQUEST_SUBJECTS}
    subjects |= {f"{subject}.>" for subject in REQUEST_SUBJECTS}
    assert len(subjects - common) > 20
    async with RawClient(bus.server.url(publisher_name(THEIRS))) as thief:
        for subject in sorted(subjects - common):
            sent = publish(concrete(subject).encode(), b"{}", reply=b"_INBOX.x")
            assert VIOLATION in await thief.send(sent), subject
    assert theirs.subscribe == ours.subscribe
    assert bus.requests == []
    state = (await bus.operator.jetstream.stream_info(streams.EVENTS)).state
    assert state.messages == 0


async def test_no_export_is_open_to_a_tenant_beyond_its_own_subjects(
    bus: Bus, tmp_path: Path
) -> None:
    text = (tmp_path / "nats.conf").read_text()
    exported = set(re.findall(r'^ +\{ service: "([^"]+)"', text, re.MULTILINE))
    assert {"ilios.api.*.*", "$SRV.>", "ilios.document.submitted.*.*.*"} <= exported
    async with RawClient(bus.server.url(publisher_name(THEIRS))) as thief:
        for subject in sorted(exported - {*DISCOVERY_SUBJECTS}):
            tried = subject.replace("*", OURS).replace(">", f"STATS.{OURS}")
            sent = publish(tried.encode(), b"{}", reply=b"_INBOX.x")
            assert VIOLATION in await thief.send(sent), subject


SECRET_PLACES = [
    ">",
    "*",
    "*.*",
    "_R_.>",
    "$SRV.>",
    "$SRV.STATS.>",
    "$JS.EVENT.ADVISORY.>",
    "$JS.API.>",
    "$SYS.>",
    "_ILIOS.>",
    "ilios.>",
    "ilios.api.>",
    "ilios.api.submit",
    f"ilios.api.*.{OURS}",
    f"ilios.document.submitted.*.{OURS}.*",
]


@pytest.mark.parametrize("subject", SECRET_PLACES)
async def test_nobody_listens_where_requests_answers_and_advisories_are(
    bus: Bus, subject: str
) -> None:
    async with RawClient(bus.server.url(publisher_name(THEIRS))) as spy:
        assert VIOLATION in await spy.send(b"SUB %s 1\r\n" % subject.encode())
        assert VIOLATION in await spy.send(b"SUB %s q 2\r\n" % subject.encode())


async def test_whoever_subscribes_to_all_it_may_receives_nothing_of_the_other(bus: Bus) -> None:
    async with (
        RawClient(bus.server.url(publisher_name(THEIRS))) as spy,
        RawClient(bus.server.url(publisher_name(OURS))) as client,
    ):
        for number, subject in enumerate(bus.grants[THEIRS].subscribe):
            assert await spy.send(b"SUB %s %d\r\n" % (subject.encode(), number)) == b""
        answers = await client.send(b"SUB _INBOX.known 1\r\n")
        for subject in (*REQUEST_SUBJECTS, *DISCOVERY_SUBJECTS):
            answers += await client.send(publish(subject.encode(), b"{}", reply=b"_INBOX.known"))
        document = f"ilios.document.submitted.p05.{OURS}.{events.id_of(1)}".encode()
        answers += await client.send(publish(document, b"{}", reply=b"_INBOX.known"))
        for one in bus.grants[OURS].imports:
            if one.kind == "stream":
                await bus.operator.client.publish(concrete(one.remote), b"of ours")
        await bus.operator.client.flush()
        async with asyncio.timeout(10):
            while answers.count(b"MSG ") < len(REQUEST_SUBJECTS) + len(DISCOVERY_SUBJECTS) + 1:
                answers += await client.send(b"")
        assert await spy.send(b"") == b""


async def test_an_answer_cannot_be_sent_to_the_other_nor_be_made_a_request(bus: Bus) -> None:
    async with (
        RawClient(bus.server.url(publisher_name(OURS))) as victim,
        RawClient(bus.server.url(publisher_name(THEIRS))) as thief,
    ):
        assert await victim.send(b"SUB _INBOX.> 1\r\n") == b""
        assert await victim.send(b"SUB ilios.document.completed.> 2\r\n") == b""
        forged = f"ilios.document.completed.p05.{OURS}.{events.id_of(1)}"
        for reply in ("_INBOX.x", forged, "ilios.api.submit", f"ilios.api.submit.{OURS}"):
            await thief.send(publish(b"ilios.api.status", b"{}", reply=reply.encode()))
        for reply in ("_R_.x", "$JS.API.STREAM.PURGE.ILIOS_EVENTS"):
            await thief.send(publish(b"ilios.api.status", b"{}", reply=reply.encode()))
        await asyncio.sleep(0.1)  # nothing is to come
        assert await victim.send(b"") == b""
    assert {one.subject for one in bus.requests} == {f"ilios.api.status.{THEIRS}"}


async def test_the_service_is_found_without_its_counters(bus: Bus) -> None:
    await bus.operator.request(f"ilios.api.usage.{OURS}", b"{}")
    found: dict[str, str] = {}
    async with publisher(bus, THEIRS) as client:
        for subject in DISCOVERY_SUBJECTS:
            found = json.loads((await client.request(subject, b"", timeout=5)).data)
            assert found["name"] == "ilios"
            assert {"started", "stats"}.isdisjoint(found)
            assert "num_requests" not in json.dumps(found)
            assert OURS not in json.dumps(found)
    for subject in (
        "$SRV.STATS",
        "$SRV.STATS.ilios",
        f"$SRV.PING.ilios.{found['id']}",
        "$SRV.PING.ilios-core",
        "$SRV.STATS.ilios-worker",
        "ilios.host.core.1",
    ):
        async with RawClient(bus.server.url(publisher_name(THEIRS))) as spy:
            sent = publish(subject.encode(), b"", reply=b"_INBOX.x")
            assert VIOLATION in await spy.send(sent), subject
    counted = json.loads((await bus.operator.request("$SRV.STATS.ilios", b"")).body)
    assert sum(one["num_requests"] for one in counted["endpoints"]) == 1
