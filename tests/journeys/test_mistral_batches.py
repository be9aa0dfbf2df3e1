"""Batches that Mistral converts as one job of its own, at half the price."""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bus.failpoints import Failpoint
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.mistral.fake import FakeMistral
from tests.mistral.pages import mark
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

ENDED_WITHIN = 60.0  # seconds


@pytest.fixture
async def fake() -> AsyncIterator[FakeMistral]:
    async with fake_mistral() as fake:
        yield fake


def settings(fake: FakeMistral) -> dict[str, str]:
    return {"MISTRAL_API_KEY": fake.key, "MISTRAL_SERVER_URL": fake.url}


async def submit(service: RunningService, contents: list[bytes]) -> str:
    form = aiohttp.FormData({"useMistralBatch": "true"})
    for number, paper in enumerate(contents):
        form.add_field("files", paper, filename=f"{number}.pdf")
    url = f"{service.url}/v1/batch/submit"
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["batchId"])


async def status(service: RunningService, batch: str) -> dict[str, Any]:
    url = f"{service.url}/v1/batch/status/{batch}?details=true"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return dict(await answer.json())


async def ended(service: RunningService, batch: str) -> dict[str, Any]:
    async def it_has() -> bool:
        return (await status(service, batch))["status"] in ("completed", "failed")

    await wait_until(it_has, within=ENDED_WITHIN)
    return await status(service, batch)


async def texts(service: RunningService, batch: str) -> list[str]:
    url = f"{service.url}/v1/batch/download/{batch}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return [json.loads(line)["content"] for line in (await answer.text()).splitlines()]


def prices(data_dir: Path) -> list[int]:
    with sqlite3.connect(f"file:{data_dir}/ilios.db?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT base_micros FROM usage ORDER BY base_micros")
        return [int(price) for (price,) in found]


async def test_a_batch_is_one_job_at_half_the_price(tmp_path: Path, fake: FakeMistral) -> None:
    papers = [documents.pdf(f"Paper {number}") for number in range(5)]
    async with running_service(tmp_path, **settings(fake)) as service:
        batch = await submit(service, papers)
        await wait_until(lambda: len(fake.jobs.existing()) == 1, within=ENDED_WITHIN)
        (job,) = fake.jobs.existing()
        await fake.jobs.advance(job.id)

        async def is_shown() -> bool:
            batch_status = await status(service, batch)
            return bool(batch_status.get("mistralStatus", {}).get("status") == "RUNNING")

        await wait_until(is_shown, within=ENDED_WITHIN)
        batch_status = await status(service, batch)
        assert batch_status["mistralBatchJobId"] == job.id
        assert batch_status["mistralStatus"]["totalRequests"] == 5
        await fake.jobs.advance(job.id, "SUCCESS")
        batch_status = await ended(service, batch)
        assert batch_status["progress"]["completed"] == 5
        for paper, text in zip(papers, await texts(service, batch), strict=True):
            assert mark(paper, 0) in text
        await wait_until(lambda: not fake.jobs.existing(), within=ENDED_WITHIN)
        assert not list(fake.files.existing())
    assert prices(tmp_path) == [2_000] * 5
    assert fake.call_log.pages_paid == 5


async def test_what_fails_in_the_job_is_converted_alone(tmp_path: Path, fake: FakeMistral) -> None:
    papers = [documents.pdf(f"Paper {number}") for number in range(4)]
    async with running_service(tmp_path, **settings(fake)) as service:
        batch = await submit(service, papers)
        await wait_until(lambda: len(fake.jobs.existing()) == 1, within=ENDED_WITHIN)
        (job,) = fake.jobs.existing()
        fake.faults.fail_next("batch.item", "500")
        await fake.jobs.advance(job.id, "SUCCESS")
        batch_status = await ended(service, batch)
        assert batch_status["progress"]["completed"] == 4
        for paper, text in zip(papers, await texts(service, batch), strict=True):
            assert mark(paper, 0) in text
    assert prices(tmp_path) == [2_000] * 3 + [4_000]


@pytest.mark.parametrize("point", ["batcher.handed_over", "batcher.converted"])
async def test_killed_there_the_job_is_neither_made_nor_paid_for_again(
    tmp_path: Path, fake: FakeMistral, point: Failpoint
) -> None:
    fake.rules.batch_seconds = 1.0
    papers = [documents.pdf(f"Paper {number}") for number in range(3)]
    async with running_service(tmp_path, **settings(fake)) as service:
        await service.stop()
        service.armed = point
        await service.start()
        batch = await submit(service, papers)
        await service.wait_until_killed()
        await service.start()
        batch_status = await ended(service, batch)
        assert batch_status["progress"]["completed"] == 3
        await wait_until(lambda: not fake.jobs.existing(), within=ENDED_WITHIN)
    assert fake.call_log.requests["batch.create"] == 1
    assert fake.call_log.pages_paid == 3
    assert prices(tmp_path) == [2_000] * 3
