"""Long documents are read piece by piece, and each piece is paid for once."""

import asyncio

import pytest

from actors.engines import Unconvertible
from ilios.blobs.local import LocalBlobs
from ilios.engines.mistral import COUNTED_ABOVE_BYTES, INLINE_BYTES
from ilios.engines.mistral import engine as module
from ilios.engines.mistral.engine import MistralEngine
from tests import documents
from tests.ilios.engines.mistral.conftest import MakeSource, read_result
from tests.mistral.fake import FakeMistral
from tests.mistral.pages import mark


def many_pages(count: int) -> bytes:
    """Return a PDF of so many pages, large enough to be counted before it is sent."""
    return documents.pdf(*(f"Page {number}\n" + "x" * 4000 for number in range(count)))


async def test_a_long_document_is_read_in_ranges_of_pages(
    engine: MistralEngine, fake: FakeMistral, blobs: LocalBlobs, make_source: MakeSource
) -> None:
    document = many_pages(120)
    seen: list[tuple[int, int]] = []
    conversion = await engine.convert(make_source(document), lambda *counts: seen.append(counts))

    assert len(conversion.pages) == 120
    for number, page in enumerate(conversion.pages):
        assert mark(document, number) in page
    assert conversion.billed_pages == 120
    assert seen == [(50, 120), (100, 120), (120, 120)]
    assert not fake.call_log.paid_twice()
    assert fake.call_log.requests["files.upload"] == 1 or len(document) <= INLINE_BYTES
    assert conversion.result is not None
    head, pages = await read_result(blobs, conversion.result.key)
    assert (head.pages, head.billed_pages) == (120, 120)
    assert [page.index for page in pages] == list(range(120))
    stored, _ = await blobs.list_page("results/", None, 100)
    assert [blob.key for blob in stored] == [conversion.result.key], "its parts are deleted"


async def test_a_paid_range_is_not_requested_again(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    document = many_pages(120)
    fake.rules.latency = 0.0
    begun = asyncio.Event()

    def stop_after_two(done: int, _total: int) -> None:
        if done == 100:
            begun.set()
            fake.rules.latency = 60.0

    task = asyncio.create_task(engine.convert(make_source(document), stop_after_two))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    fake.rules.latency = 0.0
    paid = fake.call_log.pages_paid
    conversion = await engine.convert(make_source(document, again=True))
    assert fake.call_log.pages_paid - paid == 20
    assert [mark(document, n) in page for n, page in enumerate(conversion.pages)] == [True] * 120
    assert conversion.billed_pages == 120


async def test_a_document_above_the_size_limit_is_cut_into_smaller_ones(
    engine: MistralEngine,
    fake: FakeMistral,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = many_pages(120)
    limit = len(document) // 3
    monkeypatch.setattr(module, "DOCUMENT_BYTES", limit)
    fake.rules.document_bytes = limit
    conversion = await engine.convert(make_source(document))

    assert len(conversion.pages) == 120
    for number, page in enumerate(conversion.pages):
        assert f"Page {number}" in page
    assert fake.call_log.pages_paid == 120
    assert all(call.size <= limit for call in fake.call_log.calls)


async def test_a_document_above_the_page_limit_is_read_completely(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    assert fake.rules.document_pages == 1000
    document = documents.pdf(*(f"Page {number} of many more" for number in range(1001)))
    assert len(document) > COUNTED_ABOVE_BYTES
    conversion = await engine.convert(make_source(document))
    found = [f"Page {number} of many more" in page for number, page in enumerate(conversion.pages)]
    assert found == [True] * 1001
    assert (fake.call_log.pages_paid, conversion.billed_pages) == (1001, 1001)


async def test_a_page_that_is_too_large_by_itself_is_refused(
    engine: MistralEngine, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DOCUMENT_BYTES", 100)
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(make_source(many_pages(60)))
    assert refused.value.code == "too_large"
