"""Text in every direction is read upright and in its order."""

import pytest

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, lines

SENTENCES = (
    "The ferry to the island leaves the quay at seven every morning.",
    "It takes forty people and two small cars on each of its trips.",
    "The tickets are sold at the kiosk beside the stop of the bus.",
)

MATRICES = {90: "0 1 -1 0", 180: "-1 0 0 -1", 270: "0 -1 1 0"}
"""Of text that is turned counter-clockwise."""


def place(degrees: int, at: int) -> tuple[int, int]:
    """Return where a line begins."""
    return {90: (100 + 20 * at, 100), 180: (540, 100 + 20 * at), 270: (500 - 20 * at, 700)}[degrees]


def one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("degrees", MATRICES)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned_content_is_read_in_its_order(
    convert_pdf: ConvertPdf, degrees: int, rotation: int
) -> None:
    matrix = MATRICES[degrees]
    builder = Builder()
    content = "".join(
        line(text, *place(degrees, at), 12, matrix) for at, text in enumerate(SENTENCES)
    )
    builder.page(content, more=f"/Rotate {rotation}")
    (page,) = convert_pdf(builder.build())
    assert one_line(page.markdown) == " ".join(SENTENCES)
    assert not page.warnings


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_page_that_is_shown_turned_is_read_as_it_is_stored(
    convert_pdf: ConvertPdf, rotation: int
) -> None:
    builder = Builder()
    builder.page(lines(*SENTENCES), more=f"/Rotate {rotation}")
    (page,) = convert_pdf(builder.build())
    assert one_line(page.markdown) == " ".join(SENTENCES)


def test_a_turned_remark_stands_by_itself_after_the_text(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    remark = line("Copy for the archive of the harbour", 30, 300, 10, "0 1 -1 0")
    builder.page(lines(*SENTENCES) + remark)
    (page,) = convert_pdf(builder.build())
    assert one_line(page.markdown) == " ".join(SENTENCES) + " Copy for the archive of the harbour"


def test_text_beside_the_crop_box_is_left_out(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    content = lines(*SENTENCES) + lines("Cut off with the other half of the sheet", x=700)
    builder.page(content, size=(1224, 792), more="/CropBox [0 0 612 792]")
    (page,) = convert_pdf(builder.build())
    assert one_line(page.markdown) == " ".join(SENTENCES)
    assert page.conservation == 1
    assert not page.warnings


@pytest.mark.parametrize("reverse", [False, True])
def test_columns_of_vertical_japanese_are_read_from_right_to_left(
    convert_pdf: ConvertPdf, *, reverse: bool
) -> None:
    columns = ("春の丘に花が五輪さいて", "子どもたちは本をよんで", "空はとても青かった日だ")
    drawn = list(enumerate(columns))
    letters = "".join(dict.fromkeys("".join(columns)))
    builder = Builder()
    content = "".join(
        f"BT /F1 16 Tf 1 0 0 1 {400 - 28 * number} {700 - 18 * at} Tm "
        f"<{letters.index(letter) + 1:02X}> Tj ET\n"
        for number, column in (drawn[::-1] if reverse else drawn)
        for at, letter in enumerate(column)
    )
    builder.page(content, font=builder.bars(letters))
    (page,) = convert_pdf(builder.build())
    assert "".join(page.markdown.split("\n")) == "".join(columns)
    assert not page.warnings


def test_hebrew_is_read_in_its_logical_order(convert_pdf: ConvertPdf) -> None:
    words = ["הסירה", "שטה", "אל", "הנמל", "בערב"]
    letters = "".join(dict.fromkeys("".join(words)))
    builder = Builder()
    content, x = "", 540
    for word in words:
        for letter in word:
            x -= 12
            code = letters.index(letter) + 1
            content += f"BT /F1 12 Tf 1 0 0 1 {x} 700 Tm <{code:02X}> Tj ET\n"
        x -= 6
    builder.page(content, font=builder.bars(letters))
    (page,) = convert_pdf(builder.build())
    assert one_line(page.markdown) == " ".join(words)


def test_a_line_of_hebrew_on_a_latin_page_is_read_in_its_logical_order(
    convert_pdf: ConvertPdf,
) -> None:
    read = "הסירה שטה (12) אל הנמל בערב"
    shown = read[::-1].replace(")21(", "(12)")
    letters = "".join(dict.fromkeys(shown.replace(" ", "")))
    builder = Builder()
    content, x = lines(*SENTENCES, *SENTENCES), 300.0
    # The font has no blank: white parts the words.
    for letter in shown:
        if letter != " ":
            code = letters.index(letter) + 1
            content += f"BT /F2 12 Tf 1 0 0 1 {x} 600 Tm <{code:02X}> Tj ET\n"
        x += 6 if letter == " " else 12
    hebrew = builder.bars(letters)
    builder.page(content, fonts={"F2": hebrew})
    (page,) = convert_pdf(builder.build())
    assert page.markdown.endswith(read)
    assert not page.warnings


@pytest.mark.parametrize("matrix", ["0 1 -1 0", ".5 .866 -.866 .5"])
def test_turned_and_slanted_heads_of_a_table_stand_in_it(
    convert_pdf: ConvertPdf, matrix: str
) -> None:
    rows = (("Aalen", "12", "40"), ("Bremen", "7", "31"), ("Celle", "9", "22"))
    content = lines(*SENTENCES) + line("Port", 105, 455)
    for at, head in enumerate(("Boats", "Nets")):
        content += line(head, 240 + 100 * at, 455, 11, matrix)
    for at, row in enumerate(rows):
        content += "".join(
            line(text, 105 + 100 * column, 430 - 25 * at, 11) for column, text in enumerate(row)
        )
    content += "".join(f"{x} 373 m {x} 500 l S\n" for x in (100, 200, 300, 400))
    content += "".join(f"100 {y} m 400 {y} l S\n" for y in (500, 448, 423, 398, 373))
    builder = Builder()
    builder.page(content)
    (page,) = convert_pdf(builder.build())
    assert "| Port | Boats | Nets |\n" in page.markdown


def test_a_turned_table_on_an_upright_page_is_a_table(convert_pdf: ConvertPdf) -> None:
    rows = (("Port", "Boats", "Nets"), ("Aalen", "12", "40"), ("Bremen", "7", "31"))
    content = lines(*SENTENCES)
    for at, row in enumerate(rows):
        content += "".join(
            line(text, 315 + 25 * at, 105 + 100 * column, 11, MATRICES[90])
            for column, text in enumerate(row)
        )
    content += "".join(f"{300 + 25 * at} 100 m {300 + 25 * at} 400 l S\n" for at in range(4))
    content += "".join(f"300 {y} m 375 {y} l S\n" for y in (100, 200, 300, 400))
    builder = Builder()
    builder.page(content)
    (page,) = convert_pdf(builder.build())
    assert "| Port | Boats | Nets |\n| --- | --- | --- |\n| Aalen | 12 | 40 |" in page.markdown
