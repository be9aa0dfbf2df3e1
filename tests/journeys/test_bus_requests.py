"""Requests on the bus of a service that stops, is killed, or has a bus of its operator's."""

import asyncio
import base64
import json
import os
import signal
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from ilios.chaos.processes import ENGINE
from tests import documents
from tests.free_ports import free_port
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import document_states
from tests.waiting import wait_until

pytestmark = pytest.mark.slow  # a service, and what becomes of it

WITHIN = 30.0  # seconds
BINARY = Path(sysconfig.get_path("scripts")) / "nats-server"
PDF = base64.b64encode(documents.pdf("Asked for on the bus")).decode()
SUBMISSION = {"source": {"kind": "inline", "data": PDF}, "file_name": "a.pdf"}


@asynccontextmanager
async def publisher(service: RunningService) -> AsyncIterator[Client]:
    client = await nats.connect((service.data_dir / "nats" / "publisher.url").read_text().strip())
    try:
        yield client
    finally:
        await client.close()


async def ask(client: Client, operation: str, members: Any) -> Msg:
    body = json.dumps(members).encode()
    return await client.request(f"ilios.api.{operation}", body, timeout=WITHIN)


def status(message: Msg) -> str:
    assert message.headers is not None
    return message.headers["Ilios-Status"]


async def test_a_client_that_waits_has_an_answer_when_the_service_stops(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service, publisher(service) as client:
        for engine in service.children(ENGINE):
            os.kill(engine, signal.SIGSTOP)
        waiting = asyncio.create_task(ask(client, "convert", SUBMISSION))
        await wait_until(lambda: bool(document_states(tmp_path / "ilios.db")), WITHIN)
        await service.stop()
        answer = await waiting
    assert status(answer) == "202"
    assert json.loads(answer.data)["status"] in ("pending", "processing")


@pytest.mark.parametrize("victim", ["ilios.edge_process", "nats-server"])
async def test_requests_are_answered_again_after_a_kill(tmp_path: Path, victim: str) -> None:
    async with (
        running_service(tmp_path, ILIOS_EDGE_PROCESSES="1") as service,
        publisher(service) as client,
    ):
        accepted = await ask(client, "submit", SUBMISSION)
        for process in service.children(victim):
            os.kill(process, signal.SIGKILL)

        async def is_answered() -> bool:
            with suppress(nats.errors.Error, asyncio.TimeoutError):
                members = {"document_id": json.loads(accepted.data)["id"]}
                body = json.dumps(members).encode()
                return status(await client.request("ilios.api.status", body, timeout=1)) == "200"
            return False

        await wait_until(is_answered, WITHIN)


def configuration(port: int, store: Path) -> str:
    """Return that of a server with one account, and users of it."""
    return f"""
    host: 127.0.0.1
    port: {port}
    jetstream {{ store_dir: "{store}" }}
    authorization {{ users: [
      {{ user: all, password: p }}
      {{ user: events, password: p, permissions {{
        publish {{ deny: ["ilios.api.>"] }}, subscribe {{ deny: ["ilios.api.>", "$SRV.>"] }} }} }}
      {{ user: former, password: p, permissions {{
        publish {{ deny: [
          "ilios.api.>", "ilios.page.>", "ilios.pages.>", "$O.>", "$JS.API.STREAM.NAMES",
          "ilios.cluster.>", "ilios.attempts.>", "ilios.janitor.epoch.*",
          "$JS.API.STREAM.*.ILIOS_CLUSTER", "$JS.API.STREAM.*.ILIOS_ATTEMPTS",
          "$JS.API.*.*.OBJ_ilios-uploads-default", "$JS.API.*.*.*.OBJ_ilios-uploads-default"
        ] }}
        subscribe {{ deny: [
          "ilios.api.>", "ilios.page.>", "ilios.pages.>", "ilios.batch.>", "$SRV.>", "$O.>"
        ] }} }} }}
      {{ user: mute, password: p, permissions {{ publish {{ deny: ["_INBOX.>"] }} }} }}
      {{ user: client, password: p, permissions {{
        publish {{ allow: ["ilios.api.*.default", "$SRV.>"] }}
        subscribe {{ allow: ["_INBOX.>"] }} }} }}
    ] }}
    """


@asynccontextmanager
async def external_bus(directory: Path) -> AsyncIterator[str]:
    """Run a server as an operator may have one; returns its address, with a place for the user."""
    port, file = free_port(), directory / "external.conf"
    file.write_text(configuration(port, directory / "external"))
    server = await asyncio.create_subprocess_exec(
        BINARY, "-c", str(file), stderr=asyncio.subprocess.DEVNULL
    )
    address = f"nats://{{}}:p@127.0.0.1:{port}"
    try:
        first = await nats.connect(address.format("all"))
        await first.close()
        yield address
    finally:
        server.terminate()
        await server.wait()


async def test_requests_on_an_external_bus_name_their_tenant(tmp_path: Path) -> None:
    async with (
        external_bus(tmp_path) as address,
        running_service(tmp_path / "data", NATS_URL=address.format("all")),
    ):
        client = await nats.connect(address.format("client"))
        try:
            answer = await ask(client, "convert.default", SUBMISSION)
            assert status(answer) == "200"
            assert b"Asked for on the bus" in answer.data
            stats = json.loads((await client.request("$SRV.STATS.ilios", b"", timeout=5)).data)
            assert sum(one["num_requests"] for one in stats["endpoints"]) == 1
        finally:
            await client.close()


@pytest.mark.parametrize("user", ["events", "mute"])
async def test_a_user_of_an_external_bus_may_lack_the_permissions_for_requests(
    tmp_path: Path, user: str
) -> None:
    async with (
        external_bus(tmp_path) as address,
        running_service(tmp_path / "data", NATS_URL=address.format(user)) as service,
        aiohttp.ClientSession() as session,
    ):
        client = await nats.connect(address.format("client"))

        async def nobody_answers() -> bool:
            try:
                await client.request("ilios.api.status.default", b"{}", timeout=1)
            except nats.errors.NoRespondersError:
                return True
            except nats.errors.TimeoutError:
                return False
            pytest.fail("it should have no permission to answer")

        try:
            await wait_until(nobody_answers, WITHIN)
        finally:
            await client.close()
        async with session.get(f"{service.url}/health") as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.slow
async def test_a_user_with_the_permissions_of_a_former_version_converts_and_is_healthy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logged: list[str] = []

    def has_swept() -> bool:
        logged.append(capfd.readouterr().err)
        return "objects not swept" in "".join(logged)

    async with (
        external_bus(tmp_path) as address,
        running_service(tmp_path / "data", NATS_URL=address.format("former")) as service,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(f"{service.url}/v1/convert", data=b"A letter.") as answer:
            assert answer.status == 200, await answer.text()
        async with session.get(f"{service.url}/readyz") as answer:
            assert answer.status == 200, await answer.text()
        await wait_until(has_swept, WITHIN)
        assert "part restarts" not in "".join(logged)
        assert "nothing stops a second core on this bus" in "".join(logged)
