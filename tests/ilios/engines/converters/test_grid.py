"""Tables with merged cells."""

import pytest

from ilios.engines.converters.grid import Grid
from schemas.options import MergedCells

LONG = "a text of more than forty characters in one cell"


@pytest.mark.parametrize(
    ("merged", "head", "side"),
    [
        ("auto", ["Total", "Total"], ""),
        ("once", ["Total", ""], ""),
        ("repeat", ["Total"] * 2, LONG),
    ],
)
def test_a_merged_cell_stands_where_the_option_says(
    merged: MergedCells, head: list[str], side: str
) -> None:
    grid = Grid(merged)
    grid.add_row()
    grid.add("Total", columns=2)
    grid.add(LONG, rows=2)
    grid.add_row()
    grid.add("1")
    grid.add("2")
    assert grid.rows() == [[*head, LONG], ["1", "2", side]]


def test_an_indented_row_and_a_cell_that_goes_on_below() -> None:
    grid = Grid()
    grid.add_row()
    grid.add("above")
    grid.add("b")
    grid.add_row()
    grid.extend_down(text="more")
    grid.add("c")
    grid.add_row()
    grid.skip(1)
    grid.add("d")
    assert grid.rows() == [["above more", "b"], ["above more", "c"], ["", "d"]]


def test_spans_of_any_number_are_cut() -> None:
    grid = Grid("once")
    grid.add_row()
    grid.add("x", columns=10**9, rows=10**9)
    assert len(grid.rows()[0]) == 1000


def test_text_below_a_cell_of_several_columns_is_after_each_of_its_copies() -> None:
    grid = Grid()
    grid.add_row()
    grid.add("head", columns=2)
    grid.add_row()
    grid.extend_down(2, "more")
    assert grid.rows() == [["head more", "head more"], ["head more", "head more"]]
