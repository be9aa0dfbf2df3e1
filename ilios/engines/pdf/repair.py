"""Repair of PDFs that PDFium gives up: a new catalogue for the pages that are complete.

PDFium repairs many damaged files by itself, but none without a catalogue, such as a truncated one.
"""

import re
from collections import deque
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ilios.engines.local.limits import MIB

MAX_REPAIRED_BYTES = 256 * MIB
"""Larger files are not repaired: it takes a copy in memory."""

MAX_REPAIRED_OBJECTS = 1_000_000
_OBJECT = re.compile(rb"(?<![0-9])([0-9]{1,7})[ \r\n\t]+([0-9]{1,5})[ \r\n\t]+obj\b")
_PAGE_TYPE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_ENCRYPT = re.compile(rb"/Encrypt\s+([0-9]{1,7})\s+[0-9]{1,5}\s+R")
_OWN_ENCRYPT = re.compile(rb"/Encrypt\s{0,9}(?=<<)")
_FILE_ID = re.compile(rb"/ID\s{0,9}(?=\[\s{0,9}[(<])")
_PAIRS = {b"<<": b">>", b"<": b">", b"(": b")", b"[": b"]"}
_TOKEN = re.compile(rb"\\.|<<|>>|[<>()\[\]]", re.DOTALL)

MAX_VALUE_BYTES, MAX_TRIES = 8_192, 20
"""Bytes of a dictionary or array in a trailer, and places where one is looked for."""

_PARENT = re.compile(rb"/Parent\s+([0-9]{1,7})\s+[0-9]{1,5}\s+R")


@contextmanager
def repaired_copy(path: Path) -> Iterator[Path | None]:
    """Make a temporary repaired copy of a PDF; yield ``None`` when it has no complete page."""
    if path.stat().st_size > MAX_REPAIRED_BYTES:
        yield None
        return
    repaired = _repair(path.read_bytes())
    if repaired is None:
        yield None
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "repaired.pdf")
        copy.write_bytes(repaired)
        yield copy


def _repair(data: bytes) -> bytes | None:
    offsets: dict[int, int] = {}
    pages: dict[int, bytes] = {}
    found = list(_OBJECT.finditer(data))[:MAX_REPAIRED_OBJECTS]
    if not found:
        return None
    for match, next_match in zip(found, [*found[1:], None], strict=True):
        end = next_match.start() if next_match else len(data)
        body = data[match.end() : end]
        if next_match is None and b"endobj" not in body:
            continue  # The file is truncated here.
        number = int(match[1])
        offsets[number] = match.start()
        head = body.split(b"stream", 1)[0]
        pages.pop(number, None)
        if _PAGE_TYPE.search(head):
            pages[number] = head
    protection = _protection(data, offsets) if b"/Encrypt" in data else b""
    if not pages or protection is None:
        return None
    return _append_catalog(data, offsets, pages, protection)


def _protection(data: bytes, offsets: Container[int]) -> bytes | None:
    """Return the entries of the trailer that protect the file; None if they are lost.

    Without them there is no key, and the text would come out as noise.
    """
    file_ids = _values(data, _FILE_ID)
    if not file_ids:
        return None
    named = _ENCRYPT.search(data)
    if named and int(named[1]) in offsets:
        return named[0] + b" " + file_ids[-1]
    own = _values(data, _OWN_ENCRYPT)
    return own[-1] + b" " + file_ids[-1] if own else None


def _values(data: bytes, entry: re.Pattern[bytes]) -> list[bytes]:
    """Return the last places of an entry of a dictionary with its value, but for broken ones."""
    places = deque(entry.finditer(data), MAX_TRIES)
    values = [_value(data[place.end() : place.end() + MAX_VALUE_BYTES]) for place in places]
    return [place[0] + value for place, value in zip(places, values, strict=True) if value]


def _value(data: bytes) -> bytes:
    """Return the dictionary or array with which the data begin; b"" if it has no end."""
    open_values: list[bytes] = []
    at = 0
    while token := _TOKEN.search(data, at):
        inside = open_values[-1] if open_values else b""
        sign, at = token[0], token.end()
        if sign == b">>" and inside == b"<":
            sign, at = b">", at - 1  # the end of a string before that of a dictionary
        if inside and sign == _PAIRS[inside]:
            open_values.pop()
            if not open_values:
                return data[:at]
        elif sign in _PAIRS and inside != b"<" and (inside != b"(" or sign == b"("):
            open_values.append(sign)
    return b""


def _append_catalog(
    data: bytes, offsets: dict[int, int], pages: dict[int, bytes], protection: bytes
) -> bytes:
    """Return the data with a catalogue of these pages, in file order."""
    root = max(offsets) + 1
    tree = root + 1
    for head in pages.values():
        parent = _PARENT.search(head)
        if parent and int(parent[1]) not in offsets:
            tree = int(parent[1])  # the missing one, to which the pages still refer
            break
    kids = b" ".join(b"%d 0 R" % number for number in pages)
    out = bytearray(data + b"\n")
    for number, body in (
        (tree, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), kids)),
        (root, b"<< /Type /Catalog /Pages %d 0 R >>" % tree),
    ):
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in sorted(offsets.items()):
        out += b"%d 1\n%010d 00000 n \n" % (number, place)
    size = max(offsets) + 1
    out += b"trailer\n<< /Size %d /Root %d 0 R %s >>\n" % (size, root, protection)
    out += b"startxref\n%d\n%%%%EOF\n" % table
    return bytes(out)
