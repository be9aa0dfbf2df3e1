"""What does not belong to the text stands at its place between the paragraphs."""

import pytest

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, annotation, line, lines, link, widget

ABOVE = ("The ramp of the ferry is closed at seven on every single day.", "It returns at noon.")
BELOW = ("The tickets are sold at the kiosk beside the stop of the bus.", "Its key hangs inside.")
TURNED = {90: "0 1 -1 0", 180: "-1 0 0 -1"}


def paragraphs(markdown: str) -> list[str]:
    return markdown.split("\n\n")


def test_an_image_stands_between_the_paragraphs_around_it(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    shades = bytes((3 * x + 5 * y) % 256 for y in range(60) for x in range(80))
    image = "q 160 0 0 120 72 540 cm /I0 Do Q\n"
    builder.page(
        lines(*ABOVE) + image + lines(*BELOW, top=500), images=[builder.image(shades, 80, 60)]
    )
    (page,) = convert_pdf(builder.build())
    assert paragraphs(page.markdown) == [
        " ".join(ABOVE),
        "![img-0.png](img-0.png)",
        " ".join(BELOW),
    ]


def test_a_comment_stands_after_the_paragraph_that_it_is_about(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    comment = builder.add(annotation("Highlight", "72 715 200 732", "/Contents (Is it?) /T (Anna)"))
    builder.page(lines(*ABOVE) + lines(*BELOW, top=640), annotations=[comment])
    (page,) = convert_pdf(builder.build())
    assert paragraphs(page.markdown) == [" ".join(ABOVE), "> **Anna:** Is it?", " ".join(BELOW)]


@pytest.mark.parametrize("degrees", TURNED)
@pytest.mark.parametrize("rotation", [0, 90])
def test_values_stand_beside_their_labels_on_turned_pages(
    convert_pdf: ConvertPdf, degrees: int, rotation: int
) -> None:
    builder = Builder()
    content, fields = "", []
    for at in range(3):
        x, y = (100 + 40 * at, 100) if degrees == 90 else (540, 100 + 40 * at)
        rect = f"{x - 15} 160 {x + 5} 400" if degrees == 90 else f"240 {y - 8} 480 {y + 10}"
        content += line(f"Label {at}:", x, y, 12, TURNED[degrees])
        fields.append(builder.add(widget("Tx", rect, f"/T (f{at}) /V (Value {at})")))
    listed = " ".join(f"{field} 0 R" for field in fields)
    builder.catalog = f"/AcroForm << /Fields [{listed}] >>"
    builder.page(content, annotations=fields, more=f"/Rotate {rotation}")
    (page,) = convert_pdf(builder.build())
    for at in range(3):
        assert f"| Label {at}: | Value {at} |" in page.markdown


@pytest.mark.parametrize("degrees", TURNED)
def test_links_are_put_on_turned_pages(convert_pdf: ConvertPdf, degrees: int) -> None:
    builder = Builder()
    rect = "88 100 103 157" if degrees == 90 else "483 96 540 108"
    address = builder.add(link(rect, "https://ferry.example/"))
    content = "".join(
        line(text, *((100 + 20 * at, 100) if degrees == 90 else (540, 100 + 20 * at)), 12, matrix)
        for at, text in enumerate(ABOVE)
        for matrix in [TURNED[degrees]]
    )
    builder.page(content, annotations=[address])
    (page,) = convert_pdf(builder.build())
    assert page.markdown.startswith("[The ramp](https://ferry.example/) of the ferry")


def test_the_edge_of_a_link_inside_of_a_word_is_that_of_the_word(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    address = builder.add(link("72 715 133 732", "https://ferry.example/"))
    builder.page(lines(*ABOVE), annotations=[address])
    (page,) = convert_pdf(builder.build())
    assert page.markdown.startswith("[The ramp](https://ferry.example/) of the ferry")


def test_a_value_of_a_hidden_field_is_not_shown(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    fields = [
        builder.add(widget("Tx", "150 695 400 712", "/T (name) /V (Anna Berg)")),
        builder.add(widget("Tx", "150 665 400 682", "/T (id) /V (Secret)").replace("/F 4", "/F 2")),
    ]
    builder.catalog = f"/AcroForm << /Fields [{fields[0]} 0 R {fields[1]} 0 R] >>"
    builder.page(lines("Name:", top=700), annotations=fields)
    (page,) = convert_pdf(builder.build())
    assert "Anna Berg" in page.markdown
    assert "Secret" not in page.markdown


def test_text_of_a_note_that_only_its_rich_text_has_is_read(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    rich = "/RC (<body><p>Print it &amp; <b>larger</b>!</p></body>)"
    builder.page(
        lines(*ABOVE), annotations=[builder.add(annotation("FreeText", "72 560 400 600", rich))]
    )
    (page,) = convert_pdf(builder.build())
    assert paragraphs(page.markdown) == [" ".join(ABOVE), "Print it & larger!"]
