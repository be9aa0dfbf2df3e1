"""Blanks, dashes and quotation marks stand in the Markdown as in the text layer."""

import pytest

from ilios.engines.layout.items import Item
from ilios.engines.pdf.typography import restored
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, lines


def phrase(text: str, left: float, right: float, top: float = 0) -> Item:
    return Item(left=left, top=top, right=right, bottom=top + 10, text=text, size=10)


def test_dashes_and_quotation_marks_are_those_of_the_page(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    builder.page(
        lines("The keeper\x92s lamp \x96 an old one \x97 is \x93lit\x94 in 1990\x961995\x85")
    )
    (page,) = convert_pdf(builder.build())
    assert page.markdown == (
        "The keeper\u2019s lamp \u2013 an old one \u2014 is \u201clit\u201d in 1990\u20131995\u2026"
    )


def test_a_dash_at_the_end_of_a_line_is_no_hyphen(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    builder.page(
        lines("It was the longest of all the roads and the oldest\x97", "nobody knew why.")
    )
    (page,) = convert_pdf(builder.build())
    assert page.markdown.endswith("the oldest\u2014nobody knew why.")


def test_words_with_several_signs_have_those_of_their_place(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    builder.page(
        lines(
            "The keeper\x92s lamp is lit in winter \x96 and in summer \x97 at night.",
            "Its oil - of whales - isn't dear, but the wick isn\x92t cheap in 1990\x961995\x85",
        )
    )
    (page,) = convert_pdf(builder.build())
    assert page.markdown == (
        "The keeper\u2019s lamp is lit in winter \u2013 and in summer \u2014 at night. "
        "Its oil - of whales - isn't dear, but the wick isn\u2019t cheap in 1990\u20131995\u2026"
    )


@pytest.mark.parametrize(
    ("parsed", "layer", "text"),
    [
        ("coach,mentor or guide", "They coach, mentor or guide them.", "coach, mentor or guide"),
        ("rings offinite order", "rings of finite order, finite of old", "rings of finite order"),
        ("see example.com,now", "see example.com,now", "see example.com,now"),
        ("its authors are", "its au thors are", "its authors are"),
        ("half century.2 3 The", "half century.23 The", "half century.23 The"),
        ("the old 1 and new", "the old1 and new", "the old 1 and new"),
        ("see 3-1 1 and on", "see 3-1 1 and on, or 3-11", "see 3-1 1 and on"),
    ],
)
def test_words_are_parted_as_in_the_layer(parsed: str, layer: str, text: str) -> None:
    assert [one.text for one in restored([phrase(parsed, 0, 80)], layer)] == [text]


def test_phrases_in_condensed_type_are_apart_where_the_layer_has_a_blank(
    convert_pdf: ConvertPdf,
) -> None:
    close = [
        phrase("Row", 0, 20),
        phrase("and", 21, 40),
        phrase("Col", 41, 60),
        phrase("umn", 60.1, 80),
    ]
    texts = [one.text for one in restored(close, "Row and Column")]
    assert texts == ["Row ", "and", "Col", "umn"]


@pytest.mark.parametrize("matrix", ["1 0 0 1", "0 1 -1 0"])
def test_a_word_divided_at_the_end_of_a_line_is_one(convert_pdf: ConvertPdf, matrix: str) -> None:
    builder = Builder()
    turned = matrix != "1 0 0 1"
    texts = ("The ferry to the island leaves the quay at seven every mor-", "ning in the year.")
    content = "".join(
        line(text, 300 + 17 * at if turned else 72, 72 if turned else 700 - 17 * at, matrix=matrix)
        for at, text in enumerate(texts)
    )
    builder.page(content)
    (page,) = convert_pdf(builder.build())
    assert "at seven every morning in the year." in page.markdown
