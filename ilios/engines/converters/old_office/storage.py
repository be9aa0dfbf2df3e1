"""What is in a compound file of an old Office program: its format, and whether it is protected."""

import struct
from collections.abc import Iterator

from msgspec import Struct

from actors.content_types import DOC, DOCX, PPT, PPTX, XLS, XLSX
from actors.engines import Unconvertible
from ilios.engines.converters.mail.compound import CompoundFile, Damaged
from ilios.engines.converters.old_office.macro import Filters

NAMES = {DOC: "DOC", XLS: "XLS", PPT: "PPT"}

_WORD, _SLIDES, _USER = "WordDocument", "PowerPoint Document", "Current User"
_BOOKS = {"Workbook": "MS Excel 97", "Book": "MS Excel 95"}
_WORD_97 = 0xC1  # version of the first part of a document of Word 97
_WORD_FLAGS_AT, _WORD_ENCRYPTED = 10, 0x0100
_USER_TOKEN_AT, _SLIDES_ENCRYPTED = 12, 0xF3D1C4DF
_RECORD_ENCRYPTED, _RECORD_SHEET = 0x2F, 0x85
_HEAD_BYTES = 64 * 1024


class Found(Struct, frozen=True):
    """The type a document has, the type to save it as, the filters, and whether it is encrypted."""

    content_type: str
    target_type: str
    filters: Filters
    encrypted: bool


def inspect(data: bytes) -> Found:
    """Return what an old Office file is by the streams in it.

    :raises Unconvertible: ``corrupt``, there are none of such a file.
    """
    try:
        return _inspect(CompoundFile(data))
    except Damaged as damage:
        raise Unconvertible("corrupt", f"The file is damaged: {damage} cannot be read.") from None


def _inspect(file: CompoundFile) -> Found:
    streams = file.root.streams

    def head(name: str) -> bytes:
        return file.read(streams[name], _HEAD_BYTES) if name in streams else b""

    if _WORD in streams:
        start = head(_WORD).ljust(_WORD_FLAGS_AT + 2, b"\0")
        (version,) = struct.unpack_from("<H", start, 2)
        (flags,) = struct.unpack_from("<H", start, _WORD_FLAGS_AT)
        read = "MS Word 97" if version >= _WORD_97 else "MS Word 95"
        filters = Filters(read, "MS Word 2007 XML")
        return Found(DOC, DOCX, filters, bool(flags & _WORD_ENCRYPTED))
    if _SLIDES in streams:
        user = head(_USER)[_USER_TOKEN_AT : _USER_TOKEN_AT + 4]
        filters = Filters("MS PowerPoint 97", "Impress MS PowerPoint 2007 XML")
        return Found(PPT, PPTX, filters, int.from_bytes(user, "little") == _SLIDES_ENCRYPTED)
    for name, read in _BOOKS.items():
        if name in streams:
            encrypted = _RECORD_ENCRYPTED in _first_records(head(name))
            return Found(XLS, XLSX, Filters(read, "Calc MS Excel 2007 XML"), encrypted)
    raise Unconvertible("corrupt", "The file is damaged: it has no text, sheets or slides.")


def _first_records(stream: bytes) -> Iterator[int]:
    """Yield the kinds of the records before the list of sheets ([MS-XLS] 2.1.4)."""
    at = 0
    while at + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        if kind == _RECORD_SHEET:
            return
        yield kind
        at += 4 + length
