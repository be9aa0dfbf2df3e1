"""The layout of whole pages."""

import random
import re
import time
from collections import Counter

import pytest

from ilios.engines.layout.document import LaidOutPage, lay_out
from ilios.engines.layout.items import Item, PageItems, Stroke

from .page_maker import item, page, paragraph, prose


def one(made: PageItems) -> LaidOutPage:
    [laid] = lay_out([made])
    return laid


def _chars(text: str) -> Counter[str]:
    """The letters and digits of a text; hyphens and marks are the layout's."""
    return Counter(re.sub(r"[\W_]", "", text))


def _random_page(seed: int) -> PageItems:
    dice = random.Random(seed)
    items: list[Item] = []
    for number in range(dice.randint(1, 120)):
        text = " ".join(f"w{seed}x{number}y{part}" for part in range(dice.randint(1, 9)))
        text = dice.choice(["", "", "", "• ", "1. ", "# ", "שלום ", "- "]) + text
        items.append(
            item(
                text,
                dice.choice([72, 72, 90, 310, dice.uniform(0, 560)]),
                dice.choice([12 * dice.randint(2, 65), dice.uniform(0, 830)]),
                size=dice.choice([9, 10, 10, 10, 14, 24]),
                bold=dice.random() < 0.1,
                monospaced=dice.random() < 0.1,
                vertical=dice.random() < 0.02,
            )
        )
    strokes = [
        dice.choice([Stroke(x, y, x + 200, y), Stroke(x, y, x, y + 200)])
        for x, y in (
            (dice.randrange(50, 500, 50), dice.randrange(50, 800, 50))
            for _ in range(dice.choice([0, 0, 30]))
        )
    ]
    return page(items, strokes, index=seed % 7)


@pytest.mark.parametrize("seed", range(60))
def test_every_word_of_a_page_comes_out_and_only_table_cells_that_span_are_repeated(
    seed: int,
) -> None:
    made = _random_page(seed)
    laid = one(made)
    given = _chars(" ".join(item.text for item in made.items))
    text = " ".join([laid.markdown, laid.header or "", laid.footer or ""])
    missing = given - _chars(text)
    assert not missing
    if not laid.tables:
        assert _chars(text) == given


def test_two_columns_are_read_one_after_the_other_below_their_title() -> None:
    title = item("Boats of the north", 200, 40, size=20)
    left = paragraph(prose(60), 60, 90, chars=44)
    right = paragraph(prose(60, 100), 310, 90, chars=44)
    laid = one(page([title, *left, *right]))
    assert laid.markdown == f"# Boats of the north\n\n{prose(60)}\n\n{prose(60, 100)}"
    assert [heading.text for heading in laid.headings] == ["Boats of the north"]


def test_a_closed_table_stands_between_the_paragraphs_around_it() -> None:
    rules = [Stroke(72, y, 372, y) for y in (200, 220, 240, 260)]
    rules += [Stroke(x, 200, x, 260) for x in (72, 172, 272, 372)]
    cells = [
        item(f"cell{row}{at}", 80 + 100 * at, 204 + 20 * row) for row in range(3) for at in range(3)
    ]
    laid = one(page([*paragraph(prose(30), top=72), *cells, item("The end.", top=300)], rules))
    before, table, after = laid.markdown.split("\n\n")
    assert before == prose(30)
    assert table.splitlines()[2] == "| cell10 | cell11 | cell12 |"
    assert after == "The end."
    assert [one.content for one in laid.tables] == [table]


@pytest.mark.parametrize("kind", ["items", "strokes", "one row", "one column"])
def test_a_page_of_a_hundred_thousand_things_ends_in_time_and_drops_nothing(kind: str) -> None:
    count = 100_000
    dice = random.Random(1)
    if kind == "strokes":
        strokes = [Stroke(at % 600, 10, at % 600, 800) for at in range(count)]
        made = page([item("lighthouse")], strokes)
    elif kind == "one row":
        made = page([item(f"n{at}", at * 40.0, 72) for at in range(count)])
    elif kind == "one column":
        made = page([item(f"n{at}", 72, at * 0.01) for at in range(count)])
    else:
        made = page(
            [item(f"n{at}", dice.uniform(0, 500), dice.uniform(0, 800)) for at in range(count)]
        )
    started = time.process_time()
    laid = one(made)
    assert time.process_time() - started < 20
    assert Counter(laid.markdown.split()) == Counter(item.text for item in made.items)


def test_boxes_and_sizes_of_any_number_lose_no_word() -> None:
    odd = Item(
        left=float("nan"), top=float("inf"), right=-1e300, bottom=0.0, text="odd", size=float("nan")
    )
    flat = Item(left=9, top=9, right=5, bottom=5, text="flat", size=-3)
    none = Item(left=80, top=80, right=80, bottom=80, text="none", size=0)
    laid = one(page([odd, flat, none, *paragraph(prose(20), top=200)]))
    assert {"odd", "flat", "none"} <= set(laid.markdown.split())


def test_recognised_lines_of_uneven_heights_are_one_paragraph() -> None:
    lines = [
        Item(
            left=72,
            top=100 + 20 * at - at % 3,
            right=472,
            bottom=112 + 20 * at + at % 3,
            text=f"boat{at} sails at dawn with the tide",
            size=12 + 2 * (at % 3),
        )
        for at in range(6)
    ]
    [laid] = lay_out([page(lines)], noisy=True)
    assert "\n" not in laid.markdown
    assert not laid.headings


def test_pages_made_to_take_the_square_of_the_time_are_laid_out_at_once() -> None:
    def line(text: str, top: float) -> Item:
        return Item(left=50, top=top, right=550, bottom=top + 10, text=text, size=10)

    leaders = [line(". " * 20_000 + "wwwwwwwww", 300), line("." * 20_000 + " x yyyyyyyy", 400)]
    head = line("- 1" * 20_000, 10)
    row = [
        Item(left=20 * n, top=15 * at, right=20 * n + 6, bottom=15 * at + 10, text="ab", size=10)
        for at in (30, 31)
        for n in range(3_900)
    ]
    pages = [
        PageItems(index=index, width=600, height=800, items=(head, *items))
        for index, items in enumerate((leaders, row, [line("Body", 300)]))
    ]
    began = time.process_time()
    made = lay_out(pages)
    assert time.process_time() - began < 5  # each of them took more than that
    texts = [f"{page.header or ''} {page.markdown}" for page in made]
    assert "wwwwwwwww" in texts[0]
    assert "yyyyyyyy" in texts[0]
    assert texts[1].count("ab") == len(row)
