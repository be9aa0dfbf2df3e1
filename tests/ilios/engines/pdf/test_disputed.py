"""Fonts that claim other letters than they show, which the parser reads by their glyphs."""

import struct
from collections.abc import Callable

import pytest
from PIL import ImageFont

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder

TEXTS = (
    "The ferry to the island leaves the quay at seven every morning.",
    "It takes forty people and two small cars on each of its trips.",
    "The tickets are sold at the kiosk beside the stop of the bus.",
)


def glyphs(font: bytes) -> dict[str, int]:
    """Return the glyphs of ASCII letters by the font's table of segments (format 4)."""
    (tables,) = struct.unpack_from(">H", font, 4)
    records = [struct.unpack_from(">4sIII", font, 12 + 16 * at) for at in range(tables)]
    cmap = next(offset for tag, _, offset, _ in records if tag == b"cmap")
    (count,) = struct.unpack_from(">H", font, cmap + 2)
    offsets = [struct.unpack_from(">HHI", font, cmap + 4 + 8 * at)[2] for at in range(count)]
    start = next(cmap + at for at in offsets if font[cmap + at : cmap + at + 2] == b"\0\4")
    (double,) = struct.unpack_from(">H", font, start + 6)
    found = {}
    for at in range(start + 14, start + 14 + double, 2):
        (last,) = struct.unpack_from(">H", font, at)
        (first,) = struct.unpack_from(">H", font, at + 2 + double)
        (delta,) = struct.unpack_from(">H", font, at + 2 + 2 * double)
        place = at + 2 + 3 * double
        (offset,) = struct.unpack_from(">H", font, place)
        for code in range(first, min(last, 126) + 1):
            (glyph,) = (
                struct.unpack_from(">H", font, place + offset + 2 * (code - first))
                if offset
                else ((code + delta) & 0xFFFF,)
            )
            found[chr(code)] = glyph
    return found


def page_of(claimed: Callable[[int], int]) -> bytes:
    """Return a page of ``TEXTS``, the letters of which claim to be others."""
    loaded = ImageFont.load_default(100)
    assert isinstance(loaded, ImageFont.FreeTypeFont)
    source = loaded.path
    font: bytes = source.getvalue()  # type: ignore[union-attr]
    names = glyphs(font)
    builder = Builder()
    file = builder.stream(font, f"/Length1 {len(font)}")
    descriptor = builder.add(
        "<< /Type /FontDescriptor /FontName /ABCDEF+Noise /Flags 4 /FontBBox [0 -200 1000 900] "
        "/ItalicAngle 0 /Ascent 900 /Descent -200 /CapHeight 700 /StemV 80 "
        f"/FontFile2 {file} 0 R >>"
    )
    widths = " ".join(f"{names[one]} [{10 * loaded.getlength(one):.0f}]" for one in names)
    descendant = builder.add(
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /ABCDEF+Noise /CIDToGIDMap /Identity "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
        f"/FontDescriptor {descriptor} 0 R /W [{widths}] >>"
    )
    rows = "".join(f"<{names[one]:04X}> <{claimed(ord(one)):04X}>\n" for one in names if one != " ")
    table = builder.stream(
        (
            "/CIDInit /ProcSet findresource begin begincmap\n1 begincodespacerange <0000> <FFFF> "
            f"endcodespacerange\n{rows.count('<') // 2} beginbfchar\n{rows}endbfchar\nendcmap end"
        ).encode()
    )
    number = builder.add(
        "<< /Type /Font /Subtype /Type0 /BaseFont /ABCDEF+Noise /Encoding /Identity-H "
        f"/DescendantFonts [{descendant} 0 R] /ToUnicode {table} 0 R >>"
    )
    content = ""
    for at, text in enumerate(TEXTS):
        codes = "".join(f"{names[one]:04X}" for one in text)
        content += f"BT /F1 12 Tf 72 {720 - 17 * at} Td <{codes}> Tj ET\n"
    builder.page(content, font=number)
    return builder.build()


@pytest.mark.parametrize(
    "claimed",
    [
        lambda code: code - 1 if chr(code).isalpha() else code,
        lambda code: 0x4E00 + 13 * code,
        lambda code: 0x410 + 7 * code % 32,
    ],
    ids=["other letters", "Chinese", "Cyrillic"],
)
def test_what_is_seen_is_in_the_markdown_and_not_what_a_font_claims(
    convert_pdf: ConvertPdf, claimed: Callable[[int], int]
) -> None:
    (page,) = convert_pdf(page_of(claimed))
    assert " ".join(page.markdown.split()) == " ".join(TEXTS)
    assert [one.code for one in page.warnings] == ["text_layer_untrusted"]


def test_letters_that_claim_to_be_blanks_are_recognised(convert_pdf: ConvertPdf) -> None:
    (page,) = convert_pdf(page_of(lambda _: ord(" ")))
    assert page.method == "recognition"
    assert TEXTS[0] in " ".join(page.markdown.split())
