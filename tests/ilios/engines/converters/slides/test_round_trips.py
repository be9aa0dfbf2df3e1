"""Presentations of random structure come out as they went in: each text once, in its place."""

import pytest

from tests.ilios.engines.converters.slides.conftest import Converted
from tests.random_slides import decks


def check(converted: Converted, first: int, last: int) -> None:
    for seed, deck in decks(first, last):
        pages = converted(data=deck.data)
        texts = [page.result.markdown.replace("\n\n<!-- -->\n\n", "\n\n") for page in pages]
        assert texts == deck.expected, f"the presentation of seed {seed}"
        assert not any(page.result.warnings for page in pages)


def test_random_presentations_have_each_text_in_its_place(converted: Converted) -> None:
    check(converted, 0, 30)


@pytest.mark.slow
def test_many_random_presentations_have_each_text_in_its_place(converted: Converted) -> None:
    check(converted, 30, 330)
