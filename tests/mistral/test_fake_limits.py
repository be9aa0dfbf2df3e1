"""The limits of the fake: those of a document, of a file, and of how much is asked at once."""

import asyncio

import pytest
from mistralai.client import errors

from tests import documents
from tests.mistral.fake import FakeMistral
from tests.mistral.sdk import SdkClient, uploaded_document
from tests.waiting import wait_until

MB = 1_000_000
PDF = documents.pdf("one", "two")
LONG = documents.pdf(*[f"page {number}" for number in range(1, 1_002)])


async def test_a_document_of_too_many_pages_is_refused_whatever_part_of_it_is_wanted(
    client: SdkClient,
) -> None:
    for pages in (None, [0]):
        with pytest.raises(
            errors.SDKError, match=r"1001 pages.*maximum allowed of 1000"
        ) as refused:
            await client.process_pdf(LONG, pages=pages)
        assert refused.value.status_code == 400
        assert "document_parser_too_many_pages" in refused.value.body


async def test_a_document_of_the_most_pages_is_read(fake: FakeMistral, client: SdkClient) -> None:
    fake.rules.document_pages = 1_001

    read = await client.process_pdf(LONG)

    assert "page 1001" in read.pages[1000].markdown
    assert fake.call_log.pages_paid == 1_001


async def test_a_document_of_more_than_fifty_megabytes_is_refused(
    fake: FakeMistral, client: SdkClient
) -> None:
    padded = PDF + b"%" + b"\0" * (50 * MB - len(PDF) - 1)

    assert len((await client.process(uploaded_document(await client.upload(padded)))).pages) == 2
    with pytest.raises(errors.SDKError, match="maximum allowed of 50000000") as refused:
        await client.process(uploaded_document(await client.upload(padded + b"\0")))
    assert refused.value.status_code == 413
    assert fake.call_log.pages_paid == 2


async def test_a_document_sent_along_has_the_same_limit(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.document_bytes = len(PDF)

    assert (await client.process_pdf(PDF)).pages
    with pytest.raises(errors.SDKError) as refused:
        await client.process_pdf(PDF + b"\n")
    assert refused.value.status_code == 413


async def test_a_file_that_is_too_large_is_not_stored(fake: FakeMistral, client: SdkClient) -> None:
    fake.rules.file_bytes = len(PDF)

    await client.upload(PDF)
    with pytest.raises(errors.SDKError) as refused:
        await client.upload(PDF + b"\n")
    assert refused.value.status_code == 413
    assert len(fake.files) == 1


async def test_more_calls_at_once_than_allowed_are_turned_away(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.max_concurrent = 2
    for _ in range(2):
        fake.faults.fail_next("ocr", "hang")
    waiting = [asyncio.create_task(client.process_pdf(PDF)) for _ in range(2)]
    await wait_until(lambda: fake.call_log.in_hand == 2)

    with pytest.raises(errors.SDKError, match="rate_limited") as refused:
        await client.process_pdf(PDF)

    assert refused.value.status_code == 429
    for task in waiting:
        task.cancel()
    await wait_until(lambda: fake.call_log.in_hand == 0)
    assert (await client.process_pdf(PDF)).pages
    assert fake.call_log.highest_concurrency == 3


async def test_only_so_many_pages_go_into_a_minute(fake: FakeMistral, client: SdkClient) -> None:
    fake.rules.pages_per_minute = 5

    await client.process_pdf(PDF)
    await client.process_pdf(PDF)
    with pytest.raises(errors.SDKError) as refused:
        await client.process_pdf(PDF)
    await client.process_pdf(PDF, pages=[0])

    assert refused.value.status_code == 429
    assert fake.call_log.pages_paid == 5
    fake.rules.minute = 0.0
    assert (await client.process_pdf(PDF)).pages


async def test_calls_per_minute_are_limited_and_the_429_has_a_retry_after(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.calls_per_minute = 2
    fake.rules.retry_after = 30

    for _ in range(2):
        await client.process_pdf(PDF)
    with pytest.raises(errors.SDKError, match="rate_limited") as refused:
        await client.process_pdf(PDF)

    assert refused.value.status_code == 429
    assert refused.value.headers["retry-after"] == "30"
    assert fake.call_log.pages_paid == 4


async def test_when_the_money_is_used_up_nothing_is_read_any_more(
    fake: FakeMistral, client: SdkClient
) -> None:
    fake.rules.page_budget = 3

    await client.process_pdf(PDF)
    with pytest.raises(errors.SDKError, match="billing_api_budget_exhausted") as refused:
        await client.process_pdf(PDF)

    assert refused.value.status_code == 402
    assert fake.call_log.pages_paid == 2
    fake.rules.page_budget = 4
    assert (await client.process_pdf(PDF)).pages
