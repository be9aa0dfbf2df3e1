"""Selected pages of documents that Mistral reads: only those are requested, paid for and stored."""

import pytest
from msgspec.structs import replace

from actors.blob_keys import original_key
from actors.engines import HeldDocument, Unconvertible
from ilios.blobs.local import LocalBlobs
from ilios.engines.mistral import engine as module
from ilios.engines.mistral.engine import MistralEngine
from ilios.engines.results import CacheKey
from schemas.options import NO_OPTIONS, ConversionOptions
from tests import documents
from tests.ilios.engines.mistral.conftest import ID, MakeSource, OpenEngine, read_result
from tests.mistral.fake import FakeMistral
from tests.mistral.pages import mark

TEN_PAGES = documents.pdf(*(f"Page {number}" for number in range(10)))


async def test_only_selected_pages_are_requested_and_paid_for(
    engine: MistralEngine, fake: FakeMistral, blobs: LocalBlobs, make_source: MakeSource
) -> None:
    conversion = await engine.convert(make_source(TEN_PAGES, pages="2,9-"))

    for index, page in zip((1, 8, 9), conversion.pages, strict=True):
        assert mark(TEN_PAGES, index) in page
    assert [call.pages for call in fake.call_log.calls] == [[1, 8, 9]]
    assert (conversion.billed_pages, fake.call_log.pages_paid) == (3, 3)
    assert conversion.result is not None
    head, pages = await read_result(blobs, conversion.result.key)
    assert (head.pages, head.billed_pages) == (3, 3)
    assert [page.index for page in pages] == [1, 8, 9], "indices are those of the document"


async def test_a_selection_outside_of_a_document_costs_nothing(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    with pytest.raises(Unconvertible, match="the document has 10 pages") as refused:
        await engine.convert(make_source(TEN_PAGES, pages="11-"))
    assert refused.value.code == "pages_out_of_range"
    assert not fake.call_log.requests


async def test_a_selection_of_all_pages_is_requested_as_a_whole(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    word = documents.docx(documents.paragraph("A text."))
    assert len((await engine.convert(make_source(word, documents.DOCX, pages="1-5"))).pages) == 1
    assert len((await engine.convert(make_source(TEN_PAGES, pages="1-"))).pages) == 10
    assert [call.selection for call in fake.call_log.calls] == [None, None]


async def test_slides_are_selected(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    slides = documents.pptx({"One": ["a"], "Two": ["b"], "Three": ["c"]})
    conversion = await engine.convert(make_source(slides, documents.PPTX, pages="2-"))
    assert ["Two" in conversion.pages[0], "Three" in conversion.pages[1]] == [True, True]
    assert fake.call_log.pages_paid == 2


async def test_another_selection_shares_no_stored_result(
    engine: MistralEngine, fake: FakeMistral, make_source: MakeSource
) -> None:
    first = await engine.convert(make_source(TEN_PAGES, pages="1-2"))
    other = await engine.convert(make_source(TEN_PAGES, pages="3-4", again=True))
    again = await engine.convert(make_source(TEN_PAGES, pages="2,1", again=True))
    assert again == replace(first, markdown=None)
    assert other.pages != first.pages
    assert fake.call_log.pages_paid == 4


async def test_a_long_selection_is_read_in_parts_whose_pages_are_paid_once(
    engine: MistralEngine,
    fake: FakeMistral,
    blobs: LocalBlobs,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RANGE_PAGES", 2)
    seen: list[tuple[int, int]] = []
    source = make_source(TEN_PAGES, pages="1,3-5,8")
    conversion = await engine.convert(source, lambda *counts: seen.append(counts))
    assert [call.pages for call in fake.call_log.calls] == [[0, 2], [3, 4], [7]]
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert conversion.result is not None
    _, pages = await read_result(blobs, conversion.result.key)
    assert [page.index for page in pages] == [0, 2, 3, 4, 7]


async def test_pages_of_a_document_beyond_the_limits_are_cut_out(
    engine: MistralEngine,
    fake: FakeMistral,
    blobs: LocalBlobs,
    make_source: MakeSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DOCUMENT_PAGES", 5)
    fake.rules.document_pages = 5
    conversion = await engine.convert(make_source(TEN_PAGES, pages="3,7"))
    assert ["Page 2" in conversion.pages[0], "Page 6" in conversion.pages[1]] == [True, True]
    assert [call.selection for call in fake.call_log.calls] == [None]
    assert fake.call_log.pages_paid == 2
    assert conversion.result is not None
    _, pages = await read_result(blobs, conversion.result.key)
    assert [page.index for page in pages] == [2, 6]


async def test_a_batch_requests_selected_pages(
    open_engine: OpenEngine, fake: FakeMistral, blobs: LocalBlobs
) -> None:
    options = ConversionOptions(engine="mistral", pages="2,4-")
    short = documents.pdf("Only page")
    held = []
    for number, data in enumerate((TEN_PAGES, documents.pdf(*"abcd"), short)):
        document_id = f"{number}" * 24
        blob = await blobs.put_bytes(original_key("default", document_id), data)
        held.append(HeldDocument("default", document_id, blob, documents.PDF))
    async with open_engine() as mistral:
        job, excluded = await mistral.batches.submit("default-batch", held, options)
        assert excluded == {held[2].document_id}, "alone it fails with the reason"
        assert job is not None
        await fake.jobs.advance(job.id, "SUCCESS")
        found = {name: one async for name, one in mistral.batches.results(job.id, held, options)}
    assert [len(found[one.document_id].pages) for one in held[:2]] == [8, 2]
    assert [found[one.document_id].billed_pages for one in held[:2]] == [8, 2]
    result = found[held[0].document_id].result
    assert result is not None
    _, pages = await read_result(blobs, result.key)
    assert [page.index for page in pages] == [1, *range(3, 10)]


def test_only_options_other_than_the_default_change_a_cache_key() -> None:
    def key(options: ConversionOptions) -> str:
        return CacheKey.create("t", ID, "0" * 64, "model", "images", options).blob_key()

    plain = key(NO_OPTIONS)
    assert key(ConversionOptions(engine="mistral", model="model")) == plain
    assert key(ConversionOptions(pages="1-3,2")) == key(ConversionOptions(pages="1,2,3"))
    assert len({plain, key(ConversionOptions(pages="1")), key(ConversionOptions(pages="2"))}) == 3
