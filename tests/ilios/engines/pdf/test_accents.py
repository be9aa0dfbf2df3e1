"""Accents drawn over their letters, as TeX draws them in its old fonts, are on their letters."""

import unicodedata

import pytest

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, lines

WIDTHS = {
    "a": 556,
    "e": 556,
    "c": 500,
    "i": 222,
    "o": 556,
    "u": 556,
    "y": 500,
    "x": 500,
    "A": 667,
    "E": 667,
}
"""Widths of letters of Helvetica, in thousandths of the size of the font."""

ACCENTS = {"\u0301": ("\xb4", 333), "\u0308": ("\xa8", 333), "\u0302": ("\x88", 333)}
"""Accents of the font and their widths by their combining characters."""


def over(accent: str, letter: str) -> str:
    """Return the inside of an array that draws an accent, goes back and draws its letter."""
    shown, width = ACCENTS[accent]
    before = (WIDTHS[letter] - width) / 2
    return f") {-before:.0f} ({shown}) {before + width:.0f} ({letter}"


def drawn(text: str, y: float, x: float = 72) -> str:
    """Return the drawing of a line of which the accents are glyphs of their own."""
    parts = unicodedata.normalize("NFD", text)
    inside = ""
    for letter, following in zip(parts, [*parts[1:], ""], strict=True):
        if following in ACCENTS:
            inside += over(following, letter)
        elif letter not in ACCENTS:
            inside += letter
    return f"BT /F1 12 Tf {x} {y} Td [({inside})] TJ ET\n"


@pytest.mark.parametrize(
    "text",
    [
        "We thank J\u00e1n Min\u00e1r, Andr\u00e9 and \u00c9mile for the na\u00efve idea.",
        "\u00c9cole, caf\u00e9 et \u00e2me: trois mots dont chaque lettre compte.",
    ],
)
def test_an_accent_is_on_the_letter_that_it_is_drawn_over(
    convert_pdf: ConvertPdf, text: str
) -> None:
    builder = Builder()
    content = lines("The line above has no accents at all.")
    builder.page(content + drawn(text, 700) + line("Nor has the one below.", 72, 680))
    (page,) = convert_pdf(builder.build())
    assert text in " ".join(page.markdown.split())
    assert page.warnings == ()


def test_lines_beside_an_accented_one_stay_apart(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    left = "".join(
        drawn("The caf\u00e9 opens at nine in the day", 700 - 15 * at) for at in range(6)
    )
    right = "".join(
        line("There is no tea in the other column", 330, 700 - 15 * at) for at in range(6)
    )
    builder.page(left + right)
    (page,) = convert_pdf(builder.build())
    assert page.markdown.count("The caf\u00e9 opens at nine in the day") == 6
    assert page.markdown.count("There is no tea in the other column") == 6
    assert page.markdown.index("tea") > page.markdown.rindex("caf\u00e9")


def test_an_accent_beside_letters_stays(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    builder.page(lines("Type \xb4 or \xa8 and then a vowel, or quote it like `this\xb4."))
    (page,) = convert_pdf(builder.build())
    assert page.markdown == "Type \xb4 or \xa8 and then a vowel, or quote it like `this\xb4."


def test_a_number_that_the_parser_drops_is_there_beside_accents(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    content = drawn("The caf\u00e9 opens at nine.", 720) + line("57", 72, 600)
    builder.page(content + lines("The tickets are sold at the kiosk.", top=300))
    (page,) = convert_pdf(builder.build())
    text = " ".join(page.markdown.split())
    assert text == "The caf\u00e9 opens at nine. 57 The tickets are sold at the kiosk."


def test_a_hat_over_a_letter_that_has_none_in_any_language_stays_a_sign(
    convert_pdf: ConvertPdf,
) -> None:
    builder = Builder()
    builder.page(lines("The line above.") + drawn("The mean x\u0302 of the \u00e9tude.", 700))
    (page,) = convert_pdf(builder.build())
    assert "\u00e9tude" in page.markdown
    assert "\u0302" not in page.markdown
    assert "\u02c6" in page.markdown
