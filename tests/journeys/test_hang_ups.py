"""A client of the real service hangs up: its document is cancelled and not billed."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import Client, billed_documents, document_states
from tests.journeys.test_waits import LONG
from tests.waiting import wait_until

PREFERENCE = {"Prefer": "cancel-on-disconnect"}


async def begin(session: aiohttp.ClientSession, service: RunningService, data: Path) -> str:
    """Ask for a long conversion and hang up; return the id once it is stored."""
    before = {*document_states(data / "ilios.db")}

    async def ask() -> None:
        await session.post(f"{service.url}/v1/convert", data=LONG, headers=PREFERENCE)

    asking = asyncio.create_task(ask())
    found: set[str] = set()

    def is_stored() -> bool:
        nonlocal found
        assert not asking.done()
        found = document_states(data / "ilios.db").keys() - before
        return bool(found)

    await wait_until(is_stored)
    asking.cancel()  # which closes the connection
    (name,) = found
    return name


async def test_the_document_of_a_client_that_hangs_up_is_cancelled_and_not_billed(
    tmp_path: Path,
) -> None:
    async with running_service(tmp_path, WORKER_COUNT="1") as service:
        client = Client(service)
        async with aiohttp.ClientSession() as session:
            name = await begin(session, service, tmp_path)
        await client.wait_for(name, "cancelled")
        other = await client.submit(documents.pdf("Meridian"))
        await client.wait_for(other, "completed")
        assert billed_documents(tmp_path / "ilios.db") == [other]


@pytest.mark.slow
async def test_a_service_that_is_killed_has_not_been_hung_up_on(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(
                session.post(
                    f"{service.url}/v1/convert",
                    data=documents.pdf(*(f"page {number} " * 40 for number in range(200))),
                    headers=PREFERENCE,
                )
            )
            await wait_until(lambda: bool(document_states(tmp_path / "ilios.db")))
            await service.kill("all")
            await asyncio.wait([asking])
        await service.start()
        (name,) = document_states(tmp_path / "ilios.db")
        await Client(service).wait_for(name, "completed")
        assert billed_documents(tmp_path / "ilios.db") == [name]
