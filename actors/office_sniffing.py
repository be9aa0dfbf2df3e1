"""Detection of Office packages by the content types they declare (ECMA-376, part 2).

Their main part may have any name, so that names alone do not show what a package is.
"""

import struct
import zlib

from actors.content_types import DOCX, PPTX, XLSX

MAX_TYPES_BYTES = 1024 * 1024
"""Bytes looked at of the list of content types; one of a document has some thousand."""

_TYPES = b"[Content_Types].xml"
_MAIN_TYPES = (
    (b"wordprocessingml.document.main+xml", DOCX),
    (b"wordprocessingml.template.main+xml", DOCX),
    (b"ms-word.document.macroEnabled.main+xml", DOCX),
    (b"ms-word.template.macroEnabledTemplate.main+xml", DOCX),
    (b"spreadsheetml.sheet.main+xml", XLSX),
    (b"spreadsheetml.template.main+xml", XLSX),
    (b"ms-excel.sheet.macroEnabled.main+xml", XLSX),
    (b"ms-excel.template.macroEnabled.main+xml", XLSX),
    (b"presentationml.presentation.main+xml", PPTX),
    (b"presentationml.slideshow.main+xml", PPTX),
    (b"presentationml.template.main+xml", PPTX),
    (b"ms-powerpoint.presentation.macroEnabled.main+xml", PPTX),
    (b"ms-powerpoint.slideshow.macroEnabled.main+xml", PPTX),
    (b"ms-powerpoint.template.macroEnabled.main+xml", PPTX),
)
"""Ends of the content types of main parts."""

_DIRECTORY_END, _DIRECTORY_ENTRY, _LOCAL_ENTRY = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_STORED, _DEFLATED = 0, 8


def office_type(head: bytes, tail: bytes) -> str | None:
    """Return the content type of an Office package by the first and last bytes of its file.

    None for any other file, and where the declared types are not among those bytes.
    """
    types = _declared_types(head, tail)
    return next((kind for ending, kind in _MAIN_TYPES if ending in types), None)


def _declared_types(head: bytes, tail: bytes) -> bytes:
    end = tail.rfind(_DIRECTORY_END)
    if not 0 <= end <= len(tail) - 22:
        return b""
    size, offset = struct.unpack_from("<12xII", tail, end)
    start = max(end - size, 0)
    name = tail.find(_TYPES, start, end)
    entry = name - 46
    if name < 0 or entry < start or not tail.startswith(_DIRECTORY_ENTRY, entry):
        return b""
    (place,) = struct.unpack_from("<I", tail, entry + 42)
    if head.startswith(_LOCAL_ENTRY, place):
        return _unpacked(head, place)
    place -= offset - (end - size)  # from the beginning of the file to that of the tail
    return _unpacked(tail, place) if place >= 0 and tail.startswith(_LOCAL_ENTRY, place) else b""


def _unpacked(data: bytes, place: int) -> bytes:
    """Return the content of the entry at a place, or as much as there is of it."""
    if place + 30 > len(data):
        return b""
    method, name, extra = struct.unpack_from("<8xH16xHH", data, place)
    packed = data[place + 30 + name + extra :]
    if method == _STORED:
        (length,) = struct.unpack_from("<I", data, place + 18)
        return packed[: min(length, MAX_TYPES_BYTES)]
    if method != _DEFLATED:
        return b""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, MAX_TYPES_BYTES)
    except zlib.error:
        return b""
