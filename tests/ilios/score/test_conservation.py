"""Words of a page that reach the result."""

import pytest

from ilios.score.conservation import conservation


@pytest.mark.parametrize(
    ("layer", "produced"),
    [
        ("The fee is 12 EUR.", "# The *fee*\n\n| is | 12 |\n| --- | --- |\n| EUR | . |"),
        ("office \ufb01nds", "o\ufb03ce finds"),
        ("self-contained boats", "selfcontained boats"),
        ("lamplight", "lamp light"),
        ("a 2 + b 2", "a2 + b2"),
        ("foo_bar(x)", "`foo\\_bar(x)`"),
        ("a < b and <name> & more", "a \\< b and \\<name> &amp; more"),
        ("\u0627\u0644\u0625", "\u0644\u0627\u0625"),
        ("春の丘", "春\n\nの丘"),
    ],
)
def test_words_that_are_written_otherwise_are_not_lost(layer: str, produced: str) -> None:
    page = conservation(0, layer, produced)
    assert (page.kept, page.added, page.missing) == (1, 0, ())


def test_lost_and_repeated_words_are_counted() -> None:
    page = conservation(3, "one two three four", "one one two four")
    assert (page.index, page.total, page.kept, page.added) == (3, 4, 0.75, 0.25)
    assert page.missing == ("three",)


def test_a_loss_is_silent_without_a_warning_only() -> None:
    lost = conservation(0, "one two three four five six", "one two three four five")
    warned = conservation(0, "one two three four five six", "one two three four five", ("x",))
    assert lost.is_silent_loss
    assert not warned.is_silent_loss
    assert not lost.is_great_loss


def test_most_of_a_page_may_be_missing_only_where_its_layer_is_not_trusted() -> None:
    assert conservation(0, "one two", "one", ("page_incomplete",)).is_great_loss
    assert not conservation(0, "one two", "one", ("text_layer_untrusted",)).is_great_loss


def test_a_page_without_text_loses_nothing() -> None:
    page = conservation(0, "", "recognised")
    assert (page.kept, page.added, page.total) == (1, 0, 0)
