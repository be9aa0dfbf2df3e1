"""What can go wrong, and what the real SDK makes of it."""

import asyncio
import time
from typing import get_args

import httpx2
import pytest
from mistralai.client import errors, models
from mistralai.client.types import UNSET

from tests import documents
from tests.mistral.errors import JSON
from tests.mistral.fake import FakeMistral
from tests.mistral.faults import CORRUPTING, TRANSIENT, Fault, Faults, Kind
from tests.mistral.sdk import RETRIES, SHORT_TIMEOUT_MS, SdkClient

PDF = documents.pdf("one", "two")


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("429", 429, "rate_limited"),
        ("500", 500, "internal_server_error"),
        ("502", 502, "<html>"),
        ("503", 503, "internal_server_error"),
        ("504", 504, "<html>"),
        ("capacity", 429, "service_tier_capacity_exceeded"),
        ("quota", 402, "billing_api_budget_exhausted"),
        ("unauthorized", 401, "Unauthorized"),
        ("file_not_found", 404, "File not found"),
    ],
)
async def test_an_error_of_the_api_is_an_sdk_error_with_its_status_and_body(
    fake: FakeMistral, client: SdkClient, kind: Kind, status: int, body: str
) -> None:
    fake.faults.fail_next("ocr", kind)

    with pytest.raises(errors.SDKError) as failed:
        await client.process_pdf(PDF)

    assert failed.value.status_code == status
    assert body in failed.value.body
    assert not fake.call_log.pages_paid
    assert (await client.process_pdf(PDF)).pages


async def test_a_422_without_a_list_is_a_validation_error_without_details(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "unprocessable")

    with pytest.raises(errors.HTTPValidationError) as failed:
        await client.process_pdf(PDF)

    assert failed.value.data.detail is None
    assert "Could not get file." in failed.value.body


@pytest.mark.parametrize("kind", ["garbage", "cut_json", "other_shape"])
async def test_an_answer_that_is_none_is_a_response_validation_error_of_status_200(
    fake: FakeMistral, client: SdkClient, kind: Kind
) -> None:
    fake.faults.fail_next("ocr", kind)

    with pytest.raises(errors.ResponseValidationError) as failed:
        await client.process_pdf(PDF)

    assert failed.value.status_code == 200
    assert failed.value.headers["content-type"] == JSON


async def test_a_page_for_people_is_an_sdk_error_of_status_200(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "html")

    with pytest.raises(errors.SDKError, match="Unexpected response received") as failed:
        await client.process_pdf(PDF)

    assert failed.value.status_code == 200


async def test_answers_can_lack_a_page_or_have_them_in_another_order(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "wrong_pages")
    fake.faults.fail_next("ocr", "wrong_order")

    fewer, reversed_ = await client.process_pdf(PDF), await client.process_pdf(PDF)

    assert [page.index for page in fewer.pages] == [0]
    assert fewer.usage_info.pages_processed == 2
    assert [page.index for page in reversed_.pages] == [1, 0]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("reset", httpx2.ReadError), ("truncated", httpx2.RemoteProtocolError)],
)
async def test_an_answer_that_breaks_off_is_an_error_of_the_http_client(
    fake: FakeMistral, client: SdkClient, kind: Kind, error: type[Exception]
) -> None:
    fake.faults.fail_next("ocr", kind)

    with pytest.raises(error):
        await client.process_pdf(PDF)

    assert (await client.process_pdf(PDF)).pages


async def test_no_answer_is_a_timeout_of_the_http_client(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "hang")
    fake.faults.fail_next("files.list", "hang")
    fake.faults.fail_next("ocr", "slow", seconds=60)

    with pytest.raises(httpx2.ReadTimeout):
        await client.process_pdf(PDF, timeout_ms=SHORT_TIMEOUT_MS)
    with pytest.raises(httpx2.ReadTimeout):
        await client.files.list_async(timeout_ms=SHORT_TIMEOUT_MS)
    with pytest.raises(httpx2.ReadTimeout):
        await client.process_pdf(PDF, timeout_ms=SHORT_TIMEOUT_MS)


async def test_what_is_slow_comes_in_the_end(fake: FakeMistral, client: SdkClient) -> None:
    fake.faults.fail_next("ocr", "slow", seconds=0.05)
    fake.rules.latency = 0.05
    began = time.monotonic()

    await client.process_pdf(PDF)

    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("kind", ["429", "500", "502", "503", "504", "capacity", "reset"])
async def test_the_sdk_asks_again_for_what_may_pass(
    fake: FakeMistral, client: SdkClient, kind: Kind
) -> None:
    fake.faults.fail_next("ocr", kind, times=2)

    assert (await client.process_pdf(PDF, retries=RETRIES)).pages

    assert [call.fault for call in fake.call_log.calls] == [kind, kind, ""]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("quota", errors.SDKError),
        ("unauthorized", errors.SDKError),
        ("file_not_found", errors.SDKError),
        ("garbage", errors.ResponseValidationError),
        ("cut_json", errors.ResponseValidationError),
        ("truncated", httpx2.RemoteProtocolError),
    ],
)
async def test_the_sdk_does_not_ask_again_for_anything_else(
    fake: FakeMistral, client: SdkClient, kind: Kind, error: type[Exception]
) -> None:
    fake.faults.fail_next("ocr", kind)

    with pytest.raises(error):
        await client.process_pdf(PDF, retries=RETRIES)

    assert len(fake.call_log.calls) == 1


async def test_the_sdk_honours_the_retry_after_of_a_429(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "429", retry_after=0.1)
    fake.faults.fail_next("ocr", "429", retry_after=60, retry_after_ms=100)
    began = time.monotonic()

    await client.process_pdf(PDF, retries=RETRIES)

    assert 0.2 <= time.monotonic() - began < 30
    assert len(fake.call_log.calls) == 3


async def test_a_share_of_requests_fails_the_same_way_in_every_order() -> None:
    def picked(order: list[str]) -> dict[str, list[Fault | None]]:
        faults = Faults(seed=1)
        faults.fail_share("ocr", 0.2)
        found: dict[str, list[Fault | None]] = {}
        for document in order:
            found.setdefault(document, []).append(faults.pick("ocr", document))
        return found

    names = [str(number) for number in range(2_000)] * 2
    one, other = picked(names), picked(sorted(names))

    assert one == other
    failed = [fault.kind for faults in one.values() for fault in faults if fault]
    assert 700 < len(failed) < 900
    assert set(failed) == set(TRANSIENT)
    assert any(first and not second for first, second in one.values())


async def test_which_uploads_fail_is_up_to_what_is_in_them_not_to_their_order(
    fake: FakeMistral, client: SdkClient
) -> None:
    papers = [documents.pdf(f"paper {number}") for number in range(12)]

    async def failing(order: list[bytes]) -> set[bytes]:
        await fake.reset()
        fake.faults.fail_share("files.upload", 0.5, ["503"])
        fake.faults.fail_share("files.retrieve", 0.5, ["503"])
        failed = set()
        for content in order:
            try:
                await client.files.retrieve_async(file_id=await client.upload(content))
            except errors.SDKError:
                failed.add(content)
        return failed

    once, again = await failing(papers), await failing(papers[::-1])

    assert once == again
    assert 0 < len(once) < len(papers)


def test_every_fault_refuses_spoils_or_delays() -> None:
    for kind in get_args(Kind):
        ways = [Fault(kind).error() is not None, Fault(kind).corrupts, kind in {"slow", "hang"}]
        assert ways.count(True) == 1, kind
    assert Fault("reset").corrupts
    assert "hang" not in CORRUPTING


async def test_cleared_faults_do_not_happen(fake: FakeMistral, client: SdkClient) -> None:
    fake.faults.fail_next("ocr", "500")
    fake.faults.fail_share("ocr", 1.0, ["503"])

    fake.faults.clear()

    assert (await client.process_pdf(PDF)).pages


async def test_many_clients_get_through_a_fifth_of_faults(
    fake: FakeMistral, client: SdkClient
) -> None:
    kinds: list[Kind | Fault] = ["429", "500", "502", "503", "504", "reset"]
    fake.faults.fail_share("ocr", 0.2, kinds)
    papers = [documents.pdf(f"paper {number}") for number in range(40)]

    async def read(content: bytes) -> models.OCRResponse:
        return await client.process_pdf(content, retries=RETRIES)

    answers = await asyncio.gather(*map(read, papers))

    for number, answer in enumerate(answers):
        assert f"paper {number}\n" in answer.pages[0].markdown + "\n"
    assert 40 < len(fake.call_log.calls) < 80


async def test_what_an_answer_lacks_is_unset_which_is_false_and_neither_none_nor_itself(
    client: SdkClient,
) -> None:
    bare = {"id": "0", "created_at": 0, "completed_requests": 0, "input_files": [], "errors": []}
    counts = {"total_requests": 0, "succeeded_requests": 0, "failed_requests": 0}

    job = models.BatchJob.model_validate(
        {**bare, **counts, "endpoint": "/v1/ocr", "status": "QUEUED"}
    )

    assert not job.output_file
    assert job.output_file == UNSET
    assert job.output_file is not None
    assert job.output_file is not UNSET  # the default is copied into every object
    [page, _] = (await client.process_pdf(PDF)).pages
    assert page.header is None
