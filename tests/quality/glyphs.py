"""Fonts of our own making for letters that the standard fonts of PDF do not have.

A glyph is a pattern of bars: what a reader sees has no meaning, but its place and its character in
the text layer are right, which is all that a reading of the text layer takes.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping

EM = 1000
ASCENT, DESCENT = 850, -150


def true_type(advances: Iterable[int]) -> bytes:
    """Return a TrueType font for a PDF, with a glyph for each advance width."""
    widths = [500, *advances]
    outlines = [b"", *(_bars(number, width) for number, width in enumerate(widths[1:], 1))]
    places = [0]
    for outline in outlines:
        places.append(places[-1] + len(outline))
    head = struct.pack(
        ">IIIIHHQQhhhhHHhhh", 0x10000, 0x10000, 0, 0x5F0F3CF5, 0, EM, 0, 0,
        0, DESCENT, EM, ASCENT, 0, 8, 2, 1, 0,
    )  # fmt: skip
    hhea = struct.pack(
        ">IhhhHhhhhhhhhhhhH", 0x10000, ASCENT, DESCENT, 0, EM, 0, 0, EM,
        1, 0, 0, 0, 0, 0, 0, 0, len(widths),
    )  # fmt: skip
    maxp = struct.pack(">IH13H", 0x10000, len(widths), 20, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    return _assemble(
        {
            "glyf": b"".join(outlines),
            "head": head,
            "hhea": hhea,
            "hmtx": b"".join(struct.pack(">Hh", width, 60) for width in widths),
            "loca": struct.pack(f">{len(places)}I", *places),
            "maxp": maxp,
        }
    )


def _bars(number: int, width: int) -> bytes:
    """Return the outline of bars that differ by the number of the glyph."""
    right = max(width - 60, 120)
    lows = [100 * place for place in range(7) if number >> place & 1 or place == 6]
    corners = [
        corner
        for low in lows
        for corner in ((60, low), (60, low + 60), (right, low + 60), (right, low))
    ]
    data = struct.pack(">hhhhh", len(lows), 60, lows[0], right, lows[-1] + 60)
    data += struct.pack(f">{len(lows)}HH", *(4 * n + 3 for n in range(len(lows))), 0)
    data += bytes([1]) * len(corners)
    for axis in (0, 1):
        previous = 0
        for corner in corners:
            data += struct.pack(">h", corner[axis] - previous)
            previous = corner[axis]
    return data + bytes(-len(data) % 4)


def _assemble(tables: Mapping[str, bytes]) -> bytes:
    out = struct.pack(">IHHHH", 0x10000, len(tables), 64, 2, 32)
    place = 12 + 16 * len(tables)
    body = b""
    for name, data in sorted(tables.items()):
        padded = data + bytes(-len(data) % 4)
        words = struct.unpack(f">{len(padded) // 4}I", padded)
        out += struct.pack(">4sIII", name.encode(), sum(words) & 0xFFFFFFFF, place, len(data))
        place += len(padded)
        body += padded
    return out + body


def to_unicode(codes: Mapping[int, str], digits: int) -> bytes:
    """Return the table of a font that gives the characters of its codes."""
    lines = [
        f"<{code:0{digits}X}> <{text.encode('utf-16-be').hex().upper()}>"
        for code, text in sorted(codes.items())
    ]
    blocks = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    mapped = "\n".join(
        f"{len(block)} beginbfchar\n{chr(10).join(block)}\nendbfchar" for block in blocks
    )
    most = "F" * digits
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        "/CMapName /Ours def /CMapType 2 def\n"
        f"1 begincodespacerange <{'0' * digits}> <{most}> endcodespacerange\n"
        f"{mapped}\nendcmap end end\n"
    ).encode()


def packed(data: bytes, entries: str = "") -> bytes:
    """Return a compressed stream object."""
    body = zlib.compress(data, 9)
    head = f"<< /Length {len(body)} /Filter /FlateDecode {entries} >>\nstream\n"
    return head.encode() + body + b"\nendstream"
