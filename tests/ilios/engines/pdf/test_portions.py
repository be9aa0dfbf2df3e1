"""Portions of a PDF: its pages are the same whatever is converted at once."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import BATCH_PAGES, Portion, Reading, Spent
from ilios.engines.pdf import convert, scans
from schemas.options import PageRange
from schemas.results import PageResult
from tests import documents
from tests.pdf_pages import Builder, lines


def report(pages: int) -> bytes:
    """Return a PDF with a running header, page numbers, and headings of several sizes."""
    sizes = (28, 20, 16, 14.5)
    streams = []
    for number in range(1, pages + 1):
        size = sizes[number % len(sizes)] if number > 1 else 36
        shown = [
            "/F1 9 Tf 1 0 0 1 72 760 Tm (Annual report of the harbour) Tj",
            f"/F1 9 Tf 1 0 0 1 500 30 Tm (Page {number} of {pages}) Tj",
            f"/F1 {size} Tf 1 0 0 1 72 700 Tm (Chapter about ships {number}) Tj",
        ]
        body = 10 if number > 24 else 12  # most of a batch is smaller than most of its first half
        for line in range(20):
            text = f"Line {line} tells of cranes and of what they lifted in month {number}"
            shown.append(f"/F1 {body} Tf 1 0 0 1 72 {660 - 14 * line} Tm ({text}) Tj")
        streams.append(f"BT {' '.join(shown)} ET".encode("latin-1"))
    return documents.pdf_of_streams(streams)


def in_portions(path: Path, most: int | None) -> Sequence[PageResult]:
    found: list[PageResult] = []
    total, spent = None, Spent()
    while total is None or len(found) < total:
        reading = Reading(portion=Portion(len(found), most), spent=spent)
        pages = convert.convert(path, EngineLimits(), lambda *_: None, reading)
        total = pages.total
        images = sum(len(data) for page in pages.pages for data in page.image_bytes.values())
        spent = Spent(spent.image_bytes + images, spent.pictures + pages.pictures)
        found += [page.result for page in pages.pages]
    return found


@pytest.mark.parametrize("pages", [10, BATCH_PAGES + 5])
def test_portions_of_a_few_pages_are_the_pages_of_the_document(tmp_path: Path, pages: int) -> None:
    path = tmp_path / "document"
    path.write_bytes(report(pages))
    whole = in_portions(path, None)
    assert {page.header for page in whole} == {"Annual report of the harbour"}
    assert [page.footer for page in whole] == [f"Page {n} of {pages}" for n in range(1, pages + 1)]
    assert len({page.headings[0].level for page in whole}) > 1
    assert in_portions(path, 3 if pages < BATCH_PAGES else BATCH_PAGES // 2) == whole


def test_a_page_by_itself_has_the_levels_and_running_lines_it_has_among_the_others(
    tmp_path: Path,
) -> None:
    path = tmp_path / "document"
    path.write_bytes(report(9))
    whole = in_portions(path, None)
    for number, page in enumerate(whole, 1):
        reading = Reading(ranges=(PageRange(number, number),))
        alone = convert.convert(path, EngineLimits(), lambda *_: None, reading)
        assert [one.result for one in alone.pages] == [page]
        assert alone.total == 1


def test_pictures_are_read_within_one_budget_for_all_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "FIRST_PICTURES", 1)
    builder = Builder()
    for number in range(3):
        shown = [
            documents.text_image(f"Pump {number}{letter} is sound", height=60).convert("L")
            for letter in "ab"
        ]
        pictures = [builder.image(grey.tobytes(), *grey.size) for grey in shown]
        drawn = "".join(f"q 400 0 0 90 72 {400 - 200 * at} cm /I{at} Do Q\n" for at in range(2))
        builder.page(lines("The pumps are shown below.") + drawn, images=pictures)
    path = tmp_path / "document"
    path.write_bytes(builder.build())
    whole = in_portions(path, None)
    assert [page.markdown.count("is sound") for page in whole] == [1, 1, 1]
    assert {warning.code for page in whole for warning in page.warnings} == {"image_text_unread"}
    assert in_portions(path, 1) == whole
