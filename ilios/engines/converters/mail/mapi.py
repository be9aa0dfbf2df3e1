"""Properties of Outlook's objects in a compound file ([MS-OXMSG])."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from ilios.engines.converters.mail.charsets import decode
from ilios.engines.converters.mail.compound import MAX_STREAM_BYTES, CompoundFile, Storage

PROPERTIES = "__properties_version1.0"
_PROPERTY = struct.Struct("<HHI8s")
MAX_PROPERTIES = 5_000
MAX_TEXT_BYTES = 64 * 1024
"""Bytes of a name, an address or a subject."""

_INTEGER, _TIME, _TEXT, _BYTE_TEXT, _BINARY = 0x0003, 0x0040, 0x001F, 0x001E, 0x0102
_CODE_PAGES = (0x3FFD, 0x3FDE)
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_MOST_TICKS = 3_000_000_000_000_000_000  # tenths of microseconds; beyond the year 9999

_NAMED_PAGES = {65001: "utf-8", 20127: "ascii", 28591: "iso-8859-1", 20866: "koi8-r"}
_NAMED_PAGES |= {28592: "iso-8859-2", 28605: "iso-8859-15", 50220: "iso-2022-jp", 51932: "euc-jp"}


class Properties:
    """Properties of a message, a recipient or an attachment. ``header`` are bytes before them."""

    def __init__(
        self, file: CompoundFile, storage: Storage, header: int, encoding: str = ""
    ) -> None:
        self.storage = storage
        self._file = file
        self._values = dict(self._fixed(header))
        page = next((page for id_ in _CODE_PAGES if (page := self.integer(id_))), 0)
        self.encoding = code_page(page) or encoding

    def _fixed(self, header: int) -> Iterator[tuple[tuple[int, int], bytes]]:
        entry = self.storage.streams.get(PROPERTIES)
        most = header + MAX_PROPERTIES * _PROPERTY.size
        data = b"" if entry is None else self._file.read(entry, most)
        for place in range(MAX_PROPERTIES):
            at = header + place * _PROPERTY.size
            if at + _PROPERTY.size > len(data):
                return
            kind, name, _, value = _PROPERTY.unpack_from(data, at)
            yield (name, kind), value

    def integer(self, name: int) -> int:
        """Return a number, 0 where there is none."""
        return int.from_bytes(self._values.get((name, _INTEGER), b"")[:4], "little")

    def time(self, name: int) -> str:
        """Return a time as mails have it; empty where there is none."""
        ticks = int.from_bytes(self._values.get((name, _TIME), b""), "little")
        if not 0 < ticks < _MOST_TICKS:
            return ""
        try:
            return format_datetime(_EPOCH + timedelta(microseconds=ticks // 10))
        except (OverflowError, ValueError):
            return ""

    def text(self, name: int, most: int = MAX_TEXT_BYTES) -> str:
        """Return a text, or the first ``most`` bytes of it; empty where there is none."""
        if (data := self._stream(name, _TEXT, most)) is not None:
            return data.decode("utf-16-le", "replace").rstrip("\0")
        if (data := self._stream(name, _BYTE_TEXT, most)) is not None:
            return decode(data, self.encoding).rstrip("\0")
        return ""

    def binary(self, name: int) -> bytes | None:
        """Return bytes, None where there are none."""
        return self._stream(name, _BINARY)

    def _stream(self, name: int, kind: int, most: int = MAX_STREAM_BYTES) -> bytes | None:
        entry = self.storage.streams.get(f"__substg1.0_{name:04X}{kind:04X}")
        return None if entry is None else self._file.read(entry, most)


def code_page(number: int) -> str:
    """Return Python's name of a code page of Windows; empty for none."""
    return _NAMED_PAGES.get(number, f"cp{number}" if 0 < number < 65000 else "")
