"""Presentations of random structure come out as they went in: each text once, in its place."""

import re

import pytest

from tests.ilios.engines.converters.slides.conftest import Converted
from tests.random_slides import decks
from tests.read_markdown import numbers_shown, numbers_written

_APART = re.compile(r"\n\n<!-- -->(?=\n\n)|\n(?=\n +\d+[.)] )")
"""What keeps lists apart, and one that does not begin at 1 from the text above."""


def check(converted: Converted, first: int, last: int) -> None:
    for seed, deck in decks(first, last):
        pages = converted(data=deck.data)
        texts = [_APART.sub("", page.result.markdown) for page in pages]
        assert texts == deck.expected, f"the presentation of seed {seed}"
        for page in pages:
            markdown = page.result.markdown
            assert numbers_shown(markdown) == numbers_written(markdown), f"numbers of seed {seed}"
        assert not any(page.result.warnings for page in pages)


def test_random_presentations_have_each_text_in_its_place(converted: Converted) -> None:
    check(converted, 0, 30)


@pytest.mark.slow
def test_many_random_presentations_have_each_text_in_its_place(converted: Converted) -> None:
    check(converted, 30, 330)
