"""Clients that wait on the real service are answered when it happens, and batches are cancelled."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.journeys.service_client import billed_documents
from tests.journeys.test_batches import form
from tests.waiting import wait_until

LONG = documents.pdf(*(f"page {number} " * 40 for number in range(900)))
WITHIN = 45.0  # seconds; less than the wait


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def get(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def submit_batch(session: aiohttp.ClientSession, url: str, *contents: bytes) -> Any:
    async with session.post(f"{url}/v1/batch/submit", data=form(*contents)) as answer:
        assert answer.status == 202, await answer.text()
        return await answer.json()


async def test_waits_end_with_documents_and_batches(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_service(tmp_path) as service, asyncio.timeout(WITHIN):
        good, bad = documents.pdf("Meridian"), b"%PDF-1.7 and nothing else"
        for content, state in ((good, "completed"), (bad, "failed")):
            async with session.post(f"{service.url}/v1/documents", data=content) as answer:
                place = answer.headers["Location"]
            found = await get(session, f"{service.url}{place}?wait=60")
            assert found["status"] == state
        batch = await submit_batch(session, service.url, good, bad)
        found = await get(session, f"{service.url}{batch['statusUrl']}?wait=60")
        assert (found["status"], found["progress"]["failed"]) == ("completed", 1)


@pytest.mark.usefixtures("edge_in_core")
async def test_the_cancellation_of_a_batch_ends_the_waits_for_it(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_service(tmp_path, WORKER_COUNT="1") as service, asyncio.timeout(WITHIN):
        batch = await submit_batch(session, service.url, documents.pdf("Meridian"), *[LONG] * 3)
        first, *_, last = (f"{service.url}/v1/documents/{one['id']}" for one in batch["documents"])
        assert (await get(session, f"{first}?wait=60"))["status"] == "completed"
        waiting = [
            asyncio.create_task(get(session, f"{url}?wait=60"))
            for url in (last, f"{service.url}{batch['statusUrl']}")
        ]
        await asyncio.sleep(0.2)  # whether they listen by now or not makes no difference
        began = time.monotonic()
        for _ in range(2):
            async with session.delete(f"{service.url}/v1/batch/{batch['batchId']}") as answer:
                body = await answer.json()
            assert (answer.status, body["cancelled"], body["status"]) == (200, 3, "completed")
            assert body["progress"]["completed"] == 1
        document, whole = await asyncio.gather(*waiting)
        assert time.monotonic() - began < WITHIN / 2
        assert (document["status"], whole["status"]) == ("cancelled", "completed")
        assert billed_documents(tmp_path / "ilios.db") == [batch["documents"][0]["id"]]


@pytest.mark.slow
@pytest.mark.usefixtures("edge_in_core")
async def test_a_cancellation_that_was_killed_half_way_is_finished_by_a_repetition(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    service = RunningService(tmp_path, WORKER_COUNT="1")
    service.armed = "deletion.published"
    await service.start()
    try:
        batch = await submit_batch(session, service.url, *[LONG] * 6)
        path = f"/v1/batch/{batch['batchId']}"
        with pytest.raises(aiohttp.ClientError):
            await session.delete(service.url + path)
        await service.wait_until_killed()
        await service.start()

        async def is_cancelled() -> bool:
            async with session.delete(service.url + path) as answer:
                return answer.status == 200 and (await answer.json())["cancelled"] == 6

        await wait_until(is_cancelled)
        found = await get(session, f"{service.url}{batch['statusUrl']}?wait=60")
        assert (found["status"], found["progress"]["failed"]) == ("failed", 6)
        assert billed_documents(tmp_path / "ilios.db") == []
    finally:
        await service.stop()


async def test_a_service_that_stops_answers_those_who_wait(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_service(tmp_path, WORKER_COUNT="1") as service:
        content = documents.pdf(*(f"page {number} " * 40 for number in range(300)))
        async with session.post(f"{service.url}/v1/documents", data=content) as answer:
            place = answer.headers["Location"]
        waiting = asyncio.create_task(get(session, f"{service.url}{place}?wait=60"))
        await asyncio.sleep(0.2)  # whether it waits by now or not makes no difference
        await service.stop()
        assert (await waiting)["status"] in ("pending", "processing")
