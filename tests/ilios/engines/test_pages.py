"""Selected pages: only those are converted, in document order, by converters of every type."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.engines import Conversion, EngineCrashed, SourceFile, Unconvertible
from ilios.engines.converters import registry
from ilios.engines.local import answer_checks
from ilios.engines.local.answer_checks import AnswerChecker, ImplausibleAnswer
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.protocol import Converted, ToMarkdown, Wear
from ilios.engines.pages import (
    BATCH_PAGES,
    Pages,
    Portion,
    Reading,
    page_numbers,
    selected_count,
)
from ilios.engines.pdf import convert as pdf_convert
from ilios.engines.pdf import draft, parser, reading
from schemas.options import ConversionOptions, PageRange
from tests import documents
from tests.conversions import markdown_pages
from tests.ilios.engines.conftest import PlaceDocument

ONE = EngineLimits(processes=1)
TEXTS = [f"Text of page {number}, which is unlike any other." for number in range(1, 21)]


def selected(document: SourceFile, pages: str) -> SourceFile:
    return msgspec.structs.replace(document, options=ConversionOptions(pages=pages))


async def convert(document: SourceFile, limits: EngineLimits = ONE) -> Conversion:
    async with LocalEngine(limits) as engine:
        return await engine.convert(document)


async def test_only_selected_pages_of_a_pdf_are_converted(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = place_document(documents.pdf(*TEXTS), documents.PDF)
    seen: list[tuple[int, int]] = []
    async with LocalEngine(ONE) as engine:
        conversion = await engine.convert(
            selected(document, "19-,7,2-3"), lambda *counts: seen.append(counts)
        )
    assert list(conversion.pages) == [TEXTS[number - 1] for number in (2, 3, 7, 19, 20)]
    assert (seen[0], seen[-1]) == ((0, 5), (5, 5))


def test_pages_of_a_long_document_that_are_not_selected_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "document"
    more = [f"Further page {number}." for number in range(BATCH_PAGES)]
    path.write_bytes(documents.pdf(*TEXTS, *more))
    opened: list[int] = []
    parsed: list[int] = []
    read, parse = reading.DocumentReader.read, parser.parse_batches

    def read_page(self: reading.DocumentReader, index: int, *found: Any) -> draft.Draft:
        opened.append(index)
        return read(self, index, *found)

    def parse_batches(*arguments: Any) -> Any:
        for batch in parse(*arguments):
            parsed.extend(batch.pages)
            yield batch

    monkeypatch.setattr(reading.DocumentReader, "read", read_page)
    monkeypatch.setattr(pdf_convert, "parse_batches", parse_batches)
    pages = pdf_convert.convert(
        path, ONE, lambda *_: None, Reading((PageRange(4, 6), PageRange(18, 20)))
    )
    texts = [page.result.markdown for page in pages.pages]
    assert texts == [TEXTS[number - 1] for number in (4, 5, 6, 18, 19, 20)]
    assert opened == parsed == [3, 4, 5, 17, 18, 19]


@pytest.mark.parametrize(
    ("content_type", "pages", "count"),
    [
        (documents.PDF, "21", "20 pages"),
        (documents.DOCX, "2-", "1 page"),
        (documents.PPTX, "3", "2 pages"),
        (documents.PNG, "2", "1 page"),
        (documents.TIFF, "4-9", "2 pages"),
    ],
)
async def test_a_selection_outside_the_document_is_refused_with_its_page_count(
    place_document: PlaceDocument, content_type: str, pages: str, count: str
) -> None:
    document = place_document(example(content_type), content_type)
    with pytest.raises(Unconvertible) as refused:
        await convert(selected(document, pages))
    assert refused.value.code == "pages_out_of_range"
    assert f"the document has {count}" in refused.value.reason


def example(content_type: str) -> bytes:
    image = documents.text_image("Hello")
    return {
        documents.PDF: documents.pdf(*TEXTS),
        documents.DOCX: documents.docx(documents.paragraph("A text.")),
        documents.PPTX: documents.pptx({"First slide": ["one"], "Second slide": ["two"]}),
        documents.PNG: documents.image_file(image, "PNG"),
        documents.TIFF: documents.image_file(image, "TIFF", [documents.text_image("Second")]),
    }[content_type]


def converted(folder: Path, content_type: str, pages: str) -> Pages:
    path = folder / "document"
    path.write_bytes(example(content_type))
    ranges = ConversionOptions(pages=pages).page_ranges
    return registry.load_converter(content_type)(path, ONE, lambda *_: None, Reading(ranges))


def test_slides_and_frames_can_be_selected(tmp_path: Path) -> None:
    (slide,) = converted(tmp_path, documents.PPTX, "2-5").pages
    assert "Second slide" in slide.result.markdown
    (frame,) = converted(tmp_path, documents.TIFF, "2").pages
    assert frame.result.markdown == "Second"
    assert len(converted(tmp_path, documents.DOCX, "1-").pages) == 1


@pytest.mark.parametrize(
    ("content_type", "count"),
    [(documents.PDF, 20), (documents.PPTX, 2), (documents.TIFF, 2), (documents.DOCX, 1)],
)
def test_pages_are_counted_by_type(tmp_path: Path, content_type: str, count: int) -> None:
    path = tmp_path / "document"
    path.write_bytes(example(content_type))
    assert registry.count_pages(path, content_type) == count


async def test_the_page_limit_counts_selected_pages(place_document: PlaceDocument) -> None:
    limits = EngineLimits(processes=1, max_pages=3)
    document = place_document(documents.pdf(*TEXTS), documents.PDF)
    assert len((await convert(selected(document, "5-7"), limits)).pages) == 3
    with pytest.raises(Unconvertible) as refused:
        await convert(selected(document, "5-8"), limits)
    assert refused.value.code == "too_many_pages"


def test_a_child_cannot_claim_more_pages_than_are_selected() -> None:
    task = ToMarkdown((PageRange(2, 3),))
    checker = AnswerChecker(task, documents.PDF, 10_000, ONE)
    checker.check(Converted(tuple(markdown_pages([1, 2], ["a", "b"])), "m", Wear(1, cramped=False)))
    with pytest.raises(ImplausibleAnswer, match="3 pages"):
        checker.check(
            Converted(
                tuple(markdown_pages([1, 2, 3], ["a", "b", "c"])), "m", Wear(1, cramped=False)
            )
        )


async def test_selected_pages_are_recounted_where_there_are_many(
    place_document: PlaceDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_checks, "COUNTED_ALWAYS", 3)
    document = place_document(documents.pdf(*TEXTS), documents.PDF)
    assert len((await convert(selected(document, "18-"))).pages) == 3
    with monkeypatch.context() as patched:
        patched.setattr("ilios.engines.local.pool.selected_count", lambda *_: 4)
        with pytest.raises(EngineCrashed, match="claimed 3 pages of 4"):
            await convert(selected(document, "18-"))


def test_selected_pages_are_counted_without_listing_them() -> None:
    ranges = (PageRange(2, 3), PageRange(7, None))
    assert [selected_count(ranges, count) for count in (1, 2, 6, 7, 1_000_000)] == [
        0, 1, 2, 3, 999_996,
    ]  # fmt: skip
    assert selected_count((), 5) == 5


@pytest.mark.parametrize(
    ("pages", "first", "last", "numbers"),
    [
        (None, 0, 3, [1, 2, 3]),
        (None, 250, 252, [251, 252]),
        ("2-4,7,10-", 0, 6, [2, 3, 4, 7, 10, 11]),
        ("2-4,7,10-", 3, 5, [7, 10]),
    ],
)
def test_positions_among_selected_pages_have_their_numbers(
    pages: str | None, first: int, last: int, numbers: list[int]
) -> None:
    ranges = ConversionOptions(pages=pages).page_ranges
    assert list(page_numbers(ranges, first, last)) == numbers


def test_a_portion_ends_with_the_pages() -> None:
    selected = range(10, 20)
    assert list(Portion(8, 5).of(selected)) == [18, 19]
    assert list(Portion(2).of(selected)) == list(range(12, 20))
    assert (Portion().is_over, Portion(ends_at=0.0).is_over) == (False, True)


def test_each_page_of_a_pdf_shows_progress_when_read_laid_out_and_finished(tmp_path: Path) -> None:
    path = tmp_path / "document"
    path.write_bytes(documents.pdf(*TEXTS[:3]))
    seen: list[tuple[int, int]] = []
    pdf_convert.convert(path, ONE, lambda *place: seen.append(place))
    assert seen == [(0, 3), (0, 3), (1, 3), (2, 3), *[(3, 3)] * 7]
