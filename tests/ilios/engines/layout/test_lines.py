"""Lines of text from the phrases on a row."""

import pytest

from ilios.engines.layout.lines import append_text, linked_text, make_line, make_lines

from .page_maker import item


def _texts(*items: object) -> list[str]:
    return [line.text for line in make_lines(list(items))]  # type: ignore[arg-type]


def test_phrases_apart_have_a_space_between_them_and_pieces_of_a_word_have_none() -> None:
    assert _texts(item("light", 72), item("house", 97.5), item("keeper", 126)) == [
        "lighthouse keeper"
    ]


def test_raised_and_lowered_figures_stay_on_their_line() -> None:
    raised = item("2", 82.2, 69, size=6)
    lowered = item("0", 102.2, 79, size=6)
    assert _texts(item("mc", 72), raised, item("+ E", 87), lowered, item("below", 72, 86)) == [
        "mc2 + E0",
        "below",
    ]


def test_an_initial_over_several_lines_begins_the_first_of_them() -> None:
    initial = item("T", 72, 72, size=30, width=18)
    assert _texts(
        initial, item("he boat", 91, 73), item("sails at", 91, 87), item("dawn", 72, 115)
    ) == ["The boat", "sails at", "dawn"]


def test_text_printed_twice_to_look_bold_is_read_once() -> None:
    assert _texts(item("Bold", 72), item("Bold", 72.4)) == ["Bold"]


def test_a_row_of_hebrew_is_read_from_the_right_with_latin_words_in_their_own_order() -> None:
    row = [item("שלום לך", 300), item("עולם", 200), item("sea", 230), item("boat", 255)]
    assert make_line(row).text == "שלום לך sea boat עולם"


def test_hebrew_words_amid_a_row_of_latin_ones_are_read_from_the_right() -> None:
    row = [item("The song", 72), item("עולם", 116), item("12", 140), item("שלום", 154)]
    row += [item("is loved by all", 178)]
    assert make_line(row).text == "The song שלום 12 עולם is loved by all"


def test_hebrew_cells_beside_each_other_stay_in_their_order() -> None:
    row = [item("The names of ferries", 72), item("עולם", 200), item("שלום", 300)]
    assert make_line(row).text == "The names of ferries עולם שלום"


@pytest.mark.parametrize(
    ("text", "more", "joined"),
    [
        ("the har-", "bour", "the harbour"),
        ("the North-", "Sea", "the North-Sea"),
        ("1990-", "1995", "1990-1995"),
        ("a state-of-the-", "art ferry", "a state-of-the-art ferry"),
        ("its post-inter-", "national", "its post-international"),
        ("the", "end", "the end"),
        ("春の丘に花が", "五輪", "春の丘に花が五輪"),
        ("before COVID-", "19 came", "before COVID-19 came"),
        ("ein Vor-", "und Nachname", "ein Vor- und Nachname"),
        ("the pre-", "and post-war years", "the pre- and post-war years"),
        ("a dash -", "and more", "a dash - and more"),
        ("1990\u2013", "1995", "1990\u20131995"),
        ("roads\u2014", "nobody", "roads\u2014nobody"),
        ("roads \u2014", "nobody", "roads \u2014 nobody"),
    ],
)
def test_divided_words_are_joined_across_lines(text: str, more: str, joined: str) -> None:
    assert append_text(text, more) == joined


def test_a_link_covers_the_words_it_belongs_to_and_no_others() -> None:
    line = make_line(
        [
            item("Ask", 72),
            item("Anna", 90, link="mailto:anna@ferry.example"),
            item("or", 114),
            item("the harbour", 129, link="https://ferry.example/a(b)"),
            item(".", 184),
        ]
    )
    assert linked_text(line.items) == (
        "Ask [Anna](mailto:anna@ferry.example) or [the harbour](https://ferry.example/a(b))."
    )
