"""Running headers and footers, and lines that only look like them."""

import pytest

from ilios.engines.layout.document import LaidOutPage, lay_out, lay_out_again
from ilios.engines.layout.items import Item

from .page_maker import item, page, paragraph, prose


def _laid(*edges: list[Item], first: int = 0) -> list[LaidOutPage]:
    """Lay out pages of different prose with these lines at their edges."""
    return lay_out(
        [
            page([*lines, *paragraph(prose(60, 100 * at), top=150)], index=first + at)
            for at, lines in enumerate(edges)
        ]
    )


def test_the_same_line_at_the_same_place_is_the_header_and_a_counted_number_the_footer() -> None:
    pages = _laid(
        *([item("Harbour rules", 72, 30), item(f"Page {at + 5} of 9", 280, 800)] for at in range(3))
    )
    assert [one.header for one in pages] == ["Harbour rules"] * 3
    assert [one.footer for one in pages] == ["Page 5 of 9", "Page 6 of 9", "Page 7 of 9"]
    assert all("Harbour" not in one.markdown and "of 9" not in one.markdown for one in pages)


def test_a_number_apart_from_the_running_title_is_the_pages_own_on_either_side() -> None:
    pages = _laid(
        [item("12", 72, 30), item("Tides and boats", 400, 30)],
        [item("Tides and boats", 72, 30), item("13", 510, 30)],
        [item("14", 72, 30), item("Tides and boats", 400, 30)],
        [item("Tides and boats", 72, 30), item("15", 510, 30)],
        [item("16", 72, 30), item("Tides and boats", 400, 30)],
        [item("Tides and boats", 72, 30), item("17", 510, 30)],
    )
    assert [one.header for one in pages][:2] == ["12 Tides and boats", "Tides and boats 13"]


@pytest.mark.parametrize(
    "texts",
    [
        ["Invoice 17", "Invoice 18"],
        ["Invoice 17", "Invoice 18", "Invoice 19"],
        ["Invoice 1", "Invoice 2", "Invoice 3"],
        ["Total due 300", "Total due 450", "Total due 120"],
        ["Report on Anna", "Report on Bert", "Report on Carl"],
        ["12.50", "17.30", "9.80"],
    ],
)
@pytest.mark.parametrize("top", [30, 800])
def test_lines_that_differ_in_more_than_the_page_number_are_content(
    texts: list[str], top: float
) -> None:
    pages = _laid(*([item(text, 72, top)] for text in texts))
    assert [(one.header, one.footer) for one in pages] == [(None, None)] * len(texts)
    assert all(text in one.markdown for text, one in zip(texts, pages, strict=True))


@pytest.mark.parametrize(("label", "gap"), [("Invoice No.", 100), ("Invoice", 15), ("Order:", 300)])
def test_a_counted_number_that_is_not_the_pages_own_is_content(label: str, gap: float) -> None:
    right = 72 + len(label) * 5 + gap
    pages = _laid(*([item(label, 72, 30), item(f"{17 + at}", right, 30)] for at in range(4)))
    assert all(one.header is None and label in one.markdown for one in pages)


def test_a_line_larger_than_the_body_is_never_a_header() -> None:
    pages = _laid(*([item("Harbour rules", 72, 30, size=12)] for _ in range(4)))
    assert all(one.header is None and "Harbour rules" in one.markdown for one in pages)


def test_the_repeated_head_of_a_table_at_the_top_of_each_page_is_content() -> None:
    pages = lay_out(
        [
            page(
                [
                    item(text, left, 40 + 14 * row)
                    for row in range(20)
                    for text, left in (
                        ("Berth" if not row else f"A{row}{at}", 72),
                        ("Boat" if not row else f"Boat{row}{at}", 200),
                        ("Fee" if not row else f"{row}.{at}0", 400),
                    )
                ],
                index=at,
            )
            for at in range(3)
        ]
    )
    assert all(one.header is None for one in pages)
    assert all(one.markdown.startswith("| Berth | Boat | Fee |") for one in pages)


@pytest.mark.parametrize("text", ["7", "- 7 -", "Page 7", "7 / 12", "vii"])
def test_on_a_single_page_only_a_lone_page_number_is_taken_out(text: str) -> None:
    [laid] = _laid([item("Harbour rules", 72, 30), item(text, 290, 810)])
    assert (laid.header, laid.footer) == (None, text)
    assert laid.markdown.startswith("Harbour rules")


def test_a_number_close_to_the_text_is_content() -> None:
    lines = paragraph(prose(20), top=780)
    [laid] = lay_out([page([*lines, item("1200", 72, lines[-1].top + 14)])])
    assert laid.footer is None
    assert "1200" in laid.markdown


@pytest.mark.parametrize(
    "line",
    [
        item("Downloaded from https://journals.example/ on July 12", 72, 30),
        item("Harbour Studies | Volume 8 | Issue 3 | e2748", 72, 30, size=11),
        item("www.ferry.example", 72, 30, size=8),
        item("\u00a9 Copyright Harbour Board 2014", 72, 30, size=9),
    ],
)
def test_an_imprint_at_the_edge_of_a_single_page_is_its_header(line: Item) -> None:
    [laid] = _laid([line])
    assert (laid.header, laid.footer) == (line.text, None)
    assert line.text not in laid.markdown


def test_a_title_with_the_pages_number_far_apart_is_the_header_of_a_single_page() -> None:
    [laid] = _laid([item("Tides and boats", 72, 30, size=9), item("447", 500, 30, size=9)])
    assert laid.header == "Tides and boats 447"


@pytest.mark.parametrize(
    "items",
    [
        [item("Invoice 17", 72, 30, size=9)],
        [item("Invoice", 72, 30, size=9), item("17", 500, 30, size=9)],
        [item("Tides and boats", 72, 30), item("447", 500, 30)],
        [item("Annual report", 72, 30, size=9), item("2024", 500, 30, size=9)],
        [item("Write to www.ferry.example", 72, 30, size=8)],
        [item("www.ferry.example", 72, 137, size=8)],
        [item("Tides and boats", 72, 30, size=9)],
    ],
)
def test_other_lines_at_the_edge_of_a_single_page_are_content(items: list[Item]) -> None:
    [laid] = _laid(items)
    assert (laid.header, laid.footer) == (None, None)
    assert items[0].text in laid.markdown


def test_a_page_laid_out_again_has_the_running_lines_and_the_levels_of_its_document() -> None:
    title, section = item("Harbours", top=90, size=20), item("The old harbour", top=110, size=13)
    made = [
        page(
            [
                item("Harbour rules", 72, 30),
                title if at == 0 else section,
                *paragraph(prose(60, 100 * at), top=150),
                item(str(at + 1), 290, 800),
            ],
            index=at,
        )
        for at in range(3)
    ]
    before = lay_out(made)[1]
    more = page([*made[1].items, item("The boat is full", 72, 700)], index=1)
    again = lay_out_again(more, before)
    assert (again.header, again.footer) == (before.header, before.footer) == ("Harbour rules", "2")
    assert again.markdown == f"{before.markdown}\n\nThe boat is full"
    assert again.markdown.startswith("## The old harbour")
