"""Hostile PDFs: bombs, cycles, depths, false sizes. One function a kind."""

import random
import zlib
from collections.abc import Mapping

from tests import documents

MIB = 1024 * 1024
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
ONE_PAGE = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
PAGE_TEXT = b"BT /F1 12 Tf 72 720 Td (Some words.) Tj ET"


def pdf_file(bodies: Mapping[int, bytes], trailer: bytes = b"") -> bytes:
    """Return a PDF of these objects; number 1 is the catalogue."""
    out = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, body in bodies.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in places.items():
        out += b"%d 1\n%010d 00000 n \n" % (number, place)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (max(bodies) + 1, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)


def stream(data: bytes, dictionary: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), dictionary, data)


def one_page(
    content: bytes,
    more: Mapping[int, bytes] | None = None,
    *,
    resources: bytes = b"",
    box: bytes = b"0 0 612 792",
    page: bytes = b"",
    trailer: bytes = b"",
) -> bytes:
    """Return a PDF of one page; its content is object 4, objects from 6 on are free."""
    shown = b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R %s" % (box, page)
    bodies = {
        1: CATALOGUE,
        2: ONE_PAGE,
        3: shown + b"/Resources << /Font << /F1 5 0 R >> %s >> >>" % resources,
        4: content if content.startswith(b"<<") else stream(content),
        5: FONT,
    }
    return pdf_file(bodies | dict(more or {}), trailer)


def zeros(mebibytes: int, byte: bytes = b"\0") -> bytes:
    """Return so many MiB of one byte as a zlib stream, made in no time."""
    packer = zlib.compressobj(9)
    piece = packer.compress(byte * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    following = packer.compress(byte * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece + following * (mebibytes - 1) + packer.flush()


def flate_bomb(dice: random.Random) -> bytes:
    return one_page(stream(zeros(dice.choice([64, 512, 4096]), b" "), b"/Filter /FlateDecode"))


def orders_bomb(dice: random.Random) -> bytes:
    return documents.bomb_pdf(dice.choice([10, 100, 300]) * MIB)


def flate_in_flate(dice: random.Random) -> bytes:
    data = zeros(dice.choice([256, 2048]), b" ")
    depth = dice.randint(1, 6)
    for _ in range(depth):
        data = zlib.compress(data)
    return one_page(stream(data, b"/Filter [%s]" % (b"/FlateDecode " * (depth + 1))))


def run_length_bomb(dice: random.Random) -> bytes:
    data = zlib.compress(b"\x81 " * (dice.choice([1, 8]) * MIB) + b"\x80")
    return one_page(stream(data, b"/Filter [/FlateDecode /RunLengthDecode]"))


def lzw_bomb(dice: random.Random) -> bytes:
    """Codes of growing strings, packed once more: 4096 spaces for 12 bits."""
    bits = "".join(f"{code:09b}" for code in (256, 32))
    width, code = 9, 258
    while code < 4094:
        bits += f"{code:0{width}b}"
        code += 1
        width = 9 + sum(code >= limit for limit in (511, 1023, 2047))
    data = int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return one_page(
        stream(zlib.compress(data * dice.choice([10, 3000])), b"/Filter [/FlateDecode /LZWDecode]")
    )


def many_filters(dice: random.Random) -> bytes:
    names = [b"/ASCIIHexDecode", b"/ASCII85Decode", b"/RunLengthDecode", b"/FlateDecode"]
    filters = b" ".join(dice.choice(names) for _ in range(dice.choice([50, 50_000])))
    return one_page(stream(b"00" * 1000, b"/Filter [%s]" % filters))


def predictor(dice: random.Random) -> bytes:
    columns = dice.choice([2**31 - 1, 2**30, 10**9, -1])
    words = b"/Filter /FlateDecode /DecodeParms << /Predictor %d /Columns %d /Colors %d >>"
    return one_page(stream(zeros(8), words % (dice.choice([2, 12, 15]), columns, 2**30)))


def image(dice: random.Random) -> bytes:
    """An image that is larger than it declares, or declares an impossible size."""
    side = dice.choice([20_000, 100_000, 2**31 - 1])
    data, filters = dice.choice(
        [
            (zeros(200), b"/FlateDecode"),
            (b"\xff\x4f\xff\x51" + jpx_size(side), b"/JPXDecode"),
            (jbig2_page(side), b"/JBIG2Decode"),
            (b"\x80" * 1000, b"/CCITTFaxDecode"),
            (b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00", b"/DCTDecode"),
        ]
    )
    words = b"/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent %d"
    words %= (side, side, dice.choice([1, 8, 16]))
    return one_page(
        b"612 0 0 792 0 0 cm /Im Do",
        {6: stream(data, words + b"/ColorSpace /DeviceGray /Filter " + filters)},
        resources=b"/XObject << /Im 6 0 R >>",
    )


def jpx_size(side: int) -> bytes:
    sizes = b"".join(n.to_bytes(4, "big") for n in (side, side, 0, 0, 1, 1, 0, 0))
    return (
        (41).to_bytes(2, "big") + b"\0\0" + sizes + b"\0\x01\x07\x01\x01" + b"\xff\x90" + b"\0" * 64
    )


def jbig2_page(side: int) -> bytes:
    sides = side.to_bytes(4, "big") * 2
    page = b"\0\0\0\0\x30\0\x01\0\0\0\x13" + sides + b"\0" * 8 + b"\0\0\0"
    region = b"\0\0\0\x01\x26\0\x01\0\0\1\0" + sides + b"\0" * 8 + b"\0\0" + b"\xff" * 256
    return page + region


def form_cycle(dice: random.Random) -> bytes:
    length = dice.choice([1, 2, 50])
    forms = {}
    for place in range(length):
        following = 6 + (place + 1) % length
        words = b"/Type /XObject /Subtype /Form /BBox [0 0 600 700] /Resources "
        words += b"<< /XObject << /X %d 0 R >> /Font << /F1 5 0 R >> >>" % following
        forms[6 + place] = stream(b"q /X Do Q /X Do " + PAGE_TEXT, words)
    return one_page(b"/X Do", forms, resources=b"/XObject << /X 6 0 R >>")


def forms_doubling(dice: random.Random) -> bytes:
    """Each form draws the next one several times: a small file, as many drawings as one likes."""
    depth, times = dice.choice([(12, 3), (28, 2), (60, 2)])
    forms = {}
    for place in range(depth):
        words = b"/Type /XObject /Subtype /Form /BBox [0 0 600 700] /Resources "
        words += b"<< /XObject << /X %d 0 R >> /Font << /F1 5 0 R >> >>" % (7 + place)
        forms[6 + place] = stream(b"/X Do " * times, words)
    forms[6 + depth] = stream(
        PAGE_TEXT,
        b"/Type /XObject /Subtype /Form /BBox [0 0 600 700] /Resources << /Font << /F1 5 0 R >> >>",
    )
    return one_page(b"/X Do", forms, resources=b"/XObject << /X 6 0 R >>")


def glyph_cycle(dice: random.Random) -> bytes:
    glyph = b"1000 0 0 0 750 750 d1 BT /T3 1 Tf (aaaaaaaa) Tj ET"
    font = b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 750 750] /FontMatrix [.001 0 0 .001 0 0]"
    font += b"/CharProcs << /a 7 0 R >> /Encoding << /Type /Encoding /Differences [97 /a] >>"
    font += b"/FirstChar 97 /LastChar 97 /Widths [1000] /Resources << /Font << /T3 6 0 R >> >> >>"
    text = b"BT /T3 12 Tf 72 720 Td (%s) Tj ET" % (b"a" * dice.choice([1, 1000]))
    resources = b"/Pattern << /P 8 0 R >>"
    pattern = stream(
        b"/Pattern cs /P scn 0 0 100 100 re f",
        b"/PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1] /XStep .001 /YStep .001 "
        b"/Resources << /Pattern << /P 8 0 R >> >>",
    )
    shown = text + b" /Pattern cs /P scn 0 0 600 700 re f"
    # The fonts of the page are objects 5 and, by its other name, 6.
    made = one_page(shown, {6: font, 7: stream(glyph), 8: pattern}, resources=resources)
    return made.replace(b"/F1 5 0 R >>", b"/F1 5 0 R /T3 6 0 R >>")


def deep_arrays(dice: random.Random) -> bytes:
    depth = dice.choice([1_000, 100_000, 2_000_000])
    opened, closed = dice.choice([(b"[", b"]"), (b"<</A", b">>"), (b"(", b")")])
    nested = opened * depth + b" 0 " + closed * depth
    return one_page(nested + PAGE_TEXT, {6: nested}, page=b"/Rotate 6 0 R /Annots 6 0 R ")


def deep_page_tree(dice: random.Random) -> bytes:
    depth = dice.choice([100, 5_000, 50_000])
    bodies = {1: CATALOGUE}
    for number in range(2, depth):
        kid = number + 1
        bodies[number] = b"<< /Type /Pages /Count 1 /Parent %d 0 R /Kids [%d 0 R] >>" % (
            max(number - 1, 2),
            kid,
        )
    bodies[depth] = b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 9 9] >>" % (depth - 1)
    return pdf_file(bodies)


def page_tree_cycle(dice: random.Random) -> bytes:
    kids = dice.choice([b"2 0 R", b"2 0 R 2 0 R 3 0 R", b"1 0 R", b"3 0 R " * 3 + b"2 0 R"])
    count = dice.choice([1, 3, 1000, 4999, -5])
    return pdf_file(
        {
            1: CATALOGUE,
            2: b"<< /Type /Pages /Parent 2 0 R /Count %d /Kids [%s] >>" % (count, kids),
            3: b"<< /Type /Page /Parent 3 0 R /MediaBox [0 0 612 792] /Contents 3 0 R >>",
        }
    )


def a_million_pages(dice: random.Random) -> bytes:
    """Every node of the tree names the next one often: pages beyond number in a few lines."""
    depth, times = dice.choice([(6, 10), (3, 10), (20, 2), (1, 4_999)])
    bodies = {1: CATALOGUE}
    for level in range(depth):
        kids = b"%d 0 R " % (3 + level) * times
        count = times ** (depth - level)
        bodies[2 + level] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, kids)
    bodies[2 + depth] = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 99 0 R >>"
    bodies[99] = stream(b"BT (x) Tj ET")
    return pdf_file(bodies)


def xref_cycle(dice: random.Random) -> bytes:
    made = one_page(PAGE_TEXT, trailer=b"/Prev %d" % dice.choice([0, 9, 2**31, -1]))
    table = made.rindex(b"xref\n0 1")
    looped = made.replace(b"/Prev ", b"/Prev %d %%" % table)
    return dice.choice([made, looped])


def xref_stream(dice: random.Random) -> bytes:
    """A cross-reference stream that promises more objects than there are atoms."""
    width = dice.choice([b"1 2 1", b"8 8 8", b"2147483647 1 1", b"0 0 0"])
    words = b"/Type /XRef /Size %d /W [%s] /Root 1 0 R /Index [0 %d]"
    body = stream(zeros(16), words % (2**31 - 1, width, 2**31 - 1) + b"/Filter /FlateDecode")
    out = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
    return out + b"9 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n" % (body, len(out))


def object_streams(dice: random.Random) -> bytes:
    count = dice.choice([10, 10**6, 2**31 - 1])
    words = b"/Type /ObjStm /N %d /First %d /Extends 6 0 R" % (count, dice.choice([0, 4, 2**31]))
    return one_page(PAGE_TEXT, {6: stream(b"6 0 7 9 " * 100, words), 7: b"6 0 R", 8: b"8 0 R"})


def external_references(dice: random.Random, url: str, file: str) -> bytes:
    """Streams, fonts and actions at other addresses, for a reader that fetches them."""
    web, local = url.encode(), file.encode()
    there = dice.choice([b"/FS /URL /F (%s)" % web, b"/F (%s)" % local, b"/F (file://%s)" % local])
    bodies = {
        4: b"<< /Length 0 /F << /Type /Filespec %s >> >>\nstream\n\nendstream" % there,
        6: b"<< /S /JavaScript /JS (app.launchURL('%s')) /Next 7 0 R >>" % web,
        7: b"<< /S /Launch /F (%s) /Next 8 0 R >>" % local,
        8: b"<< /S /GoToR /F (%s) /D [0 /Fit] /Next 9 0 R >>" % local,
        9: b"<< /S /SubmitForm /F << /FS /URL /F (%s) >> >>" % web,
        10: b"<< /XFA (<!DOCTYPE a [<!ENTITY x SYSTEM '%s'>]><a>&x;</a>) /Fields [] >>" % web,
    }
    made = one_page(PAGE_TEXT, bodies, page=b"/AA << /O 6 0 R >> ")
    return made.replace(
        CATALOGUE, b"<< /Type /Catalog /Pages 2 0 R /OpenAction 6 0 R /AcroForm 10 0 R >>"
    )


KINDS = {
    "pdf: deflate bomb": flate_bomb,
    "pdf: deflated drawing orders": orders_bomb,
    "pdf: deflate in deflate": flate_in_flate,
    "pdf: run length bomb": run_length_bomb,
    "pdf: LZW bomb": lzw_bomb,
    "pdf: thousands of filters": many_filters,
    "pdf: predictor of any width": predictor,
    "pdf: image of any size": image,
    "pdf: forms in a circle": form_cycle,
    "pdf: forms doubling": forms_doubling,
    "pdf: glyphs in a circle": glyph_cycle,
    "pdf: deep arrays": deep_arrays,
    "pdf: deep page tree": deep_page_tree,
    "pdf: page tree in a circle": page_tree_cycle,
    "pdf: a million pages": a_million_pages,
    "pdf: table of objects in a circle": xref_cycle,
    "pdf: table of objects without end": xref_stream,
    "pdf: object streams": object_streams,
}
"""Name and maker of each kind."""
