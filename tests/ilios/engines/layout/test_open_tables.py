"""Tables without rules."""

from ilios.engines.layout.document import lay_out
from ilios.engines.layout.items import Item

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
