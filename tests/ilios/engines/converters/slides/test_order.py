"""The order of shapes: what a reader sees first."""

import pytest

from ilios.engines.converters.slides.order import MAX_SHAPES, Box, reading_order
from tests.ilios.engines.converters.slides.conftest import Written
from tests.presentations import box, group, title

SIZE = (720.0, 540.0)


def order(*places: tuple[float, float, float, float] | None, from_right: bool = False) -> list[int]:
    boxes = [
        Box(x, y, x + w, y + h) if place else None
        for place in places
        for x, y, w, h in [place or (0, 0, 0, 0)]
    ]
    return reading_order(boxes, SIZE, from_right=from_right)


def test_shapes_are_read_from_top_to_bottom_and_rows_from_left_to_right() -> None:
    assert order((40, 400, 640, 50), (40, 100, 640, 50), (40, 250, 640, 50)) == [1, 2, 0]
    assert order((400, 203, 200, 80), (40, 200, 200, 80), (40, 100, 640, 50)) == [2, 1, 0]


def test_columns_are_read_one_after_the_other_where_the_file_has_them_so() -> None:
    left = (40, 100, 300, 40), (40, 150, 300, 300)
    right = (380, 100, 300, 40), (380, 150, 300, 300)
    assert order(*left, *right) == [0, 1, 2, 3]
    rows = left[0], right[0], left[1], right[1]
    assert order(*rows) == [0, 1, 2, 3]


def test_a_column_that_begins_higher_and_is_not_aligned_comes_first() -> None:
    assert order((40, 160, 300, 100), (380, 100, 300, 300)) == [1, 0]
    assert order((40, 230, 60, 40), (120, 200, 500, 100)) == [0, 1]  # a label in the middle


def test_columns_of_scripts_from_the_right_begin_there() -> None:
    columns = (40, 100, 300, 300), (380, 100, 300, 300)
    assert order(*columns, from_right=True) == [1, 0]


def test_what_lies_behind_all_is_first_and_what_overlaps_stays_in_order() -> None:
    assert order((100, 100, 200, 50), (0, 0, 720, 540), (100, 300, 200, 50)) == [1, 0, 2]
    assert order((100, 100, 300, 300), (150, 90, 300, 290)) == [0, 1]


def test_shapes_without_a_place_follow_those_before_them() -> None:
    assert order(None, (40, 300, 600, 50), None, (40, 100, 600, 50)) == [0, 3, 1, 2]


def test_so_many_shapes_stay_in_the_order_of_the_file() -> None:
    count = MAX_SHAPES + 1
    assert order(*((0, count - n, 10, 1) for n in range(count))) == list(range(count))


def test_members_of_a_group_stay_together_in_their_own_order(written: Written) -> None:
    members = box("lower", (0, 50, 100, 40)), box("upper", (0, 0, 100, 40))
    grouped = group(group(*members), place=(50, 300, 200, 90), inner=(0, 0, 100, 90))
    text = written(grouped, box("above", (50, 150, 200, 90)), title("First"))
    assert text == "# First\n\nabove\n\nupper\n\nlower"


@pytest.mark.parametrize("depth", [31, 100])
def test_groups_in_groups_keep_all_their_texts(written: Written, depth: int) -> None:
    nested = box("innermost")
    for number in range(depth):
        nested = group(box(f"level {number}"), nested)
    text = written(nested)
    assert "innermost" in text
    assert all(f"level {number}" in text for number in range(depth))
