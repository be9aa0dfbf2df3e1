"""Tables without rules."""

from ilios.engines.layout.document import lay_out
from ilios.engines.layout.items import Item, Stroke

from .page_maker import item, page, paragraph, prose


def _rows(*items: Item) -> list[str]:
    [laid] = lay_out([page([*paragraph(prose(60), top=500), *items])])
    [table] = laid.tables
    lines = table.content.splitlines()
    return lines[:1] + lines[2:]


def _row(top: float, *texts: str) -> list[Item]:
    return [item(text, 72 + 120 * at, top) for at, text in enumerate(texts) if text]


def test_rows_of_short_texts_in_columns_are_a_table() -> None:
    rows = _rows(*_row(100, "Boat", "Fee", "Berth"), *_row(114, "Kittiwake", "120", "A1"))
    assert rows == ["| Boat | Fee | Berth |", "| Kittiwake | 120 | A1 |"]


def test_a_lone_indented_line_continues_the_cell_above() -> None:
    rows = _rows(
        *_row(100, "Boat", "Fee", "For"),
        *_row(114, "Kittiwake", "120", "nets and"),
        *_row(128, "", "", "lobster pots"),
        *_row(142, "Merganser", "135", "tourists"),
    )
    assert rows[1] == "| Kittiwake | 120 | nets and lobster pots |"
    assert len(rows) == 3


def test_the_columns_of_a_script_from_right_to_left_begin_at_the_right() -> None:
    rows = _rows(
        *_row(
            100, "\u05de\u05d7\u05d9\u05e8", "\u05e8\u05e6\u05d9\u05e3", "\u05e1\u05d9\u05e8\u05d4"
        ),
        *_row(114, "120", "\u05d0", "\u05e9\u05d7\u05e3"),
        *_row(128, "135", "\u05d1", "\u05e2\u05d2\u05d5\u05e8"),
    )
    assert rows[1:] == [
        "| \u05e9\u05d7\u05e3 | \u05d0 | 120 |",
        "| \u05e2\u05d2\u05d5\u05e8 | \u05d1 | 135 |",
    ]


def test_lines_closer_to_the_row_below_belong_to_it() -> None:
    rows = _rows(
        *_row(100, "Boat", "For", "Fee"),
        *_row(118, "Kittiwake", "nets", "120"),
        *_row(136, "", "eel traps,", ""),
        *_row(148, "", "crab and", ""),
        *_row(160, "Merganser", "lobster pots", "135"),
        *_row(178, "Sandpiper", "tourists", "90"),
    )
    assert rows[1:] == [
        "| Kittiwake | nets | 120 |",
        "| Merganser | eel traps, crab and lobster pots | 135 |",
        "| Sandpiper | tourists | 90 |",
    ]


def test_a_large_title_in_the_first_row_does_not_join_the_rows_below() -> None:
    rows = _rows(
        item("INVOICE", 72, 90, size=20),
        *_row(100, "", "Number", "2024-117"),
        *_row(114, "", "Date", "3 June"),
        *_row(128, "", "Due", "3 July"),
    )
    assert rows == [
        "| INVOICE | Number | 2024-117 |",
        "|  | Date | 3 June |",
        "|  | Due | 3 July |",
    ]


def test_a_spanning_head_is_repeated_and_currency_signs_join_their_amounts() -> None:
    items = [item("Fees of", 244, 100), item("May", 200, 114), item("June", 312, 114)]
    for row, boat in enumerate(["Kittiwake", "Merganser", "Sandpiper"]):
        top = 128 + 14 * row
        items += [item(boat, 72, top), item("$", 192, top), item(f"{row}20", 220, top)]
        items += [item(f"{row}35", 312, top)]
    rows = _rows(*items)
    assert rows[:3] == [
        "|  | Fees of | Fees of |",
        "|  | May | June |",
        "| Kittiwake | $ 020 | 035 |",
    ]


def test_equations_with_their_numbers_are_no_table() -> None:
    items = [
        one
        for at in range(4)
        for one in (
            item(f"a{at} = b + c", 150, 100 + 20 * at),
            item(f"({at + 1})", 480, 100 + 20 * at),
        )
    ]
    [laid] = lay_out([page([*paragraph(prose(60), top=500), *items])])
    assert not laid.tables


def test_a_list_of_contents_is_a_table_of_titles_and_page_numbers() -> None:
    items = [
        item(f"{at} Harbours of the north " + ". " * 30 + f"{at}2", 72, 100 + 14 * at)
        for at in range(1, 5)
    ]
    rows = _rows(*items)
    assert rows[0].endswith("| 12 |")
    assert len(rows) == 4


def test_a_closer_line_in_the_first_column_continues_the_row_above_also_as_the_last() -> None:
    rows = _rows(
        *_row(100, "Task", "Who", "Day"),
        *_row(120, "Paint the rail", "Anna", "Monday"),
        *_row(132, "of the stairs"),
        *_row(152, "Count crates", "Bert", "Friday"),
        *_row(172, "Oil the hinges", "Clara", "Sunday"),
        *_row(184, "Of both gates"),
    )
    assert rows[1] == "| Paint the rail of the stairs | Anna | Monday |"
    assert rows[3:] == ["| Oil the hinges Of both gates | Clara | Sunday |"]


def test_a_sentence_below_a_table_at_the_distance_of_its_rows_is_no_row() -> None:
    rows = _rows(
        *_row(100, "Boat", "Fee", "Berth"),
        *_row(114, "Kittiwake", "120", "A1"),
        *_row(128, "Merganser", "135", "A2"),
        item("All of it.", 72, 142),
    )
    assert rows[-1] == "| Merganser | 135 | A2 |"


def test_heads_over_two_columns_each_are_repeated_in_both_of_them() -> None:
    heads = [item("Spring", 238, 86), item("Autumn", 478, 86)]
    rows = _rows(
        *heads,
        *_row(100, "Port", "Cod", "Crab", "Eel", "Sole"),
        *_row(114, "Northwick", "41", "17", "66", "29"),
        *_row(128, "Easthaven", "38", "22", "70", "31"),
    )
    assert rows[0] == "|  | Spring | Spring | Autumn | Autumn |"


def test_a_rule_below_a_head_shows_over_which_columns_it_stands() -> None:
    head = item("Landings", 300, 86)
    table = [
        *_row(100, "Port", "Cod", "Crab", "Eel"),
        *_row(114, "Northwick", "41", "17", "66"),
        *_row(128, "Easthaven", "38", "22", "70"),
    ]
    rules = [Stroke(190, 99, 520, 99)]
    [laid] = lay_out([page([*paragraph(prose(60), top=500), head, *table], rules)])
    assert "|  | Landings | Landings | Landings |" in laid.markdown


def test_a_long_cell_close_to_the_next_one_is_parted_where_other_rows_are() -> None:
    rows = [
        ("Plain", "As it is stored", "12.1"),
        ("Ordered", "By columns", "8.3"),
        ("Learned", "By a net of ours", "4.4"),
    ]
    items = []
    for at, row in enumerate(rows):
        items += [
            item(text, left, 72 + 16 * at) for text, left in zip(row, (72, 150, 236), strict=True)
        ]
    below = [item("that was trained", 150, 116), item("on three books", 150, 128)]
    [laid] = lay_out([page([*paragraph(prose(60), top=500), *items, *below])])
    assert "| Plain | As it is stored | 12.1 |" in laid.markdown
    assert "| Learned | By a net of ours that was trained on three books | 4.4 |" in laid.markdown


def _close_rows(*rows: tuple[str, ...]) -> list[Item]:
    """Return rows of a table whose last columns are numbers aligned to the right."""
    return [
        item(text, right - len(text) * 5 if at else 72, 100 + 14 * row)
        for row, texts in enumerate(rows)
        for at, (text, right) in enumerate(zip(texts, (0, 160, 188, 216), strict=True))
    ]


NUMBERS = [("Aalen", "1,412", "40", "17"), ("Bremen", "7,001", "31", "22")]
NUMBERS += [("Celle", "9,310", "22", "35"), ("Emden", "8,112", "19", "28")]
SHOWN = [f"| {' | '.join(row)} |" for row in NUMBERS]


def test_heads_that_nearly_touch_are_those_of_their_columns() -> None:
    heads = [item("Port", 72, 86), item("Boats", 135, 86), item("Nets", 168, 86)]
    heads.append(item("Crew", 196, 86))
    assert _rows(*heads, *_close_rows(*NUMBERS)) == ["| Port | Boats | Nets | Crew |", *SHOWN]
    glued = [item("Port", 72, 86), item("Boats Nets Crew", 135, 86, width=81)]
    assert _rows(*glued, *_close_rows(*NUMBERS)) == ["| Port | Boats | Nets | Crew |", *SHOWN]


def test_a_long_cell_that_touches_its_neighbour_is_a_cell_of_its_own() -> None:
    long = [item("Wilhelmshaven 6,100", 72, 156, width=88), item("28", 178, 156)]
    rows = _rows(*_close_rows(*NUMBERS), *long, item("41", 206, 156))
    assert rows == [*SHOWN, "| Wilhelmshaven | 6,100 | 28 | 41 |"]


def test_a_head_over_several_columns_is_not_parted() -> None:
    over = [item("Port", 72, 86), item("Ships and boats of all", 135, 86, width=81)]
    rows = _rows(*over, *_close_rows(*NUMBERS))
    assert rows[0].startswith("| Port | Ships and boats of all |")
