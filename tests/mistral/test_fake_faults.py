"""Faults as the real SDK sees them, what is paid for despite them, and the fake as a process."""

from typing import get_args

import httpx2
import pytest
from mistralai.client import errors

from tests import documents
from tests.mistral.errors import JSON
from tests.mistral.fake import FakeMistral, Kind, digest
from tests.mistral.faults import CORRUPTING, TRANSIENT, Fault, Faults
from tests.mistral.process import running_fake
from tests.mistral.sdk import RETRIES, SHORT_TIMEOUT_MS, SdkClient, connected

PDF = documents.pdf("one", "two", "three")
NAME = digest(PDF)


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


@pytest.mark.parametrize("kind", ["garbage", "cut_json", "other_shape"])
async def test_a_malformed_answer_is_a_response_validation_error_of_status_200(
    fake: FakeMistral, client: SdkClient, kind: Kind
) -> None:
    fake.faults.fail_next("ocr", kind)

    with pytest.raises(errors.ResponseValidationError) as failed:
        await client.process_pdf(PDF)

    assert failed.value.status_code == 200
    assert failed.value.headers["content-type"] == JSON


async def test_answers_can_lack_a_page_or_have_them_in_another_order(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "wrong_pages")
    fake.faults.fail_next("ocr", "wrong_order")

    fewer, reversed_ = await client.process_pdf(PDF), await client.process_pdf(PDF)

    assert [page.index for page in fewer.pages] == [0, 1]
    assert fewer.usage_info.pages_processed == 3
    assert [page.index for page in reversed_.pages] == [2, 1, 0]


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


def test_every_fault_refuses_corrupts_or_delays() -> None:
    for kind in get_args(Kind):
        ways = [Fault(kind).error() is not None, Fault(kind).corrupts, kind in {"slow", "hang"}]
        assert ways.count(True) == 1, kind
    assert Fault("reset").corrupts
    assert "hang" not in CORRUPTING


async def test_a_call_is_logged_with_its_request_and_response(
    fake: FakeMistral, client: SdkClient
) -> None:
    await client.process_pdf(PDF, pages="0,2")

    [call] = fake.call_log.calls
    assert (call.number, call.how, call.document, call.size) == (1, "document_url", NAME, len(PDF))
    assert (call.model, call.selection, call.pages) == ("mistral-ocr-4-1", "0,2", [0, 2])
    assert (call.status, call.paid, call.answered_in_full) == (200, True, True)
    assert (call.fault, call.client_gone, call.job) == ("", False, "")
    assert 0 < call.seconds < 10
    assert fake.call_log.pages_paid == 2
    assert not fake.call_log.paid_twice()


async def test_pages_that_are_paid_for_again_are_counted(
    fake: FakeMistral, client: SdkClient
) -> None:
    await client.process_pdf(PDF, pages=[0, 1])
    await client.process_pdf(PDF, pages=[1, 2])
    await client.process_pdf(PDF + b"\n")

    assert fake.call_log.paid_twice() == {(NAME, 1): 2}
    assert fake.call_log.paid_calls[NAME] == 2
    assert fake.call_log.pages_paid == 7


@pytest.mark.parametrize(
    "kind", ["reset", "truncated", "cut_json", "garbage", "html", "other_shape"]
)
async def test_an_answer_that_did_not_arrive_is_paid_for(
    fake: FakeMistral, client: SdkClient, kind: Kind
) -> None:
    fake.faults.fail_next("ocr", kind)

    with pytest.raises((errors.MistralError, httpx2.TransportError)):
        await client.process_pdf(PDF)

    [call] = fake.call_log.calls
    assert (call.fault, call.status, call.paid, call.answered_in_full) == (kind, 200, True, False)
    assert fake.call_log.pages_paid == 3


async def test_the_fake_runs_as_a_process_whose_faults_are_set_over_http() -> None:
    async with running_fake() as fake, connected(fake.url, fake.key, RETRIES) as client:
        await fake.fail_share(0.5, ["503"], endpoints=["ocr"], seed=1)
        for number in range(8):
            assert (await client.process_pdf(documents.pdf(f"paper {number}"))).pages
        await fake.fail_share(1, ["quota"], endpoints=["ocr"])
        with pytest.raises(errors.SDKError, match="402"):
            await client.process_pdf(PDF)
        assert await fake.paid_calls() == {
            digest(documents.pdf(f"paper {number}")): 1 for number in range(8)
        }


async def test_a_fake_that_cannot_start_raises() -> None:
    with pytest.raises(RuntimeError, match="before it began"):
        async with running_fake("--delay-ms", "x"):
            pass
