"""Files and batch jobs as the real SDK sees them: uploads, links, results, cancellation."""

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from mistralai.client import errors, models

from tests import documents
from tests.mistral.fake import FakeMistral
from tests.mistral.jobs import NextStatus
from tests.mistral.pages import mark
from tests.mistral.rules import Rules
from tests.mistral.sdk import MODEL, SdkClient, batch_requests, connected, uploaded_document
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

PDF = documents.pdf("one")
PDFS = [documents.pdf(f"paper {number}") for number in range(4)]
BROKEN = b"hello"
LINE = b'{"custom_id": "0", "body": {"document": {}}}\n'


async def started(client: SdkClient, asked: Sequence[models.BatchRequest]) -> models.BatchJob:
    return await client.jobs.create_async(endpoint="/v1/ocr", model=MODEL, requests=asked)


async def rows(client: SdkClient, file_id: object) -> dict[str, Any]:
    """Return what a result file holds, by custom_id."""
    assert isinstance(file_id, str)
    lines = map(json.loads, (await client.download(file_id)).splitlines())
    return {line["custom_id"]: line for line in lines}


async def test_an_upload_that_is_no_document_is_refused(client: SdkClient) -> None:
    for content in (b"", b"hello", documents.zip_of({"a.txt": "hello"})):
        with pytest.raises(errors.SDKError, match="Invalid file format") as refused:
            await client.upload(content)
        assert refused.value.status_code == 422


async def test_a_file_for_a_batch_is_checked_line_by_line(client: SdkClient) -> None:
    file = await client.files.upload_async(
        file={"file_name": "a.jsonl", "content": LINE * 3}, purpose="batch"
    )

    assert (file.num_lines, file.sample_type) == (3, "batch_request")
    for wrong in (b"", LINE + b"{\n", LINE + b'{"custom_id": "1"}\n', b"[]\n"):
        with pytest.raises(errors.SDKError, match="Invalid file format") as refused:
            await client.upload(wrong, "a.jsonl", "batch")
        assert refused.value.status_code == 422


async def test_a_deleted_file_is_gone_for_every_endpoint(
    fake: FakeMistral, client: SdkClient
) -> None:
    id_ = await client.upload(PDF)
    link = await client.files.get_signed_url_async(file_id=id_)
    assert (await client.files.retrieve_async(file_id=id_)).deleted is False

    gone = await client.files.delete_async(file_id=id_)

    assert (gone.id, gone.deleted) == (id_, True)
    for again in (
        client.files.delete_async,
        client.files.retrieve_async,
        client.files.download_async,
        client.files.get_signed_url_async,
    ):
        with pytest.raises(errors.SDKError) as refused:
            await again(file_id=id_)
        assert refused.value.status_code == 404
    with pytest.raises(errors.SDKError, match="404"):
        await client.process(uploaded_document(id_))
    with pytest.raises(errors.SDKError, match="could not be fetched"):
        await client.process(models.DocumentURLChunk(document_url=link.url))
    assert len(fake.files) == 0


async def test_a_link_opens_its_file_without_a_key_until_it_expires(
    fake: FakeMistral, client: SdkClient
) -> None:
    id_ = await client.upload(PDF)
    link = (await client.files.get_signed_url_async(file_id=id_, expiry=168)).url
    expired = fake.files.sign(fake.url, id_, hours=-1)

    async with httpx2.AsyncClient() as http:
        assert (await http.get(link)).content == PDF
        for other in (expired, link + "0", link.replace("expires=1", "expires=2"), link[:80]):
            assert (await http.get(other)).status_code == 403
    with pytest.raises(errors.SDKError, match="could not be fetched"):
        await client.process(models.DocumentURLChunk(document_url=expired))


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


async def test_a_job_that_has_not_begun_is_cancelled_at_once(
    fake: FakeMistral, client: SdkClient
) -> None:
    job = await started(client, batch_requests(*PDFS))

    cancelled = await client.jobs.cancel_async(job_id=job.id)

    assert (cancelled.status, cancelled.completed_requests) == ("CANCELLED", 0)
    assert not cancelled.output_file
    assert not fake.call_log.pages_paid


@pytest.mark.parametrize("end", ["CANCELLED", "TIMEOUT_EXCEEDED"])
async def test_an_aborted_job_delivers_what_it_had_done(
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


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"model": "mistral-large-latest"}, 422),
        ({"timeout_hours": 169}, 422),
        ({"requests": []}, 422),
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
