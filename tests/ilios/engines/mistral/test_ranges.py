"""Long documents are read piece by piece, and each piece is paid for once."""

import asyncio

import pytest

from actors.engines import Unconvertible
from ilios.blobs.local import LocalBlobs
from ilios.engines.mistral import engine as module
from ilios.engines.mistral.engine import MistralEngine
from ilios.engines.mistral.limits import COUNTED_ABOVE_BYTES, INLINE_BYTES
from tests import documents
from tests.ilios.engines.mistral.conftest import Lays, lines_of
from tests.mistral.fake import FakeMistral
from tests.mistral.pages import mark


def many_pages(count: int) -> bytes:
    """Return a PDF of so many pages, large enough to be looked at before it is sent."""
    return documents.pdf(*(f"Page {number}\n" + "x" * 4000 for number in range(count)))


async def test_a_long_document_is_read_in_ranges_of_pages(
    engine: MistralEngine, fake: FakeMistral, blobs: LocalBlobs, source: Lays
) -> None:
    document = many_pages(120)
    seen: list[tuple[int, int]] = []
    conversion = await engine.convert(source(document), lambda *said: seen.append(said))

    assert len(conversion.pages) == 120
    for number, page in enumerate(conversion.pages):
        assert mark(document, number) in page
    assert conversion.billed_pages == 120
    assert seen == [(50, 120), (100, 120), (120, 120)]
    assert not fake.book.paid_twice()
    assert fake.book.requests["files.upload"] == 1 or len(document) <= INLINE_BYTES
    assert conversion.result is not None
    head, pages = await lines_of(blobs, conversion.result.key)
    assert (head.pages, head.billed_pages) == (120, 120)
    assert [page.index for page in pages] == list(range(120))
    kept, _ = await blobs.page("results/", None, 100)
    assert [blob.key for blob in kept] == [conversion.result.key], "its parts are forgotten"


async def test_a_range_that_was_paid_for_is_not_bought_again(
    engine: MistralEngine, fake: FakeMistral, source: Lays
) -> None:
    document = many_pages(120)
    fake.rules.latency = 0.0
    begun = asyncio.Event()

    def stop_after_two(done: int, _total: int) -> None:
        if done == 100:
            begun.set()
            fake.rules.latency = 60.0

    task = asyncio.create_task(engine.convert(source(document), stop_after_two))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    fake.rules.latency = 0.0
    paid = fake.book.pages_paid
    conversion = await engine.convert(source(document, again=True))
    assert fake.book.pages_paid - paid == 20
    assert [mark(document, n) in page for n, page in enumerate(conversion.pages)] == [True] * 120
    assert conversion.billed_pages == 120


async def test_what_exceeds_the_api_is_cut_into_documents_of_its_own(
    engine: MistralEngine, fake: FakeMistral, source: Lays, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = many_pages(120)
    limit = len(document) // 3
    monkeypatch.setattr(module, "DOCUMENT_BYTES", limit)
    fake.rules.document_bytes = limit
    conversion = await engine.convert(source(document))

    assert len(conversion.pages) == 120
    for number, page in enumerate(conversion.pages):
        assert f"Page {number}" in page
    assert fake.book.pages_paid == 120
    assert all(call.size <= limit for call in fake.book.calls)


async def test_more_pages_than_the_api_takes_are_read_all_the_same(
    engine: MistralEngine, fake: FakeMistral, source: Lays
) -> None:
    assert fake.rules.document_pages == 1000
    document = documents.pdf(*(f"Page {number} of many more" for number in range(1001)))
    assert len(document) > COUNTED_ABOVE_BYTES
    conversion = await engine.convert(source(document))
    found = [f"Page {number} of many more" in page for number, page in enumerate(conversion.pages)]
    assert found == [True] * 1001
    assert (fake.book.pages_paid, conversion.billed_pages) == (1001, 1001)


async def test_a_page_that_is_too_large_by_itself_is_refused(
    engine: MistralEngine, source: Lays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DOCUMENT_BYTES", 100)
    with pytest.raises(Unconvertible) as refused:
        await engine.convert(source(many_pages(60)))
    assert refused.value.code == "too_large"
