"""The fake as a process of its own, ordered about over HTTP."""

import aiohttp
import pytest
from mistralai.client import errors

from tests import documents
from tests.mistral.fake import Fault, digest, running_fake
from tests.mistral.sdk import MODEL, RETRIES, batch_requests, connected, uploaded_document
from tests.waiting import wait_until

PDF = documents.pdf("one", "two")


async def test_the_fake_runs_as_a_process_and_its_faults_are_logged() -> None:
    async with (
        running_fake("--faults", "0.5", "--kinds", "503", "--seed", "1", key="k") as fake,
        connected(fake.url, "k", RETRIES) as client,
    ):
        papers = [documents.pdf(f"paper {number}") for number in range(8)]
        for paper in papers:
            assert digest(paper) in (await client.process_pdf(paper)).pages[0].markdown
        seen = await fake.call_log()
        assert seen["documents"][digest(papers[0])]["paid_pages"] == {"0": 1}
        assert seen["paid_texts"] == {f"paper {number}": 1 for number in range(8)}
        assert {call["fault"] for call in seen["calls"]} == {"", "503"}
        [tally] = seen["faults"]
        assert tally == {
            "endpoint": "ocr",
            "kind": "503",
            "done": False,
            "times": len(seen["calls"]) - 8,
            "pages_paid": 0,
        }

        await fake.reset()
        await fake.fail_next("ocr", Fault("429", retry_after_ms=1), times=2)
        await fake.set_rules(latency=0.01, layout={"images": 1})
        read = await client.process_pdf(PDF)
        assert [len(page.images) for page in read.pages] == [1, 1]
        seen = await fake.call_log()
        assert [call["fault"] for call in seen["calls"]] == ["429", "429", ""]
        assert seen["calls"][2]["seconds"] >= 0.01
        assert (seen["pages_paid"], seen["paid_twice"], seen["highest_concurrency"]) == (2, [], 1)
        assert [call["number"] for call in (await fake.call_log(1))["calls"]] == [
            seen["calls"][2]["number"]
        ]

        await fake.fail_share(1, ["quota"], endpoints=["ocr"], seed=2)
        with pytest.raises(errors.SDKError, match="402"):
            await client.process_pdf(PDF)
        await fake.clear_faults()
        assert (await client.process_pdf(PDF)).pages


async def test_jobs_of_a_process_are_paused_failed_and_ended_over_http() -> None:
    async with (
        running_fake("--batch-seconds", "0.01") as fake,
        connected(fake.url, fake.key) as client,
    ):
        await fake.set_rules(batch_seconds=3_600)
        asked = batch_requests(PDF, PDF + b"%")
        job = await client.jobs.create_async(endpoint="/v1/ocr", model=MODEL, requests=asked)
        assert (await fake.job(job.id, hold=True, fail=["n-1"], kind="429"))["status"] == "QUEUED"
        assert (await fake.job(job.id))["status"] == "RUNNING"
        done = await fake.job(job.id, "SUCCESS")
        assert (done["succeeded_requests"], done["failed_requests"]) == (1, 1)
        assert done["errors"] == [{"message": "HTTP Error, status code: 429", "count": 1}]

        await fake.set_rules(batch_seconds=0.01)
        quick = await client.jobs.create_async(endpoint="/v1/ocr", model=MODEL, requests=asked)

        async def over() -> bool:
            return [told["status"] for told in await fake.jobs()] == ["SUCCESS"] * 2

        await wait_until(over)
        assert [told["id"] for told in await fake.jobs()] == [quick.id, job.id]
        twice = (await fake.call_log())["paid_twice"]
        assert {(page["document"], page["page"]) for page in twice} == {
            (digest(PDF), 0),
            (digest(PDF), 1),
        }


async def test_key_and_file_expiry_of_a_process_can_be_set() -> None:
    async with running_fake("--delay-ms", "1") as fake:
        async with connected(fake.url, fake.key) as client:
            id_ = await client.upload(PDF)
            assert [file["id"] for file in await fake.files()] == [id_]
            await fake.expire(id_)
            assert not await fake.files()
            with pytest.raises(errors.SDKError, match="404"):
                await client.process(uploaded_document(id_))
            await fake.set_key("another")
            with pytest.raises(errors.SDKError, match="401"):
                await client.process_pdf(PDF)
        async with connected(fake.url, "another") as client:
            assert (await client.process_pdf(PDF)).pages


async def test_orders_that_are_not_understood_are_refused() -> None:
    async with running_fake() as fake, aiohttp.ClientSession(fake.url) as session:
        for path, body in (
            ("rules", {"latencies": 1}),
            ("faults", {"next": [{"endpoint": "x"}]}),
            ("jobs/x", {"status": "DONE"}),
            ("files/x", {}),
            ("key", {"key": ""}),
        ):
            async with session.post(f"/_fake/{path}", json=body) as response:
                assert response.status == 400
        with pytest.raises(ValueError, match="latencies"):
            await fake.set_rules(latencies=1)
        with pytest.raises(ValueError, match="Batch job not found"):
            await fake.job("x")


async def test_a_fake_that_cannot_start_raises() -> None:
    with pytest.raises(RuntimeError, match="before it began"):
        async with running_fake("--seed", "x"):
            pass
