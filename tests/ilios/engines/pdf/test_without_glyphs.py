"""Texts that cannot be drawn here are not left out in silence."""

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line

CHINESE = (
    "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H "
    "/DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light "
    "/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 0 >> /DW 1000 "
    "/FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /ItalicAngle 0 "
    "/FontBBox [-25 -254 1000 880] /Ascent 752 /Descent -271 /CapHeight 737 /StemV 58 >> >>] >>"
)


def test_signs_in_a_font_that_is_not_in_the_file_are_warned_of(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    signs = "".join(
        f"BT /F2 12 Tf {72 + 13 * at} 600 Td <{ord(sign):04X}> Tj ET\n"
        for at, sign in enumerate("港口有限公司")
    )
    builder.page(line("Invoice 4711", 72, 700) + signs, fonts={"F2": builder.add(CHINESE)})
    (page,) = convert_pdf(builder.build())
    if "港口有限公司" not in page.markdown:  # no font of this machine has them
        (warning,) = page.warnings
        assert warning.code == "page_incomplete"
        assert "STSong-Light" in warning.message


def test_blanks_are_no_lost_texts(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    blanks = "".join(line(" ", 72, 600 - 20 * at) for at in range(5))
    builder.page(line("Invoice 4711", 72, 700) + blanks)
    (page,) = convert_pdf(builder.build())
    assert not page.warnings
