"""The edge in a process of its own: it and the core are killed, drained, and left out."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import msgspec
import pytest

from ilios.chaos.processes import EDGE, ENGINE
from tests import documents
from tests.free_ports import free_port
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import ServiceClient, document_states, wait_until_completed
from tests.waiting import wait_until

ONE = {"ILIOS_EDGE_PROCESSES": "1"}
WITHIN = 30.0  # seconds; a machine under load is slow, not wrong


def edge_of(service: RunningService) -> int:
    (pid,) = service.children(EDGE)
    return pid


async def is_ready(session: aiohttp.ClientSession, service: RunningService) -> bool:
    try:
        async with session.get(f"{service.url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@pytest.mark.slow
async def test_documents_complete_although_the_edge_is_killed_again_and_again(
    tmp_path: Path,
) -> None:
    async with (
        running_service(tmp_path, **ONE) as service,
        ServiceClient(service) as client,
        aiohttp.ClientSession() as session,
    ):
        killed: list[int] = []
        for _ in range(3):
            requests = [asyncio.create_task(client.submit()) for _ in range(12)]
            form = aiohttp.FormData()
            form.add_field("file", documents.pdf("Waited for"), filename="a.pdf")
            requests.append(asyncio.create_task(client.send("POST", "/v1/convert", data=form)))
            await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
            killed.append(edge_of(service))
            os.kill(killed[-1], signal.SIGKILL)
            for found in await asyncio.gather(*requests, return_exceptions=True):
                # The connection breaks, or there is a good answer; never a wrong one.
                if not isinstance(found, aiohttp.ClientError):
                    assert not isinstance(found, BaseException), found
                    assert found.status in (200, 202)
            await wait_until(lambda: bool({*service.children(EDGE)} - {*killed}), WITHIN)

        await wait_until(lambda: is_ready(session, service), WITHIN)
        database = tmp_path / "ilios.db"
        # Also those whose response was lost.
        await wait_until(lambda: set(document_states(database).values()) == {"completed"}, WITHIN)
        await wait_until_completed(client, tmp_path)


async def test_health_names_an_edge_that_was_killed_a_moment_ago(tmp_path: Path) -> None:
    async with running_service(tmp_path, **ONE) as service, aiohttp.ClientSession() as session:
        os.kill(edge_of(service), signal.SIGKILL)

        async with session.get(f"{service.url}/health") as answer:
            assert answer.status == 503
            assert "edge was down a moment ago" in (await answer.json())["error"]

        await wait_until(lambda: is_ready(session, service), WITHIN)


async def test_a_killed_core_takes_the_edge_with_it_and_the_port_is_free(tmp_path: Path) -> None:
    async with running_service(tmp_path, PORT=str(free_port()), **ONE) as service:
        edge = edge_of(service)
        await service.kill("service")
        await service.start()

        assert edge_of(service) != edge
        async with ServiceClient(service) as client:
            assert await client.is_accepted()


async def test_a_waiting_client_has_an_answer_when_the_service_stops(tmp_path: Path) -> None:
    async with (
        running_service(tmp_path, **ONE) as service,
        ServiceClient(service) as client,
    ):
        for engine in service.children(ENGINE):
            os.kill(engine, signal.SIGSTOP)
        form = aiohttp.FormData()
        form.add_field("file", documents.pdf("Waited for"), filename="a.pdf")
        conversion = asyncio.create_task(client.send("POST", "/v1/convert", data=form))
        await wait_until(lambda: bool(document_states(tmp_path / "ilios.db")), WITHIN)

        assert await service.stop() == 0

        assert (await conversion).status == 202


async def test_no_password_of_the_bus_is_in_the_command_line_or_environment_of_the_edge(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path, **ONE) as service:
        credentials = msgspec.json.decode((tmp_path / "nats" / "credentials.json").read_bytes())
        process = Path("/proc") / str(edge_of(service))
        shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()

    assert credentials["roles"]["edge"].encode() not in shown
    assert credentials["operator"].encode() not in shown


@pytest.mark.parametrize("processes", ["0", "1"])
async def test_there_are_as_many_edge_processes_as_the_setting_has(
    tmp_path: Path, processes: str
) -> None:
    async with (
        running_service(tmp_path, ILIOS_EDGE_PROCESSES=processes) as service,
        ServiceClient(service) as client,
    ):
        assert len(service.children(EDGE)) == int(processes)
        assert await client.is_accepted()
        await wait_until_completed(client, tmp_path)
