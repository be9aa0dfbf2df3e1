"""Spaced letters become words where wider white divides them."""

import pytest

from ilios.engines.pdf.geometry import Rect
from ilios.engines.pdf.spaced import closed, is_spaced


def placed(words: str, gap: float, blank: float, *, from_right: bool = False) -> list[Rect | None]:
    """Return the boxes of the letters and of the blanks between them, which have none."""
    rects: list[Rect | None] = []
    at = 0.0
    for word in words.split():
        for _ in word:
            rects += [
                Rect(500 - at - 6, 0, 500 - at, 10) if from_right else Rect(at, 0, at + 6, 10)
            ]
            rects += [None]
            at += 6 + gap
        at += blank
    return rects[:-1]


@pytest.mark.parametrize("from_right", [True, False])
def test_spaced_words_are_divided_by_the_wider_white(*, from_right: bool) -> None:
    words = "\u05d4\u05d5\u05d3\u05e2\u05d4 \u05d7\u05e9\u05d5\u05d1\u05d4"
    texts = list(" ".join(words.replace(" ", "")))
    assert is_spaced("".join(texts))
    assert closed(placed(words, 3, 5, from_right=from_right), texts) == words


def test_letters_with_even_white_are_no_words() -> None:
    assert not closed(placed("abcdef", 3, 0), list("a b c d e f"))


def test_words_are_not_spaced() -> None:
    assert not is_spaced("I am at a bus stop")
    assert not is_spaced("a b c")
