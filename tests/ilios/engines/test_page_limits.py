"""Pages of a converter are fitted into the bounds that the engine checks."""

from typing import Any

import pytest
from msgspec import structs

from ilios.engines.page_limits import (
    MAX_IMAGE_BYTES,
    MAX_IMAGES,
    MAX_LINK,
    MAX_PAGE_IMAGES,
    MAX_PAGE_ITEMS,
    MAX_PAGE_WARNINGS,
    ImpossiblePage,
    check_pages,
    fit_pages,
    text_sizes,
)
from ilios.engines.pages import ConvertedPage
from schemas.results import (
    Box,
    PageConfidence,
    PageDimensions,
    PageHeading,
    PageImage,
    PageResult,
    PageTable,
)
from schemas.warnings import PageWarning, page_warning

PNG = b"\x89PNG\r\n\x1a\n"


def page(index: int = 0, images: int = 0, data: bytes = PNG, **members: Any) -> ConvertedPage:
    shown = tuple(PageImage(id=f"img-{n}.png") for n in range(images))
    links = " ".join(f"![]({image.id})" for image in shown)
    result = PageResult(index=index, markdown=links, images=shown)
    stored = {image.id: data for image in shown}
    return ConvertedPage(structs.replace(result, **members), stored)


def test_a_page_within_the_bounds_stays_as_it_is() -> None:
    pages = (page(images=MAX_PAGE_IMAGES), page(1, conservation=1.0))
    assert fit_pages(pages) == pages


def test_further_images_are_left_out_with_a_warning() -> None:
    fitted = fit_pages([page(images=MAX_PAGE_IMAGES + 1)])
    check_pages(fitted)
    (result,) = (one.result for one in fitted)
    assert len(result.images) == MAX_PAGE_IMAGES
    assert f"img-{MAX_PAGE_IMAGES}.png" not in result.markdown
    assert [warning.code for warning in result.warnings] == ["images_left_out"]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"headings": (PageHeading(1, "a"),) * (MAX_PAGE_ITEMS + 1)}, "headings on a page"),
        ({"tables": (PageTable("t", "", "html"),) * (MAX_PAGE_ITEMS + 1)}, "tables on a page"),
        ({"hyperlinks": ("a",) * (MAX_PAGE_ITEMS + 1)}, "links on a page"),
        ({"hyperlinks": ("a" * (MAX_LINK + 1),)}, "a link of"),
    ],
)
def test_the_lists_of_a_page_are_bounded(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(ImpossiblePage, match=reason):
        check_pages([page(**members)])
    check_pages(fit_pages([page(**members)]))


def test_each_kind_of_text_of_the_pages_is_counted() -> None:
    first = page(markdown="12345", header="1", footer="12", hyperlinks=("a", "bc"))
    second = page(
        headings=(PageHeading(1, "abcd"),), tables=(PageTable("t", "abc", "html"),), footer="1"
    )
    assert text_sizes([first, second]) == {
        "Markdown": 5,
        "headers and footers": 4,
        "headings": 4,
        "tables": 3,
        "links": 3,
    }


def test_images_of_all_pages_have_one_budget() -> None:
    many = [page(n, images=MAX_PAGE_IMAGES) for n in range(MAX_IMAGES // MAX_PAGE_IMAGES + 1)]
    large = [page(n, images=1, data=PNG + bytes(MAX_IMAGE_BYTES // 2)) for n in range(3)]
    for pages in (many, large):
        fitted = fit_pages(pages)
        check_pages(fitted)
        warned = [bool(one.result.warnings) for one in fitted]
        assert not warned[0]
        assert warned[-1]


def test_an_image_of_an_unknown_kind_is_left_out() -> None:
    warnings = (page_warning("page_incomplete", "a\x1b[2J"),) * (MAX_PAGE_WARNINGS + 1)
    fitted = fit_pages([page(images=1, data=b"BM", warnings=warnings)])
    check_pages(fitted)
    assert fitted[0].image_bytes == {}
    assert fitted[0].result.warnings[-1].code == "images_left_out"


def picture(data: bytes = PNG, **members: Any) -> ConvertedPage:
    """Return a page of 100 x 100 pixels with an image."""
    image = PageImage(**({"id": "img-0"} | members))
    size = PageDimensions(dpi=72, width=100, height=100)
    result = PageResult(index=0, markdown="", images=(image,), dimensions=size)
    return ConvertedPage(result, {image.id: data})


@pytest.mark.parametrize(
    "wrong",
    [
        page(conservation=float("nan")),
        page(confidence=PageConfidence(1.1, 0)),
        page(warnings=(PageWarning("pay_here", "!"),)),
        page(warnings=(page_warning("page_fell_back"),) * (MAX_PAGE_WARNINGS + 1)),
        page(warnings=(PageWarning("page_fell_back", "a\x1b[2J"),)),
        page(dimensions=PageDimensions(dpi=72, width=0, height=1)),
        page(headings=(PageHeading(7, "deep"),)),
        page(tables=(PageTable("a b", "| a |", "markdown"),)),
        page(images=MAX_PAGE_IMAGES + 1),
        picture(b"MZ"),
        picture(id="../../x"),
        picture(name=f"{'0' * 32}.png"),
        picture(PNG + bytes(MAX_IMAGE_BYTES)),
        picture(box=Box(0, 0, 101, 9)),
        picture(annotation="x" * 1001),
        ConvertedPage(PageResult(index=0, markdown=""), {"img-0": PNG}),
    ],
)
def test_a_page_outside_of_the_bounds_is_found(wrong: ConvertedPage) -> None:
    check_pages([picture(box=Box(0, 0, 100, 9))])
    with pytest.raises(ImpossiblePage):
        check_pages([wrong])


def test_boxes_and_shares_are_moved_to_their_limits() -> None:
    image = PageImage(id="img-0.png", box=Box(120, -5, 10, 50))
    size = PageDimensions(dpi=72, width=100, height=200)
    unsure = PageConfidence(float("nan"), -0.1)
    fitted = fit_pages([page(images=1, conservation=1.0000001, confidence=unsure)])
    check_pages(fitted)
    assert fitted[0].result.conservation == 1
    assert fitted[0].result.confidence == PageConfidence(0, 0)
    fitted = fit_pages(
        [ConvertedPage(PageResult(index=0, markdown="", images=(image,), dimensions=size))]
    )
    check_pages(fitted)
    assert fitted[0].result.images[0].box == Box(10, 0, 100, 50)
