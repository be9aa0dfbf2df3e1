"""Bullets that are drawn beside a text instead of written."""

from msgspec.structs import replace

from ilios.engines.layout.document import lay_out
from ilios.engines.layout.items import Shape

from .page_maker import item, page, paragraph, prose

TEXTS = ("Oars", "Ropes", "Of hemp", "Lamps")
LEFTS = (90, 90, 110, 90)


def _list(*shapes: Shape) -> str:
    items = [item(text, LEFTS[at], 100 + 15 * at) for at, text in enumerate(TEXTS)]
    made = page([*items, *paragraph(prose(60), top=300)])
    [laid] = lay_out([replace(made, shapes=shapes)])
    return laid.markdown


def _square(left: float, top: float, side: float = 4) -> Shape:
    return Shape(left, top, left + side, top + side)


def test_small_shapes_before_the_lines_are_the_bullets_of_a_nested_list() -> None:
    bullets = [_square(left - 12, 104 + 15 * at) for at, left in enumerate(LEFTS)]
    assert _list(*bullets).startswith("- Oars\n- Ropes\n  - Of hemp\n- Lamps\n")


def test_other_shapes_are_no_bullets() -> None:
    after = [_square(LEFTS[at] + 40, 104 + 15 * at) for at in range(4)]
    large = [_square(left - 14, 100 + 15 * at, 12) for at, left in enumerate(LEFTS)]
    far = [_square(20, 104 + 15 * at) for at in range(4)]
    between = [_square(left - 12, 111 + 15 * at) for at, left in enumerate(LEFTS)]
    for shapes in (after, large, far, between, [_square(78, 104)]):
        assert "- " not in _list(*shapes)
