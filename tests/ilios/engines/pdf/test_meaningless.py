"""Text of a font whose characters have no meaning is read by recognition, in its own size."""

from pathlib import Path

import pypdfium2

from ilios.engines.pages import Portion
from ilios.engines.pdf.geometry import Sheet
from ilios.engines.pdf.items import text_items
from ilios.engines.pdf.parser import parse_batches
from ilios.engines.pdf.scans import PageReader
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import HELVETICA, Builder, line, lines

SOUND = tuple(f"The keeper writes down what lamp number {at} has burnt." for at in range(1, 13))
CODES = range(33, 123)


def meaningless(builder: Builder) -> int:
    """Add a font that draws letters and names each one a control character."""
    named = "".join(f"<{code:02x}> <{4 + code % 5:04x}>\n" for code in CODES)
    names = builder.stream(
        (
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Names def "
            "1 begincodespacerange <00> <ff> endcodespacerange\n"
            f"{len(CODES)} beginbfchar\n{named}endbfchar endcmap end end"
        ).encode()
    )
    letters = builder.add(HELVETICA.replace("Helvetica", "Courier"))
    glyphs = [
        builder.stream(f"600 0 d0 BT /F1 1000 Tf <{code:02x}> Tj ET".encode()) for code in CODES
    ]
    procedures = " ".join(
        f"/g{code} {glyph} 0 R" for code, glyph in zip(CODES, glyphs, strict=True)
    )
    return builder.add(
        "<< /Type /Font /Subtype /Type3 /FontBBox [0 -250 1000 900] /FontMatrix [.001 0 0 .001 0 0]"
        f"/CharProcs << {procedures} >> /Encoding << /Type /Encoding /Differences [{CODES[0]} "
        f"{' '.join(f'/g{code}' for code in CODES)}] >> /FirstChar 32 /LastChar {CODES[-1]} "
        f"/Widths [{' '.join(['600'] * (len(CODES) + 1))}] "
        f"/Resources << /Font << /F1 {letters} 0 R >> >> /ToUnicode {names} 0 R >>"
    )


def page_with_list() -> bytes:
    """Return a page with a list in such a font."""
    builder = Builder()
    font = meaningless(builder)
    noise = line("- The oil of the lamp is", 72, 400) + line("kept behind the house", 86, 386)
    noise += line("- Who fetches some of it", 72, 372) + line("pays as the month ends", 86, 358)
    form = builder.stream(
        noise.encode(),
        "/Type /XObject /Subtype /Form /BBox [0 0 612 792] "
        f"/Resources << /Font << /F1 {font} 0 R >> >>",
    )
    builder.page(lines(*SOUND) + "/I0 Do", images=[form])
    return builder.build()


def test_words_without_meaning_are_read_as_a_list(convert_pdf: ConvertPdf) -> None:
    (page,) = convert_pdf(page_with_list())
    assert page.markdown.split("\n\n")[-1].splitlines() == [
        "- The oil of the lamp is kept behind the house",
        "- Who fetches some of it pays as the month ends",
    ]
    assert [warning.code for warning in page.warnings] == ["text_layer_untrusted"]
    assert page.method == "mixed"


def test_recognised_lines_have_the_size_of_the_text_that_they_replace(tmp_path: Path) -> None:
    path = tmp_path / "document"
    path.write_bytes(page_with_list())
    document = pypdfium2.PdfDocument(path)
    (batch,) = parse_batches(path, document, [0], Portion())
    items = list(text_items(batch.pages[0]))
    noise, others = items[len(SOUND) :], items[: len(SOUND)]
    reader = PageReader(lambda: None, ())
    seen = reader.read_instead(document[0], Sheet.of(document[0]), noise, others)
    assert seen is not None
    assert {item.size for item in seen} == {item.size for item in noise} == {12.0}
    document.close()
