"""Words that the native parser drops reach the Markdown at their places."""

import pytest

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, lines

ABOVE = ("The lamps of the pier are lit at dusk.", "Whoever passes first lights them.")
BELOW = ("The tickets are sold at the kiosk.", "The cans are filled at the store.")


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_short_number_that_stands_alone_is_in_its_place(
    convert_pdf: ConvertPdf, rotation: int
) -> None:
    builder = Builder()
    content = lines(*ABOVE) + line("57", 72, 600) + line("8", 72, 400) + lines(*BELOW, top=300)
    builder.page(content, more=f"/Rotate {rotation}")
    (page,) = convert_pdf(builder.build())
    text = " ".join(page.markdown.split())
    assert text == " ".join([*ABOVE, "57", "8", *BELOW])


def test_numbers_of_pages_are_their_footers(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    for number in (8, 9, 10, 11):
        builder.page(lines(*ABOVE, *BELOW) + line(str(number), 300, 40))
    assert [page.footer for page in convert_pdf(builder.build())] == ["8", "9", "10", "11"]


def test_a_number_that_the_parser_has_stands_there_once(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    builder.page(lines(*ABOVE, "12", *BELOW))
    (page,) = convert_pdf(builder.build())
    assert page.markdown.count("12") == 1


def test_what_looks_like_a_tag_is_seen_in_the_markdown(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    builder.page(lines("Call the <table name> with a < b and </b> or <!-- so."))
    (page,) = convert_pdf(builder.build())
    assert page.markdown == r"Call the \<table name> with a < b and \</b> or \<!-- so."
