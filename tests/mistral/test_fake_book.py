"""What the fake keeps account of: who asked for what, what was paid for, what was left behind."""

import asyncio
import io

import httpx2
import pypdfium2
import pytest
from mistralai.client import errors
from PIL import Image

from tests import documents
from tests.mistral.fake import FakeMistral, Kind, digest, page_key
from tests.mistral.sdk import MODEL, SHORT_TIMEOUT_MS, SdkClient, batch_requests
from tests.waiting import wait_until

PDF = documents.pdf("one", "two", "three")
NAME = digest(PDF)


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


async def test_pages_that_are_paid_for_again_stand_out(
    fake: FakeMistral, client: SdkClient
) -> None:
    await client.process_pdf(PDF, pages=[0, 1])
    await client.process_pdf(PDF, pages=[1, 2])
    await client.process_pdf(PDF + b"\n")

    assert fake.call_log.paid_twice() == {(NAME, 1): 2}
    assert fake.call_log.paid_calls[NAME] == 2
    assert len(fake.call_log.calls_of(NAME)) == 2
    assert fake.call_log.pages_paid == 7


@pytest.mark.parametrize(
    "kind", ["reset", "truncated", "cut_json", "garbage", "html", "other_shape"]
)
async def test_an_answer_that_did_not_arrive_is_paid_for_all_the_same(
    fake: FakeMistral, client: SdkClient, kind: Kind
) -> None:
    fake.faults.fail_next("ocr", kind)

    with pytest.raises((errors.MistralError, httpx2.TransportError)):
        await client.process_pdf(PDF)

    [call] = fake.call_log.calls
    assert (call.fault, call.status, call.paid, call.answered_in_full) == (kind, 200, True, False)
    assert fake.call_log.pages_paid == 3


def part(content: bytes, *pages: int) -> bytes:
    """Return a PDF of these pages."""
    out = io.BytesIO()
    with pypdfium2.PdfDocument.new() as cut, pypdfium2.PdfDocument(content) as whole:
        cut.import_pages(whole, list(pages))
        cut.save(out)
    return out.getvalue()


async def test_a_page_is_identified_by_its_text_across_documents(
    fake: FakeMistral, client: SdkClient
) -> None:
    long = " ".join(["word"] * 50)
    whole = documents.pdf("one", "two", long)

    await client.process_pdf(part(whole, 0, 1))
    await client.process_pdf(part(whole, 1, 2))

    assert fake.call_log.paid_texts == {"one": 1, "two": 2, page_key(long): 1}
    assert not fake.call_log.paid_twice()


async def test_a_page_without_text_is_identified_by_its_image(
    fake: FakeMistral, client: SdkClient
) -> None:
    out = io.BytesIO()
    first, *more = [Image.effect_noise((40, 30), sigma) for sigma in (10, 20, 30)]
    first.save(out, "PDF", save_all=True, append_images=more)
    scan = out.getvalue()

    whole = await client.process_pdf(scan)
    await client.process_pdf(part(scan, 2))

    texts = fake.call_log.paid_texts
    assert sorted(texts.values()) == [1, 1, 2]
    [seen_twice] = [text for text, times in texts.items() if times == 2]
    assert seen_twice.startswith("picture ")
    assert seen_twice in whole.pages[2].markdown


async def test_the_call_log_has_whether_pages_of_each_fault_were_paid_for(
    fake: FakeMistral, client: SdkClient
) -> None:
    kinds: tuple[Kind, ...] = ("429", "reset", "truncated", "500", "reset")
    for kind in kinds:
        fake.faults.fail_next("ocr", kind)
        with pytest.raises((errors.MistralError, httpx2.TransportError)):
            await client.process_pdf(PDF)
    fake.faults.fail_next("files.upload", "503")
    fake.faults.fail_next("files.upload", "truncated")
    for _ in range(2):
        with pytest.raises((errors.MistralError, httpx2.TransportError)):
            await client.upload(PDF)

    summary = {(t["endpoint"], t["kind"]): t for t in fake.summary()["faults"]}

    assert {key: (t["done"], t["times"], t["pages_paid"]) for key, t in summary.items()} == {
        ("ocr", "429"): (False, 1, 0),
        ("ocr", "500"): (False, 1, 0),
        ("ocr", "reset"): (True, 2, 6),
        ("ocr", "truncated"): (True, 1, 3),
        ("files.upload", "503"): (False, 1, 0),
        ("files.upload", "truncated"): (True, 1, 0),
    }
    assert len(fake.files) == 1


async def test_a_refused_call_is_counted_but_not_paid_for(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "503")

    with pytest.raises(errors.SDKError):
        await client.process_pdf(PDF)

    [call] = fake.call_log.calls
    assert (call.document, call.status, call.paid) == (NAME, 503, False)
    assert fake.call_log.calls_by_document[NAME] == 1
    assert not fake.call_log.pages_paid


async def test_the_work_for_a_client_that_has_gone_is_finished_and_paid_for(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.latency = 2 * SHORT_TIMEOUT_MS / 1000

    with pytest.raises(httpx2.ReadTimeout):
        await client.process_pdf(PDF, timeout_ms=SHORT_TIMEOUT_MS)

    await wait_until(lambda: fake.call_log.calls[0].client_gone)
    await wait_until(lambda: fake.call_log.calls[0].paid)
    [call] = fake.call_log.calls
    assert (call.status, call.answered_in_full, call.pages) == (0, False, [0, 1, 2])
    assert fake.call_log.in_hand == 0


async def test_a_client_that_waited_in_vain_pays_nothing(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "hang")
    call = asyncio.create_task(client.process_pdf(PDF))
    await wait_until(lambda: fake.call_log.in_hand == 1)

    call.cancel()

    await wait_until(lambda: fake.call_log.in_hand == 0)
    assert fake.call_log.calls[0].client_gone
    assert not fake.call_log.pages_paid


async def test_the_highest_number_of_calls_at_one_time_is_remembered(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.faults.fail_next("ocr", "hang", times=5)
    calls = [asyncio.create_task(client.process_pdf(PDF)) for _ in range(5)]
    await wait_until(lambda: fake.call_log.in_hand == 5)

    for call in calls:
        call.cancel()
    await wait_until(lambda: fake.call_log.in_hand == 0)
    await client.process_pdf(PDF)

    assert fake.call_log.highest_concurrency == 5


async def test_undeleted_files_and_jobs_are_listed_and_reset_clears_them(
    fake: FakeMistral, client: SdkClient
) -> None:
    file_id, deleted = await client.upload(PDF, "kept.pdf"), await client.upload(PDF)
    await client.files.delete_async(file_id=deleted)
    await client.process_pdf(PDF)
    job = await client.jobs.create_async(
        endpoint="/v1/ocr", model=MODEL, requests=batch_requests(PDF)
    )

    summary = fake.summary()

    assert [file["id"] for file in summary["files"]] == [file_id]
    assert summary["uploads"] == 2
    assert [told["id"] for told in summary["jobs"]] == [job.id]
    assert summary["requests"] == {
        "files.upload": 2,
        "files.delete": 1,
        "ocr": 1,
        "batch.create": 1,
    }
    await fake.reset()
    summary = fake.summary()
    assert not any(summary[name] for name in ("files", "uploads", "jobs", "calls", "pages_paid"))
