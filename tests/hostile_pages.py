"""Hostile PDF pages: too large, too full, too slow. One function a kind."""

import random
import zlib

from tests.hostile_pdfs import CATALOGUE, PAGE_TEXT, one_page, pdf_file, stream


def boxes(dice: random.Random) -> bytes:
    box = dice.choice(
        [b"0 0 1e9 1e9", b"0 0 99999999999 1", b"-1e38 -1e38 1e38 1e38", b"0 0 0 0", b"9 9 1 1"]
    )
    unit = dice.choice([b"", b"/UserUnit 1e6 ", b"/UserUnit 0 "])
    drawn = b"0 0 1e9 1e9 re f " + b"0 0 m 1e9 1e9 l S " * 200
    return one_page(dice.choice([drawn, PAGE_TEXT]), box=box, page=unit)


def order_flood(dice: random.Random) -> bytes:
    order = dice.choice(
        [b"q ", b"BT ", b"[] 0 d ", b"/F1 9 Tf ", b"1 0 0 1 1 1 cm ", b"0 0 m 9 9 l S ", b"/X Do "]
    )
    return one_page(order * dice.choice([100_000, 1_000_000]) + PAGE_TEXT)


def text_flood(dice: random.Random) -> bytes:
    """Very many letters, each placed by itself, on top of each other or far apart."""
    count = dice.choice([20_000, 100_000])
    spread = dice.choice([1, 600, 10**6])
    letters = b"".join(
        b"1 0 0 1 %d %d Tm (%c) Tj " % (dice.randrange(spread), dice.randrange(spread), 97 + n % 26)
        for n in range(count)
    )
    return one_page(b"BT /F1 9 Tf " + letters + b"ET")


def line_flood(dice: random.Random) -> bytes:
    """A page full of ruled lines: the makings of a table with very many cells."""
    count = dice.choice([500, 5_000])
    ruled = b"".join(b"%d 0 m %d 792 l S 0 %d m 612 %d l S " % (n, n, n, n) for n in range(count))
    return one_page(ruled + PAGE_TEXT * 50)


def functions(dice: random.Random) -> bytes:
    """A shading whose colours take a program, for every dot of a page."""
    program = b"{ " + b"dup mul exch sin cos atan " * dice.choice([100, 5_000]) + b"}"
    words = b"/FunctionType 4 /Domain [0 1 0 1] /Range [0 1]"
    shading = b"<< /ShadingType 1 /ColorSpace /DeviceGray /Function 7 0 R /Domain [0 1 0 1] >>"
    circle = b"<< /FunctionType 3 /Domain [0 1] /Functions [8 0 R 8 0 R] /Bounds [.5] "
    circle += b"/Encode [0 1 0 1] >>"
    return one_page(
        b"612 0 0 792 0 0 cm /S sh 0 0 1 1 re f " * 20 + b"0 0 m 1 1 l S " * 200,
        {6: shading, 7: stream(program, words), 8: circle},
        resources=b"/Shading << /S 6 0 R >>",
    )


def annotations(dice: random.Random) -> bytes:
    count = dice.choice([1_000, 30_000])
    refs = b"6 0 R " * count
    note = b"<< /Type /Annot /Subtype /Link /Rect [0 0 612 792] /Parent 6 0 R /Kids [6 0 R] "
    note += b"/A << /S /URI /URI (http://127.0.0.1/) /Next 6 0 R >> /AP << /N 6 0 R >> >>"
    return one_page(PAGE_TEXT, {6: note}, page=b"/Annots [%s] " % refs)


def ocr_flood(dice: random.Random) -> bytes:
    """Hundreds of pages that all have to be recognised, in a small file: all the same, or not."""
    pages = dice.choice([40, 400])
    kids = b"3 0 R " * pages
    moved: dict[int, bytes] = {}
    if pages == 40 and dice.random() < 0.5:
        kids = b"".join(b"%d 0 R " % (10 + 2 * n) for n in range(pages))
        for n in range(pages):
            moved[11 + 2 * n] = stream(b"612 0 0 792 %d 0 cm /Im Do" % n)
            moved[10 + 2 * n] = (
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
                b"/Resources << /XObject << /Im 6 0 R >> >> >>" % (11 + 2 * n)
            )
    words = b"/Type /XObject /Subtype /Image /Width 1700 /Height 2200 /BitsPerComponent 1"
    rows = b"".join(dice.randbytes(213) if n % 40 < 20 else b"\xff" * 213 for n in range(2200))
    bodies: dict[int, bytes] = {
        1: CATALOGUE,
        2: b"<< /Type /Pages /Count %d /Kids [%s] >>" % (pages, kids),
        3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /XObject << /Im 6 0 R >> >> >>",
        4: stream(b"612 0 0 792 0 0 cm /Im Do"),
        6: stream(zlib.compress(rows), words + b" /ColorSpace /DeviceGray /Filter /FlateDecode"),
    }
    return pdf_file(bodies | moved)


def bad_font(dice: random.Random) -> bytes:
    head = dice.choice([b"\0\1\0\0\xff\xff", b"OTTO\0\x09", b"%!PS-AdobeFont-1.0\n", b"\x01\0\4\4"])
    key = dice.choice([b"/FontFile2", b"/FontFile3", b"/FontFile"])
    data = head + dice.randbytes(dice.choice([10, 4_000, 200_000]))
    font = b"<< /Type /Font /Subtype %s /BaseFont /Bad /FirstChar 0 /LastChar 255 "
    font %= dice.choice([b"/TrueType", b"/Type1", b"/CIDFontType2", b"/MMType1"])
    font += b"/Widths 7 0 R /FontDescriptor 7 0 R /ToUnicode 8 0 R >>"
    cmap = b"1 begincodespacerange <00> <ff> endcodespacerange 1 beginbfrange <00> <ffffffff> <00> "
    bodies = {
        5: font,
        7: b"<< /Type /FontDescriptor /FontName /Bad /Flags 4 %s 9 0 R >>" % key,
        8: stream(cmap * dice.choice([1, 5_000])),
        9: stream(data, b"/Subtype /OpenType /Length1 %d" % (2**31 - 1)),
    }
    return one_page(PAGE_TEXT * 20, bodies)


KINDS = {
    "pdf: bad font": bad_font,
    "pdf: boxes of any size": boxes,
    "pdf: flood of orders": order_flood,
    "pdf: flood of letters": text_flood,
    "pdf: flood of lines": line_flood,
    "pdf: programs as colours": functions,
    "pdf: flood of annotations": annotations,
    "pdf: flood of scans": ocr_flood,
}
"""Name and maker of each kind."""
