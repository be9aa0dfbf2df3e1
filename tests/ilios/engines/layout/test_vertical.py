"""Vertical text in tiers, each of which is read from right to left."""

from ilios.engines.layout.items import Item
from ilios.engines.layout.vertical import read_vertical

from .page_maker import item

UPPER = ("山の上に寺があり", "鐘の音が届いた日", "桜が咲きみだれて")
LOWER = ("夏の夜は虫の声が", "秋の庭は月の光が", "冬の道は雪の白さ")


def tier(columns: tuple[str, ...], top: float) -> list[Item]:
    return [item(text, 400 - 20 * at, top, vertical=True) for at, text in enumerate(columns)]


def test_the_upper_tier_of_columns_is_read_before_the_lower_one() -> None:
    text = "".join(read_vertical([*tier(LOWER, 200), *tier(UPPER, 100)]))
    assert text == "".join((*UPPER, *LOWER))


def test_a_column_that_goes_on_below_white_is_one() -> None:
    columns = [*tier(UPPER, 100), *tier(LOWER[:1], 200)]
    assert read_vertical(columns)[0].startswith(f"{UPPER[0]} {LOWER[0]}")
