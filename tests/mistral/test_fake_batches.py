"""Batch jobs: created, polled, cancelled, and what their files hold."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from mistralai.client import errors, models

from tests import documents
from tests.mistral.fake import FakeMistral
from tests.mistral.jobs import NextStatus
from tests.mistral.pages import mark
from tests.mistral.rules import Rules
from tests.mistral.sdk import MODEL, SdkClient, batch_requests, connected
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

PDFS = [documents.pdf(f"paper {number}") for number in range(4)]
BROKEN = b"hello"


async def started(client: SdkClient, asked: Sequence[models.BatchRequest]) -> models.BatchJob:
    return await client.jobs.create_async(endpoint="/v1/ocr", model=MODEL, requests=asked)


async def rows(client: SdkClient, file_id: object) -> dict[str, Any]:
    """Return what a result file holds, by custom_id."""
    assert isinstance(file_id, str)
    lines = map(json.loads, (await client.download(file_id)).splitlines())
    return {line["custom_id"]: line for line in lines}


async def test_a_job_delivers_one_answer_for_each_request(
    fake: FakeMistral, client: SdkClient
) -> None:
    job = await started(client, batch_requests(*PDFS))
    assert (job.status, job.total_requests) == ("QUEUED", 0)
    assert (await client.jobs.get_async(job_id=job.id)).total_requests == 4

    await fake.jobs.advance(job.id)
    running = await client.jobs.get_async(job_id=job.id)
    await fake.jobs.advance(job.id)
    done = await client.jobs.get_async(job_id=job.id)

    assert (running.status, running.completed_requests) == ("RUNNING", 2)
    assert running.started_at
    assert not running.output_file
    assert (done.status, done.completed_requests, done.succeeded_requests) == ("SUCCESS", 4, 4)
    assert not done.error_file
    found = await rows(client, done.output_file)
    for number, content in enumerate(PDFS):
        row = found[f"n-{number}"]
        assert (row["response"]["status_code"], row["error"]) == (200, None)
        read = models.OCRResponse.model_validate(row["response"]["body"])
        assert mark(content, 0) in read.pages[0].markdown
    assert [call.how for call in fake.call_log.calls] == ["batch"] * 4
    assert fake.call_log.pages_paid == 4


async def test_failed_requests_are_in_a_file_of_their_own_with_the_error_as_a_string(
    fake: FakeMistral, client: SdkClient
) -> None:
    camel = models.BatchRequest(custom_id="camel", body={"documentUrl": "https://example.org"})
    job = await started(client, [*batch_requests(PDFS[0], BROKEN), camel])

    await fake.jobs.advance(job.id, "SUCCESS")

    done = await client.jobs.get_async(job_id=job.id)
    assert done.status == "SUCCESS"
    assert (done.completed_requests, done.succeeded_requests, done.failed_requests) == (3, 1, 2)
    assert {(error.message, error.count) for error in done.errors} == {
        ("HTTP Error, status code: 400", 1),
        ("HTTP Error, status code: 422", 1),
    }
    assert set(await rows(client, done.output_file)) == {"n-0"}
    failed = await rows(client, done.error_file)
    assert failed["n-1"]["response"]["status_code"] == 400
    body = json.loads(failed["n-1"]["response"]["body"])
    assert (body["type"], body["code"]) == ("document_parser_invalid_file", "3740")
    assert "extra_forbidden" in failed["camel"]["response"]["body"]


async def test_requests_can_come_in_a_file_and_answers_in_the_job(
    fake: FakeMistral, client: SdkClient
) -> None:
    lines = [asked.model_dump_json() for asked in batch_requests(*PDFS[:2])]
    file = await client.upload("\n".join(lines).encode(), "in.jsonl", "batch")
    job = await client.jobs.create_async(
        endpoint="/v1/ocr", model=MODEL, input_files=[file], metadata={"batch": "7"}
    )

    await fake.jobs.advance(job.id, "SUCCESS")

    done = await client.jobs.get_async(job_id=job.id, inline=True)
    assert (done.input_files, done.metadata) == ([file], {"batch": "7"})
    assert done.outputs
    assert [output["custom_id"] for output in done.outputs] == ["n-0", "n-1"]
    assert not (await client.jobs.get_async(job_id=job.id)).outputs


async def test_single_requests_of_a_job_can_be_made_to_fail(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("batch.item", "500")
    job = await started(client, batch_requests(*PDFS[:2]))

    await fake.jobs.advance(job.id, "SUCCESS")

    done = await client.jobs.get_async(job_id=job.id)
    assert (done.succeeded_requests, done.failed_requests) == (1, 1)
    assert fake.call_log.pages_paid == 1


async def test_requests_of_a_job_are_made_to_fail_by_custom_id(
    fake: FakeMistral, client: SdkClient
) -> None:
    job = await started(client, batch_requests(*PDFS))
    fake.jobs.fail(job.id, ["n-2", "n-0"], "503")

    await fake.jobs.advance(job.id, "SUCCESS")

    done = await client.jobs.get_async(job_id=job.id)
    assert set(await rows(client, done.output_file)) == {"n-1", "n-3"}
    failed = await rows(client, done.error_file)
    assert {name: row["response"]["status_code"] for name, row in failed.items()} == {
        "n-0": 503,
        "n-2": 503,
    }
    assert fake.call_log.pages_paid == 2


async def test_a_paused_job_waits_until_it_is_resumed() -> None:
    async with (
        fake_mistral(Rules(batch_seconds=0.02)) as fake,
        connected(fake.url, fake.key) as client,
    ):
        job = await started(client, batch_requests(PDFS[0]))
        fake.jobs.pause(job.id)
        later = await started(client, batch_requests(PDFS[1]))
        await wait_until(lambda: fake.jobs.get(later.id).status == "SUCCESS")
        assert fake.jobs.get(job.id).status == "QUEUED"

        fake.jobs.pause(job.id, paused=False)

        await wait_until(lambda: fake.jobs.get(job.id).status == "SUCCESS")


async def test_a_job_that_has_not_begun_is_cancelled_at_once(
    fake: FakeMistral, client: SdkClient
) -> None:
    job = await started(client, batch_requests(*PDFS))

    cancelled = await client.jobs.cancel_async(job_id=job.id)

    assert (cancelled.status, cancelled.completed_requests) == ("CANCELLED", 0)
    assert not cancelled.output_file
    assert not fake.call_log.pages_paid


@pytest.mark.parametrize("end", ["CANCELLED", "TIMEOUT_EXCEEDED"])
async def test_a_job_that_is_broken_off_delivers_what_it_had_done(
    fake: FakeMistral, client: SdkClient, end: NextStatus
) -> None:
    job = await started(client, batch_requests(*PDFS))
    await fake.jobs.advance(job.id)
    if end == "CANCELLED":
        asked = await client.jobs.cancel_async(job_id=job.id)
        assert asked.status == "CANCELLATION_REQUESTED"
    else:
        assert (await fake.jobs.advance(job.id, "CANCELLATION_REQUESTED")).done == 2

    await fake.jobs.advance(job.id, "" if end == "CANCELLED" else end)

    ended = await client.jobs.get_async(job_id=job.id)
    assert (ended.status, ended.completed_requests) == (end, 2)
    assert set(await rows(client, ended.output_file)) == {"n-0", "n-1"}
    assert fake.call_log.pages_paid == 2


async def test_a_job_that_fails_has_no_files_but_a_reason(
    fake: FakeMistral, client: SdkClient
) -> None:
    job = await started(client, batch_requests(*PDFS))

    await fake.jobs.advance(job.id, "FAILED")

    failed = await client.jobs.get_async(job_id=job.id)
    assert failed.status == "FAILED"
    assert [error.message for error in failed.errors] == ["The job failed."]
    assert not failed.output_file
    assert (await client.jobs.cancel_async(job_id=job.id)).status == "FAILED"


async def test_a_job_with_a_duration_advances_by_itself() -> None:
    async with (
        fake_mistral(Rules(batch_seconds=0.04)) as fake,
        connected(fake.url, fake.key) as client,
    ):
        job = await started(client, batch_requests(*PDFS))

        async def done() -> bool:
            return (await client.jobs.get_async(job_id=job.id)).status == "SUCCESS"

        await wait_until(done)
        assert fake.call_log.pages_paid == 4


async def test_jobs_are_listed_by_what_has_become_of_them(
    fake: FakeMistral, client: SdkClient
) -> None:
    jobs = [(await started(client, batch_requests(paper))).id for paper in PDFS[:3]]
    await fake.jobs.advance(jobs[0], "SUCCESS")
    await fake.jobs.advance(jobs[1])

    async def listed(**more: Any) -> list[str]:
        return [job.id for job in (await client.jobs.list_async(**more)).data or ()]

    assert await listed() == jobs[::-1]
    assert await listed(order_by="created", page=1, page_size=2) == jobs[2:]
    assert await listed(status=["SUCCESS", "RUNNING"]) == [jobs[1], jobs[0]]
    assert await listed(model="mistral-ocr-2512") == []
    assert (await client.jobs.list_async(page_size=1)).total == 3


async def test_a_deleted_job_is_gone_and_its_files_stay(
    fake: FakeMistral, client: SdkClient
) -> None:
    job = await started(client, batch_requests(PDFS[0]))
    await fake.jobs.advance(job.id, "SUCCESS")

    deleted = await client.jobs.delete_async(job_id=job.id)

    assert (deleted.id, deleted.deleted) == (job.id, True)
    with pytest.raises(errors.SDKError, match="404"):
        await client.jobs.get_async(job_id=job.id)
    assert len(fake.files) == 1


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"endpoint": "/v1/chat/completions"}, 422),
        ({"model": "mistral-large-latest"}, 422),
        ({"timeout_hours": 0}, 422),
        ({"timeout_hours": 169}, 422),
        ({"requests": []}, 422),
        ({"input_files": ["00000000-0000-4000-8000-000000000000"]}, 422),
        ({"requests": None, "input_files": ["00000000-0000-4000-8000-000000000000"]}, 404),
    ],
    ids=str,
)
async def test_a_job_that_cannot_be_done_is_refused(
    client: SdkClient, more: dict[str, Any], status: int
) -> None:
    asked: dict[str, Any] = {
        "endpoint": "/v1/ocr",
        "model": MODEL,
        "requests": batch_requests(BROKEN),
    }

    with pytest.raises(errors.SDKError) as refused:
        await client.jobs.create_async(**{**asked, **more})

    assert refused.value.status_code == status


async def test_requests_sent_along_are_fewer_than_ten_thousand(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.inline_requests = 3

    await started(client, batch_requests(*PDFS[:2]))
    with pytest.raises(errors.SDKError, match="fewer than 3"):
        await started(client, batch_requests(*PDFS[:3]))


async def test_a_file_for_ocr_is_none_for_a_batch(client: SdkClient) -> None:
    file = await client.upload(PDFS[0])

    with pytest.raises(errors.SDKError, match="purpose 'batch'"):
        await client.jobs.create_async(endpoint="/v1/ocr", model=MODEL, input_files=[file])
