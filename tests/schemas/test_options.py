"""Options of a conversion: one canonical form, and clear errors."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.options import ConversionOptions, PageRange, select_pages


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("1-3,7,10-", "1-3,7,10-"),
        ("7, 1-3 ,2-4", "1-4,7"),
        ("3-,5,9-12", "3-"),
        ("1,2,3", "1-3"),
        ((3, 1, 2, 7, 7), "1-3,7"),
    ],
)
def test_pages_are_kept_in_one_canonical_form(
    written: str | tuple[int, ...], canonical: str
) -> None:
    assert ConversionOptions(pages=written).pages == canonical


@pytest.mark.parametrize(
    "written",
    ["", "0", "-3", "3-1", "1,,2", "a", "1-2-3", "1 2", "٣", "1" * 8, "1," * 4001, (), (0,)],
)
def test_an_invalid_selection_of_pages_is_refused(written: str | tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="pages must be"):
        ConversionOptions(pages=written)


def test_a_list_of_page_numbers_is_taken_from_json() -> None:
    options = msgspec.json.decode(b'{"pages": [2, 1, 5]}', type=ConversionOptions)
    assert options.page_ranges == (PageRange(1, 2), PageRange(5, 5))


def test_language_tags_have_one_canonical_form() -> None:
    assert ConversionOptions(language=" RU,zh-hans , pt-br,ru,iw").languages == (
        "ru",
        "zh-Hans",
        "pt-BR",
        "he",
    )
    options = msgspec.json.decode(b'{"language": ["EL", "en"]}', type=ConversionOptions)
    assert options == ConversionOptions(language="el,en")


@pytest.mark.parametrize("tags", ["", "russian", "xx", "ru-Xxxx", "ru,,en", "ru;en", "en," * 9])
def test_what_is_no_language_is_refused(tags: str) -> None:
    with pytest.raises(ValueError, match="language must be"):
        ConversionOptions(language=tags)


def test_recognition_as_usual_is_no_option_at_all() -> None:
    assert ConversionOptions(recognition="auto") == ConversionOptions()
    assert ConversionOptions(recognition="never", language="de").only_local == (
        "language",
        "recognition",
    )


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="dialect"):
        msgspec.json.decode(b'{"dialect": "de"}', type=ConversionOptions)


def test_options_that_are_not_set_are_not_encoded() -> None:
    assert msgspec.json.encode(ConversionOptions()) == b"{}"


@pytest.mark.parametrize(
    ("pages", "selected"),
    [(None, [1, 2, 3, 4]), ("2-3", [2, 3]), ("3-9", [3, 4]), ("4-", [4]), ("5-", []), ("9", [])],
)
def test_a_range_may_end_beyond_the_document_but_not_begin_there(
    pages: str | None, selected: list[int]
) -> None:
    assert select_pages(ConversionOptions(pages=pages).page_ranges, 4) == selected


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_a_list_and_its_canonical_text_select_the_same_pages(numbers: list[int]) -> None:
    options = ConversionOptions(pages=tuple(numbers))
    again = ConversionOptions(pages=options.pages)
    assert again == options
    assert select_pages(again.page_ranges, 60) == sorted(set(numbers))
