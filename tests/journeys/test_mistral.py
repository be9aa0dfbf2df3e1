"""Documents that Mistral reads: the whole service, the real SDK, and the fake API on loopback."""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bus.failpoints import Failpoint
from ilios.engines.mistral import RANGE_PAGES
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.mistral.fake import FakeMistral
from tests.mistral.faults import Fault
from tests.mistral.pages import mark
from tests.mistral.rules import Layout
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("edge_in_core")

ENDED_WITHIN = 60.0  # seconds; a machine under load is slow, not wrong
LINK = re.compile(r"!\[[^\]]*\]\((/api/documents/[^)]+)\)")


@pytest.fixture
async def fake() -> AsyncIterator[FakeMistral]:
    async with fake_mistral() as fake:
        yield fake


def settings(fake: FakeMistral, **more: str) -> dict[str, str]:
    return {"MISTRAL_API_KEY": fake.key, "MISTRAL_SERVER_URL": fake.url, **more}


async def submit(service: RunningService, data: bytes, **fields: str) -> str:
    form = aiohttp.FormData(fields)
    form.add_field("file", data, filename="paper.pdf")
    url = f"{service.url}/api/documents/submit"
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["id"])


async def get(service: RunningService, path: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(service.url + path) as answer:
        return answer.status, await answer.read()


async def status(service: RunningService, document: str) -> dict[str, Any]:
    _, body = await get(service, f"/api/documents/status/{document}")
    return dict(json.loads(body))


async def ended(service: RunningService, *names: str) -> list[dict[str, Any]]:
    """Wait until all of them have ended."""
    found: list[dict[str, Any]] = []

    async def all_have() -> bool:
        nonlocal found
        found = [await status(service, document) for document in names]
        return all(one["status"] in ("completed", "failed") for one in found)

    await wait_until(all_have, within=ENDED_WITHIN)
    return found


def bills(data_dir: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{data_dir}/ilios.db?mode=ro", uri=True) as connection:
        wanted = "document_id, model, pages, base_micros, total_micros"
        return connection.execute(f"SELECT {wanted} FROM usage").fetchall()


async def test_with_a_key_mistral_reads_what_is_submitted_and_is_billed(
    tmp_path: Path, fake: FakeMistral
) -> None:
    fake.rules.layout = Layout(images=1, tables=1)
    paper = documents.pdf("First page", "Second page")
    async with running_service(tmp_path, **settings(fake)) as service:
        document = await submit(service, paper)
        (document_status,) = await ended(service, document)
        code, markdown = await get(service, f"/api/documents/{document}")

        assert code == 200
        _, health = await get(service, "/health")
        assert json.loads(health)["services"]["engine"] == "local, mistral"
        first, second = markdown.decode().split("\n\n---\n\n")
        assert mark(paper, 0) in first
        assert mark(paper, 1) in second
        assert document_status["metadata"]["model"] == "mistral-ocr-4-1"
        assert document_status["metadata"]["engine"] == "mistral"
        link = first.partition("](/api/")[2].partition(")")[0]
        code, image = await get(service, f"/api/{link}")
        assert code == 200
        assert image.startswith(b"\xff\xd8")
        code, body = await get(service, f"/api/documents/{document}?format=json")
        assert [page["index"] for page in json.loads(body)["pages"]] == [0, 1]
    assert bills(tmp_path) == [(document, "mistral-ocr-4-1", 2, 8_000, 10_400)]


async def test_the_engine_is_chosen_by_the_document(tmp_path: Path, fake: FakeMistral) -> None:
    async with running_service(tmp_path, **settings(fake)) as service:
        here = await submit(service, documents.pdf("Here"), engine="local")
        there = await submit(service, documents.pdf("There"), model="mistral-ocr-2512")
        local, remote = await ended(service, here, there)
    assert local["metadata"]["engine"] == "local"
    assert remote["metadata"]["model"] == "mistral-ocr-2512"
    assert [call.model for call in fake.call_log.calls] == ["mistral-ocr-2512"]


@pytest.mark.slow
async def test_with_a_fallback_what_mistral_refuses_is_converted_locally(
    tmp_path: Path, fake: FakeMistral
) -> None:
    wrong = settings(fake, MISTRAL_API_KEY="wrong", ILIOS_ENGINE_FALLBACK="true")
    async with running_service(tmp_path, **wrong) as service:
        (document_status,) = await ended(service, await submit(service, documents.pdf("Here")))
        assert document_status["status"] == "completed"
        assert document_status["metadata"]["engine"] == "local"
        assert document_status["metadata"]["fallbackFrom"] == "mistral"


@pytest.mark.slow
async def test_a_wrong_key_opens_the_circuit_and_the_document_waits(
    tmp_path: Path, fake: FakeMistral
) -> None:
    async with running_service(tmp_path, **settings(fake, MISTRAL_API_KEY="wrong")) as service:
        document = await submit(service, documents.pdf("Waits"))

        async def document_status() -> bool:
            code, body = await get(service, "/readyz")
            return code == 503 and b"MISTRAL_API_KEY" in body

        await wait_until(document_status)
        assert (await status(service, document))["status"] in ("pending", "processing")


@pytest.mark.slow
async def test_killed_during_a_long_document_no_finished_range_is_requested_again(
    tmp_path: Path, fake: FakeMistral
) -> None:
    paper = documents.pdf(*(f"Page {number}\n" + "x" * 400 for number in range(1000)))
    async with running_service(tmp_path, **settings(fake)) as service:
        fake.rules.latency = 0.2
        document = await submit(service, paper)
        await wait_until(lambda: fake.call_log.pages_paid >= 500, within=ENDED_WITHIN)
        await service.kill("all")
        fake.rules.latency = 0.0
        await service.start()
        (document_status,) = await ended(service, document)
        _, markdown = await get(service, f"/api/documents/{document}")

    assert document_status["status"] == "completed"
    pages = markdown.decode().split("\n\n---\n\n")
    assert [mark(paper, number) in page for number, page in enumerate(pages)] == [True] * 1000
    twice = [page for _, page in fake.call_log.paid_twice()]
    # The API finishes a call whose client is gone: nothing can save the one that was under way.
    assert len({page // RANGE_PAGES for page in twice}) <= 1
    assert not list(fake.files.existing()), "the upload of before the kill is gone as well"
    assert bills(tmp_path) == [(document, "mistral-ocr-4-1", 1000, 4_000_000, 5_200_000)]


@pytest.mark.slow
async def test_with_every_fifth_call_failing_all_documents_are_completed_and_billed_once(
    tmp_path: Path, fake: FakeMistral
) -> None:
    kinds = ("429", "500", "slow", "reset", "truncated", "garbage")
    fake.faults.fail_share("ocr", 0.2, [Fault(kind, seconds=0.2) for kind in kinds])  # type: ignore[arg-type]
    papers = {number: documents.pdf(f"Paper {number}") for number in range(60)}
    async with running_service(tmp_path, **settings(fake)) as service:
        names = await asyncio.gather(*(submit(service, paper) for paper in papers.values()))
        document_status = await ended(service, *names)
        assert [one["status"] for one in document_status] == ["completed"] * len(names)
        for name, paper in zip(names, papers.values(), strict=True):
            _, markdown = await get(service, f"/api/documents/{name}")
            assert mark(paper, 0) in markdown.decode()
    assert sorted(bill[0] for bill in bills(tmp_path)) == sorted(names)


@pytest.mark.slow
async def test_a_cancelled_document_stops_costing(tmp_path: Path, fake: FakeMistral) -> None:
    fake.rules.latency = 0.2
    paper = documents.pdf(*(f"Page {number}\n" + "x" * 400 for number in range(600)))
    async with running_service(tmp_path, **settings(fake)) as service:
        document = await submit(service, paper)
        await wait_until(lambda: fake.call_log.pages_paid >= 100, within=ENDED_WITHIN)
        url = f"{service.url}/api/documents/{document}"
        async with aiohttp.ClientSession() as session, session.delete(url) as answer:
            assert answer.status in (200, 202)
        await wait_until(lambda: fake.call_log.in_hand == 0)
        await wait_until(lambda: not list(fake.files.existing()))
        assert fake.call_log.pages_paid < 600


async def submit_batch(service: RunningService, contents: list[bytes]) -> str:
    form = aiohttp.FormData({"useMistralBatch": "true"})
    for number, paper in enumerate(contents):
        form.add_field("files", paper, filename=f"{number}.pdf")
    url = f"{service.url}/v1/batch/submit"
    async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["batchId"])


async def status_of_batch(service: RunningService, batch: str) -> dict[str, Any]:
    url = f"{service.url}/v1/batch/status/{batch}?details=true"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return dict(await answer.json())


async def ended_batch(service: RunningService, batch: str) -> dict[str, Any]:
    async def it_has() -> bool:
        return (await status_of_batch(service, batch))["status"] in ("completed", "failed")

    await wait_until(it_has, within=ENDED_WITHIN)
    return await status_of_batch(service, batch)


async def batch_texts(service: RunningService, batch: str) -> list[str]:
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
        batch = await submit_batch(service, papers)
        await wait_until(lambda: len(fake.jobs.existing()) == 1, within=ENDED_WITHIN)
        (job,) = fake.jobs.existing()
        await fake.jobs.advance(job.id)

        async def is_shown() -> bool:
            batch_status = await status_of_batch(service, batch)
            return bool(batch_status.get("mistralStatus", {}).get("status") == "RUNNING")

        await wait_until(is_shown, within=ENDED_WITHIN)
        batch_status = await status_of_batch(service, batch)
        assert batch_status["mistralBatchJobId"] == job.id
        assert batch_status["mistralStatus"]["totalRequests"] == 5
        await fake.jobs.advance(job.id, "SUCCESS")
        batch_status = await ended_batch(service, batch)
        assert batch_status["progress"]["completed"] == 5
        for paper, text in zip(papers, await batch_texts(service, batch), strict=True):
            assert mark(paper, 0) in text
        await wait_until(lambda: not fake.jobs.existing(), within=ENDED_WITHIN)
        assert not list(fake.files.existing())
    assert prices(tmp_path) == [2_000] * 5
    assert fake.call_log.pages_paid == 5


@pytest.mark.slow
async def test_a_document_that_fails_in_the_job_is_converted_alone(
    tmp_path: Path, fake: FakeMistral
) -> None:
    papers = [documents.pdf(f"Paper {number}") for number in range(4)]
    async with running_service(tmp_path, **settings(fake)) as service:
        batch = await submit_batch(service, papers)
        await wait_until(lambda: len(fake.jobs.existing()) == 1, within=ENDED_WITHIN)
        (job,) = fake.jobs.existing()
        fake.faults.fail_next("batch.item", "500")
        await fake.jobs.advance(job.id, "SUCCESS")
        batch_status = await ended_batch(service, batch)
        assert batch_status["progress"]["completed"] == 4
        for paper, text in zip(papers, await batch_texts(service, batch), strict=True):
            assert mark(paper, 0) in text
    assert prices(tmp_path) == [2_000] * 3 + [4_000]


@pytest.mark.slow
@pytest.mark.parametrize("point", ["batcher.handed_over", "batcher.converted"])
async def test_after_a_kill_the_job_is_neither_created_nor_paid_for_again(
    tmp_path: Path, fake: FakeMistral, point: Failpoint
) -> None:
    fake.rules.batch_seconds = 1.0
    papers = [documents.pdf(f"Paper {number}") for number in range(3)]
    async with running_service(tmp_path, **settings(fake)) as service:
        await service.stop()
        service.armed = point
        await service.start()
        batch = await submit_batch(service, papers)
        await service.wait_until_killed()
        await service.start()
        batch_status = await ended_batch(service, batch)
        assert batch_status["progress"]["completed"] == 3
        await wait_until(lambda: not fake.jobs.existing(), within=ENDED_WITHIN)
    assert fake.call_log.requests["batch.create"] == 1
    assert fake.call_log.pages_paid == 3
    assert prices(tmp_path) == [2_000] * 3


def stored_images(data_dir: Path) -> set[Path]:
    """Return the files of the blob store, without its lock."""
    files = (path for path in (data_dir / "blobs").rglob("*") if path.is_file())
    return {path for path in files if path.name != "lock"}


@pytest.mark.slow
async def test_a_removed_document_takes_its_images_and_its_result_with_it(tmp_path: Path) -> None:
    async with fake_mistral() as fake, running_service(tmp_path, **settings(fake)) as service:
        fake.rules.layout = Layout(images=2)
        document = await submit(service, documents.pdf("One", "Two"))
        await ended(service, document)
        _, markdown = await get(service, f"/api/documents/{document}")
        links = LINK.findall(markdown.decode())
        assert links
        for link in links:
            assert (await get(service, link))[0] == 200
        _, body = await get(service, f"/api/documents/{document}?format=json")
        named = {
            f"/api/documents/{document}/images/{image['name']}"
            for page in json.loads(body)["pages"]
            for image in page["images"]
        }
        assert named == set(links)
        assert len(stored_images(tmp_path)) == len(named) + 3, "original, Markdown and result"
        async with (
            aiohttp.ClientSession() as session,
            session.delete(f"{service.url}/api/documents/{document}") as answer,
        ):
            assert answer.status in (200, 202)
        await wait_until(lambda: stored_images(tmp_path) == set())
        assert (await get(service, links[0]))[0] == 410


async def test_a_synchronous_conversion_returns_its_pages(tmp_path: Path) -> None:
    async with fake_mistral() as fake, running_service(tmp_path, **settings(fake)) as service:
        fake.rules.layout = Layout(images=1, tables=1)
        form = aiohttp.FormData({"format": "json", "engine": "mistral"})
        form.add_field("file", documents.pdf("One", "Two"), filename="paper.pdf")
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{service.url}/v1/convert", data=form) as answer,
        ):
            assert answer.status == 200, await answer.text()
            body = await answer.json()
        pages = body["pages"]
        assert [page["index"] for page in pages] == [0, 1]
        assert body["content"] == "\n\n---\n\n".join(page["markdown"] for page in pages)
        assert (body["metadata"]["engine"], body["metadata"]["pages"]) == ("mistral", 2)
