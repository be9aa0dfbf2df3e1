"""Raised digits behind digits stay apart from them."""

import pytest

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder


def in_pieces(*pieces: tuple[str, float, float]) -> str:
    """Return the drawing of a line of texts, each with its size and rise."""
    drawn = " ".join(f"/F1 {size} Tf {rise} Ts ({text}) Tj" for text, size, rise in pieces)
    return f"BT 1 0 0 1 72 700 Tm {drawn} ET"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (
            [("A dose of 10", 11, 0), ("6", 7, 4), (" units or 106 drops.", 11, 0)],
            "A dose of 10⁶ units or 106 drops.",
        ),
        (
            [("It was built in 1987", 11, 0), ("12", 7, 4), (" and sold.", 11, 0)],
            "It was built in 1987¹² and sold.",
        ),
        ([("The value 10", 11, 0), ("26", 11, 0), (" is even.", 11, 0)], "The value 1026 is even."),
        ([("Base 10", 11, 0), ("2", 7, -2), (" is low.", 11, 0)], "Base 102 is low."),
    ],
    ids=["power", "note", "plain", "lowered"],
)
def test_raised_digits_behind_digits_are_no_part_of_the_number(
    convert_pdf: ConvertPdf, pieces: list[tuple[str, float, float]], expected: str
) -> None:
    builder = Builder()
    builder.page(in_pieces(*pieces))
    (page,) = convert_pdf(builder.build())
    assert page.markdown == expected
    assert not page.warnings
