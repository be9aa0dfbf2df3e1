"""Brackets of text from right to left open before they close, however its font names them."""

import pytest

from ilios.engines.pdf.characters import Character, text_of


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        (
            "\u05d4\u05e7\u05dc )1990 - 1995( \u05e9\u05dd",
            "\u05d4\u05e7\u05dc (1990 - 1995) \u05e9\u05dd",
        ),
        ("\u05d4\u05e7\u05dc (1990) \u05e9\u05dd", "\u05d4\u05e7\u05dc (1990) \u05e9\u05dd"),
        ("\u05d4\u05e7\u05dc) \u05e9\u05dd", "\u05d4\u05e7\u05dc) \u05e9\u05dd"),
        ("\u05d4\u05e7\u05dc \u05e9\u05dd )1990 -", "\u05d4\u05e7\u05dc \u05e9\u05dd (1990 -"),
        ("1995( \u05d4\u05e7\u05dc \u05e9\u05dd", "1995) \u05d4\u05e7\u05dc \u05e9\u05dd"),
        ("\u05d4\u05e7\u05dc ) 1990 ( \u05e9\u05dd", "\u05d4\u05e7\u05dc (1990) \u05e9\u05dd"),
        ("a )b( c", "a )b( c"),
    ],
)
def test_brackets_of_text_from_the_right_open_before_they_close(shown: str, read: str) -> None:
    assert text_of([Character(letter, None, None) for letter in shown]) == read
