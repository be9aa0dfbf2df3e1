"""Hostile PDF pages for whatever reads positions, form fields, links and fonts. A kind a function.

What takes the square of the number of things on a page shows here.
"""

import random
import zlib
from collections.abc import Callable

from tests.hostile_pdfs import CATALOGUE, PAGE_TEXT, one_page, stream


def word_flood(dice: random.Random) -> bytes:
    """Very many words, each placed by itself: anywhere, turned, slanted, or in one endless row."""
    count = dice.choice([5_000, 20_000])
    turn = dice.choice([b"1 0 0 1", b"0 1 -1 0", b".7 .7 -.7 .7", b"-1 0 0 -1"])
    shown = b"".join(
        b"%s %d %d Tm (w%d x) Tj " % (turn, dice.randrange(600), dice.randrange(790), number)
        for number in range(count)
    )
    row = b"".join(b"1 0 0 1 %d 400 Tm (ab) Tj " % (20 * number) for number in range(count))
    return one_page(b"BT /F1 4 Tf " + dice.choice([shown, row, shown + row]) + b"ET")


def outside_flood(dice: random.Random) -> bytes:
    """Very many different words beside the crop box."""
    words = b"".join(
        b"1 0 0 1 %d %d Tm (w%dx) Tj " % (700 + dice.randrange(600), dice.randrange(790), number)
        for number in range(dice.choice([1_000, 50_000]))
    )
    return one_page(
        b"BT /F1 4 Tf " + words + b"ET " + PAGE_TEXT,
        box=b"0 0 1400 792",
        page=b"/CropBox [0 0 612 792] ",
    )


def long_lines(dice: random.Random) -> bytes:
    """Lines at the edges of the page: of leaders, of numbers, of marks."""
    line = dice.choice(
        [b"." * 20_000 + b" x y", b". " * 20_000 + b"wwwwwwwww", b"1 " * 20_000, b"- 1" * 20_000]
    )
    lines = b"".join(b"1 0 0 1 9 %d Tm (%s) Tj " % (place, line) for place in (780, 400, 9))
    return one_page(b"BT /F1 4 Tf " + lines + b"ET")


def box_flood(dice: random.Random) -> bytes:
    """Very many strokes and filled rectangles, long or thin."""
    orders = b"".join(
        dice.choice([b"%d %d 1 50 re f ", b"%d %d 50 1 re f ", b"%d %d 9 9 re S "])
        % (dice.randrange(600), dice.randrange(790))
        for _ in range(dice.choice([5_000, 100_000]))
    )
    return one_page(orders + PAGE_TEXT * 50)


def fields(dice: random.Random) -> bytes:
    """Form fields by the thousand, each over the whole page, or in circles, or very deep."""
    count = dice.choice([2, 2_000, 5_000])
    kids = b" ".join(b"%d 0 R" % (10 + number) for number in range(count))
    bodies = {6: b"<< /Fields [%s] >>" % kids}
    for number in range(count):
        bodies[10 + number] = (
            b"<< /Type /Annot /Subtype /Widget /FT %s /T (f%d) /V (value %d) /Rect [0 0 612 792] "
            b"/Parent %d 0 R %s >>"
        ) % (
            dice.choice([b"/Tx", b"/Btn", b"/Ch", b"/Sig"]),
            number,
            number,
            10 + (number + 1) % count,
            dice.choice([b"", b"/Kids [%d 0 R]" % (10 + (number + 1) % count)]),
        )
    return _with_catalogue(
        one_page(PAGE_TEXT * 100, bodies, page=b"/Annots [%s] " % kids), b"/AcroForm 6 0 R"
    )


def links(dice: random.Random) -> bytes:
    """Links, each over a part of very many words."""
    count = dice.choice([10, 600])
    bodies = {
        10 + number: b"<< /Type /Annot /Subtype /Link /Rect [%d 0 600 792] "
        b"/A << /S /URI /URI (http://127.0.0.1/%d) >> >>" % (dice.randrange(300), number)
        for number in range(count)
    }
    shown = b"".join(
        b"1 0 0 1 %d %d Tm (some words w%d) Tj " % (dice.randrange(400), dice.randrange(790), n)
        for n in range(dice.choice([100, 10_000]))
    )
    listed = b" ".join(b"%d 0 R" % number for number in bodies)
    return one_page(b"BT /F1 4 Tf " + shown + b"ET", bodies, page=b"/Annots [%s] " % listed)


def fonts(dice: random.Random) -> bytes:
    """Fonts by the thousand, whose glyphs have no meaning."""
    count = dice.choice([100, 5_000])
    bodies = {
        10 + n: b"<< /Type /Font /Subtype /TrueType /BaseFont /F%d /FirstChar 65 /LastChar 90 "
        b"/Encoding << /Differences [65 /g%d] >> >>" % (n, n)
        for n in range(count)
    }
    shown = b"".join(
        b"/G%d 9 Tf 1 0 0 1 %d %d Tm (ABCD) Tj " % (n, dice.randrange(600), dice.randrange(790))
        for n in range(count)
    )
    names = b" ".join(b"/G%d %d 0 R" % (n, 10 + n) for n in range(count))
    made = one_page(b"BT " + shown + b"ET", bodies)
    return made.replace(b"/F1 5 0 R >>", b"/F1 5 0 R %s >>" % names)


def pictures(dice: random.Random) -> bytes:
    """One picture drawn very often: tiny, or too large once it is encoded."""
    side, count = dice.choice([(8, 20_000), (1400, 200), (40, 5_000)])
    words = b"/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent 8"
    packed = zlib.compress(dice.randbytes(side * side), 1)
    drawn = b"".join(
        b"q 90 0 0 90 %d %d cm /Im Do Q " % (dice.randrange(500), dice.randrange(700))
        for _ in range(count)
    )
    image = stream(packed, words % (side, side) + b" /ColorSpace /DeviceGray /Filter /FlateDecode")
    return one_page(drawn + PAGE_TEXT * 99, {6: image}, resources=b"/XObject << /Im 6 0 R >>")


def sheets(dice: random.Random) -> bytes:
    """A crop box that is empty, inside out, endless or elsewhere, and a turn that is none."""
    crop = dice.choice(
        [b"0 0 0 0", b"-1e30 -1e30 1e30 1e30", b"99 99 9 9", b"0 0 1e-9 1", b"-9 -9 -1 -1", b"x"]
    )
    turn = dice.choice([b"45", b"-90", b"1e9", b"(x)", b"2147483647", b"-2147483648"])
    return one_page(PAGE_TEXT, page=b"/CropBox [%s] /Rotate %s " % (crop, turn))


def structure_cycle(dice: random.Random) -> bytes:
    """A structure tree that contains itself, and so does the tree of its marked content."""
    number = dice.choice([b"0", b"-1", b"2147483647"])
    bodies = {
        6: b"<< /Type /StructTreeRoot /K 7 0 R /ParentTree 9 0 R >>",
        7: b"<< /Type /StructElem /S /P /P 6 0 R /K [8 0 R 7 0 R 0] /Pg 3 0 R >>",
        8: b"<< /Type /StructElem /S /P /P 7 0 R /K [7 0 R 8 0 R 0] /Pg 3 0 R >>",
        9: b"<< %s /Kids [9 0 R 10 0 R] >>" % dice.choice([b"/Nums [0 [7 0 R 8 0 R]]", b""]),
        10: b"<< /Limits [0 9] /Kids [10 0 R 9 0 R] >>",
    }
    content = b"/P << /MCID %s >> BDC " % number + PAGE_TEXT + b"EMC"
    return _with_catalogue(
        one_page(content, bodies, page=b"/StructParents 0 "),
        b"/StructTreeRoot 6 0 R /MarkInfo << /Marked true >>",
    )


def _with_catalogue(made: bytes, more: bytes) -> bytes:
    return made.replace(CATALOGUE, CATALOGUE.replace(b">>", more + b" >>"))


KINDS: dict[str, Callable[[random.Random], bytes]] = {
    "pdf: flood of words": word_flood,
    "pdf: words beside the page": outside_flood,
    "pdf: long lines": long_lines,
    "pdf: flood of boxes": box_flood,
    "pdf: flood of fields": fields,
    "pdf: flood of links": links,
    "pdf: flood of fonts": fonts,
    "pdf: flood of pictures": pictures,
    "pdf: sheets of any size": sheets,
    "pdf: structure in a circle": structure_cycle,
}
"""Name and maker of each kind."""
