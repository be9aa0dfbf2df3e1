"""Tables between rules."""

from ilios.engines.layout.document import LaidOutPage, lay_out
from ilios.engines.layout.items import Item, Stroke

from .page_maker import item, page, paragraph, prose


def _grid(xs: list[float], ys: list[float]) -> list[Stroke]:
    flat = [Stroke(xs[0], y, xs[-1], y) for y in ys]
    return flat + [Stroke(x, ys[0], x, ys[-1]) for x in xs]


def _laid(items: list[Item], strokes: list[Stroke]) -> LaidOutPage:
    [laid] = lay_out([page([*items, *paragraph(prose(60), top=500)], strokes)])
    return laid


def _rows(laid: LaidOutPage) -> list[str]:
    [table] = laid.tables
    assert table.content in laid.markdown
    lines = table.content.splitlines()
    return lines[:1] + lines[2:]


def test_rows_without_rules_between_them_are_rows_of_the_table() -> None:
    xs: list[float] = [72, 180, 380, 480]
    cells = [
        item(text, left + 4, 146) for text, left in zip(["Berth", "Boat", "Fee"], xs, strict=False)
    ]
    for row in range(4):
        texts = [f"A{row}", f"Boat{row}", f"{row}00"]
        cells += [
            item(text, left + 4, 164 + 18 * row) for text, left in zip(texts, xs, strict=False)
        ]
    laid = _laid(cells, _grid(xs, [142, 160, 236]))
    assert _rows(laid)[0] == "| Berth | Boat | Fee |"
    assert _rows(laid)[2] == "| A1 | Boat1 | 100 |"
    assert len(_rows(laid)) == 5


def test_the_lines_of_a_cell_between_rules_are_one_cell() -> None:
    cells = [
        item("Boat", 76, 104),
        item("What it is for", 176, 104),
        item("Kittiwake", 76, 124),
        item("carries nets and", 176, 124),
        item("lobster pots", 176, 136),
    ]
    laid = _laid(cells, _grid([72, 172, 372], [100, 120, 150]))
    assert _rows(laid) == [
        "| Boat | What it is for |",
        "| Kittiwake | carries nets and lobster pots |",
    ]


def test_lines_with_a_number_each_are_rows_also_above_a_total() -> None:
    cells = [item("Village", 76, 104), item("Houses", 276, 104)]
    for at, texts in enumerate((("Over", "41"), ("Nether", "1,017"), ("Under", "9"))):
        cells += [item(texts[0], 76, 124 + 12 * at), item(texts[1], 276, 124 + 12 * at)]
    cells += [item("Together", 76, 164), item("1,067", 276, 164)]
    laid = _laid(cells, _grid([72, 272, 372], [100, 120, 160, 180]))
    assert _rows(laid) == [
        "| Village | Houses |",
        "| Over | 41 |",
        "| Nether | 1,017 |",
        "| Under | 9 |",
        "| Together | 1,067 |",
    ]


def test_a_cell_whose_text_goes_on_beside_two_numbers_is_one() -> None:
    cells = [item("Office", 76, 104), item("Telephone", 276, 104)]
    cells += [item("The mill at the", 76, 124), item("lower weir", 76, 136)]
    cells += [item("40 81 17", 276, 124), item("40 81 18", 276, 136)]
    cells += [item("The ferry", 76, 164), item("40 82 19", 276, 164)]
    laid = _laid(cells, _grid([72, 272, 372], [100, 120, 160, 180]))
    assert _rows(laid)[1] == "| The mill at the lower weir | 40 81 17 40 81 18 |"


def test_a_head_over_several_columns_is_repeated_in_each() -> None:
    strokes = [Stroke(72, y, 372, y) for y in (100, 140, 160)] + [Stroke(172, 120, 372, 120)]
    strokes += [Stroke(72, 100, 72, 160), Stroke(172, 100, 172, 160), Stroke(372, 100, 372, 160)]
    strokes += [Stroke(272, 120, 272, 160)]
    cells = [
        item("Boat", 76, 112),
        item("Fees", 250, 104),
        item("May", 176, 124),
        item("June", 276, 124),
        item("Kittiwake", 76, 144),
        item("120", 176, 144),
        item("135", 276, 144),
    ]
    assert _rows(_laid(cells, strokes)) == [
        "| Boat | Fees | Fees |",
        "| Boat | May | June |",
        "| Kittiwake | 120 | 135 |",
    ]


def test_a_head_above_the_first_rule_belongs_to_the_table_and_a_caption_does_not() -> None:
    cells = [item("Table 1: Fees", 72, 80), item("Boat", 76, 107), item("Fee", 276, 107)]
    for row in range(3):
        cells += [item(f"Boat{row}", 76, 124 + 20 * row), item(f"{row}00", 276, 124 + 20 * row)]
    laid = _laid(cells, _grid([72, 272, 372], [120, 140, 160, 180]))
    assert _rows(laid)[0] == "| Boat | Fee |"
    assert laid.markdown.startswith("Table 1: Fees\n\n|")


def test_a_frame_around_columns_of_prose_is_no_table() -> None:
    left = paragraph(prose(60), 60, 90, chars=44)
    right = paragraph(prose(60, 100), 310, 90, chars=44)
    laid = _laid([*left, *right], _grid([50, 300, 545], [80, 480]))
    assert not laid.tables
    assert prose(60) in laid.markdown


def test_the_columns_of_a_right_to_left_table_are_in_reading_order() -> None:
    cells = [
        item("מחיר", 80, 104),
        item("סירה", 180, 104),
        item("100", 80, 124),
        item("שחף", 180, 124),
    ]
    laid = _laid(cells, _grid([72, 172, 272], [100, 120, 140]))
    assert _rows(laid)[0] == "| סירה | מחיר |"


def test_columns_without_a_rule_between_them_are_found_below_a_head_over_both() -> None:
    xs: list[float] = [72, 156, 324, 492]
    lefts = [76.0, 160.0, 244.0, 328.0, 412.0]
    cells = [item("North side", 215, 135), item("South side", 385, 135)]
    for at, texts in enumerate(
        (("Year", "Sail", "Steam", "Motor", "Oar"), ("1911", "55", "20", "41", "13"),
         ("1912", "52", "24", "39", "18"), ("1913", "47", "30", "36", "25"))
    ):  # fmt: skip
        cells += [item(text, left, 153 + 18 * at) for left, text in zip(lefts, texts, strict=True)]
    rows = _rows(_laid(cells, _grid(xs, [132, 150, 168, 222])))
    assert rows == [
        "|  | North side | North side | South side | South side |",
        "| Year | Sail | Steam | Motor | Oar |",
        "| 1911 | 55 | 20 | 41 | 13 |",
        "| 1912 | 52 | 24 | 39 | 18 |",
        "| 1913 | 47 | 30 | 36 | 25 |",
    ]


def test_a_phrase_across_the_rules_between_cells_is_parted_there() -> None:
    xs: list[float] = [72, 110, 182, 260]
    cells = [
        item("Day", 76, 104),
        item("Morning", 114, 104),
        item("Evening", 186, 104),
        item("Day 11 10:00 to 12:00 14:30 to 18:00", 76, 124, width=180),
        item("Day 12", 76, 144),
        item("9:00 to 11:00 closed", 114, 144, width=104),
    ]
    laid = _laid(cells, _grid(xs, [100, 120, 140, 160]))
    assert _rows(laid)[1:] == [
        "| Day 11 | 10:00 to 12:00 | 14:30 to 18:00 |",
        "| Day 12 | 9:00 to 11:00 | closed |",
    ]


def test_text_across_a_rule_that_is_not_of_a_table_stays_whole() -> None:
    strokes = _grid([72, 200, 420], [60, 400])
    [laid] = lay_out([page(paragraph(prose(120), top=72), strokes)])
    assert prose(120) in laid.markdown


def test_rows_between_shaded_ones_belong_to_the_table() -> None:
    xs: list[float] = [72, 180, 280, 380]
    cells = [
        item(f"{letter}{row}", left + 4, 104 + 20 * row)
        for row in range(5)
        for letter, left in zip("ABC", xs, strict=False)
    ]
    shaded = [_grid(xs, [top, top + 20]) for top in (100, 140, 180)]
    laid = _laid(cells, [stroke for strokes in shaded for stroke in strokes])
    assert _rows(laid) == [f"| A{row} | B{row} | C{row} |" for row in range(5)]
