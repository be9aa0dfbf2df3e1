"""Text that stands only in the appearance of an annotation."""

import pytest

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, annotation, line, lines, widget


def drawn(builder: Builder, content: str, width: float = 200, height: float = 20) -> str:
    """Add an appearance; return the entry that names it."""
    number = builder.stream(
        content.encode("latin-1"),
        f"/Type /XObject /Subtype /Form /BBox [0 0 {width} {height}] "
        f"/Resources << /Font << /F1 {builder.font} 0 R >> >>",
    )
    return f"/AP << /N {number} 0 R >>"


@pytest.mark.parametrize("kind", ["Stamp", "Watermark", "Redact", "FreeText", "Line", "Polygon"])
def test_a_drawn_text_stands_once_below_the_line_before_it(
    convert_pdf: ConvertPdf, kind: str
) -> None:
    builder = Builder()
    look = drawn(builder, line("Berth 14 is closed", 2, 5))
    note = builder.add(annotation(kind, "72 640 272 660", f"/F 4 {look}"))
    content = line("The harbour plan", 72, 700) + line("The lock opens at noon", 72, 600)
    builder.page(content, annotations=[note])
    (page,) = convert_pdf(builder.build())
    text = page.markdown
    assert text.count("Berth 14 is closed") == 1
    assert text.index("harbour plan") < text.index("Berth 14") < text.index("The lock opens")
    assert not page.warnings


def test_captions_and_signatures_are_read(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    fields = [
        builder.add(
            widget("Btn", "72 600 272 620", f"/T (send) /Ff 65536 {drawn(builder, caption)}")
        )
        for caption in [line("Send the form", 2, 5)]
    ]
    signed = line("Signed by Nils Aberg", 2, 24, 9) + line("on 2 May", 2, 8, 9)
    look = drawn(builder, signed, 200, 40)
    fields.append(builder.add(widget("Sig", "72 500 272 540", f"/T (sign) {look}")))
    listed = " ".join(f"{number} 0 R" for number in fields)
    builder.catalog = f"/AcroForm << /Fields [{listed}] >>"
    builder.page(line("Order of rope", 72, 700), annotations=fields)
    (page,) = convert_pdf(builder.build())
    text = " ".join(page.markdown.split())
    assert "Send the form" in text
    assert "Signed by Nils Aberg on 2 May" in text


def test_what_is_read_already_is_not_doubled(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    looks = [
        drawn(builder, line(text, 2, 5))
        for text in ("Paid in cash", "APPROVED", "Length in feet", "Sloop 7")
    ]
    notes = [
        builder.add(one)
        for one in (
            annotation("FreeText", "72 600 272 620", f"/F 4 /Contents (Paid in cash) {looks[0]}"),
            annotation("Stamp", "72 560 272 580", f"/F 4 /Name /Approved {looks[1]}"),
            annotation("Line", "72 520 272 540", f"/F 4 /Contents (Length in feet) {looks[2]}"),
            widget("Tx", "72 480 272 500", f"/T (boat) /V (Sloop 7) {looks[3]}"),
        )
    ]
    builder.catalog = f"/AcroForm << /Fields [{notes[-1]} 0 R] >>"
    builder.page(line("Account of the yard", 72, 700), annotations=notes)
    (page,) = convert_pdf(builder.build())
    text = page.markdown.casefold()
    for once in ("paid in cash", "approved", "length in feet", "sloop 7"):
        assert text.count(once) == 1, page.markdown


def test_hidden_appearances_are_not_read(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    notes = [
        builder.add(
            annotation("Stamp", "72 600 272 620", f"/F {flag} {drawn(builder, line(text, 2, 5))}")
        )
        for flag, text in ((2, "Not for you"), (32, "Nor is this"), (4, "Seen by all"))
    ]
    builder.page(line("Account of the yard", 72, 700), annotations=notes)
    (page,) = convert_pdf(builder.build())
    assert "Seen by all" in page.markdown
    assert "Not for" not in page.markdown
    assert "Nor is" not in page.markdown


def test_a_slanted_watermark_does_not_part_the_text_below_it(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    slanted = line("Specimen copy", 60, 60, 40, "0.707 0.707 -0.707 0.707")
    look = drawn(builder, slanted, 400, 400)
    mark = builder.add(annotation("Watermark", "72 400 472 800", f"/F 4 {look}"))
    texts = [f"The rope number {at} is longer than the rope before it and" for at in range(14)]
    builder.page(lines(*texts), annotations=[mark])
    (page,) = convert_pdf(builder.build())
    assert page.markdown.count("Specimen copy") == 1
    assert "#" not in page.markdown
    inner = " ".join(page.markdown.replace("Specimen copy", "\n\n").split("\n\n")[0].split())
    assert "rope number 13 is longer" in inner


def test_too_many_annotations_are_counted_in_a_warning(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    note = builder.add(annotation("Square", "72 600 80 620", "/F 4"))
    builder.page(line("Account of the yard", 72, 700), annotations=[note] * 1007)
    (page,) = convert_pdf(builder.build())
    (warning,) = page.warnings
    assert (warning.code, "7" in warning.message) == ("annotations_left_out", True)


def test_appearances_with_too_much_text_are_left_out_and_counted(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    texts = "".join(line(f"Rope {at}", 2, 790 - at, 6) for at in range(700))
    look = drawn(builder, texts, 600, 792)
    note = builder.add(annotation("Stamp", "0 0 612 792", f"/F 4 {look}"))
    builder.page(line("Account of the yard", 72, 700), annotations=[note] * 40)
    (page,) = convert_pdf(builder.build())
    assert "Rope 699" in page.markdown
    (warning,) = page.warnings
    assert warning.code == "annotations_left_out"
    assert warning.message.endswith(": 38.")
