"""Letters and Roman numerals count as the programs do that write them."""

import pytest

from ilios.engines.converters import numerals


@pytest.mark.parametrize(
    ("number", "roman"),
    [(0, ""), (1, "i"), (4, "iv"), (9, "ix"), (49, "xlix"), (1994, "mcmxciv"), (3999, "mmmcmxcix")],
)
def test_roman_numerals_subtract(number: int, roman: str) -> None:
    assert numerals.roman(number) == roman


@pytest.mark.parametrize(
    ("number", "letters", "repeated"),
    [(0, "", ""), (1, "a", "a"), (26, "z", "z"), (27, "aa", "aa"), (28, "ab", "bb")],
)
def test_letters_after_z_are_of_two_kinds(number: int, letters: str, repeated: str) -> None:
    assert numerals.letters(number) == letters
    assert numerals.repeated_letters(number) == repeated
