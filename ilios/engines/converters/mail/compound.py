"""Compound files: streams in storages, stored by chains of sectors ([MS-CFB]).

Read by our own code: it needs a tenth of what a library for it has, and every chain ends, however
the file links its sectors.
"""

import struct
from array import array
from collections.abc import Iterator

from msgspec import Struct, field

MAX_ENTRIES = 100_000
"""Streams and storages of a file."""

MAX_STREAM_BYTES = 256 * 1024 * 1024
MAX_DEPTH = 64
"""Storages inside of each other; a mail within a mail takes two."""

_HEADER = struct.Struct("<8s16x2xHHHH6xIII4xIIIII")
_ENTRY = struct.Struct("<64sHBxIII36xIQ")
MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADER_BYTES = 512
_IN_HEADER = 109  # sectors of the table of sectors that the header lists
_LAST_SECTOR = 0xFFFFFFFA
_NONE = 0xFFFFFFFF
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_MINI_BYTES = 64


class Damaged(Exception):
    """The file contradicts itself."""


class Entry(Struct, frozen=True):
    """A stream of ``size`` bytes that begins in the sector ``start``."""

    start: int
    size: int


class Storage(Struct):
    """A directory: its streams and storages by name."""

    streams: dict[str, Entry] = field(default_factory=dict)
    storages: dict[str, "Storage"] = field(default_factory=dict)


class CompoundFile:
    """An open compound file.

    :raises Damaged: it cannot be read at all.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            self._open()
        except struct.error as error:
            raise Damaged("the header") from error

    def _open(self) -> None:
        found = _HEADER.unpack_from(self._data)
        magic, _, order, shift, _, _, _, directory, cutoff, mini, _, more, _ = found
        if magic != MAGIC or order != 0xFFFE or shift not in (9, 12):
            raise Damaged("the header")
        self._sector_bytes = 1 << shift
        # One more than fits: the last may be incomplete.
        self._sectors = len(self._data) // self._sector_bytes + 1
        self._cutoff = cutoff
        self._table = self._read_table(more)
        self._mini_table = array("I")
        listed = b"".join(self._sector(one) for one in self._chain(mini, self._table))
        self._mini_table.frombytes(listed[: len(listed) // 4 * 4])
        self._mini = b""
        entries = self._entries(directory)
        if not entries or entries[0][1] != _ROOT:
            raise Damaged("the directory")
        start, size = entries[0][5:]
        self._mini = self._read_chain(start, size)
        self.root = _tree(entries)

    def read(self, entry: Entry, most: int = MAX_STREAM_BYTES) -> bytes:
        """Return the first bytes of a stream, as far as there are any.

        Streams may overlap, so that the same bytes are read for each of them.
        """
        size = min(entry.size, most)
        if entry.size >= self._cutoff:
            return self._read_chain(entry.start, size)
        pieces: list[bytes] = []
        for number in self._chain(entry.start, self._mini_table):
            at = number * _MINI_BYTES
            pieces.append(self._mini[at : at + _MINI_BYTES])
            if len(pieces) * _MINI_BYTES >= size:
                break
        return b"".join(pieces)[:size]

    def _read_chain(self, start: int, size: int) -> bytes:
        size = min(size, len(self._data))
        most = -(-size // self._sector_bytes)
        pieces: list[bytes] = []
        for number in self._chain(start, self._table):
            if len(pieces) >= most:
                break
            pieces.append(self._sector(number))
        return b"".join(pieces)[:size]

    def _sector(self, number: int) -> bytes:
        at = (number + 1) * self._sector_bytes
        return self._data[at : at + self._sector_bytes]

    def _chain(self, start: int, table: "array[int]") -> Iterator[int]:
        """Yield the sectors of a chain; one that is longer than the file runs in a circle."""
        number = start
        for _ in range(min(len(table), self._sectors * 64)):
            if number >= len(table):
                return
            yield number
            number = table[number]
        if number < len(table):
            raise Damaged("a chain of sectors")

    def _read_table(self, more: int) -> "array[int]":
        """Return the table of sectors, of which the header and a chain list the sectors."""
        listed = list(struct.unpack_from(f"<{_IN_HEADER}I", self._data, _HEADER.size))
        per_sector = self._sector_bytes // 4 - 1
        for _ in range(self._sectors):
            if more >= _LAST_SECTOR:
                break
            numbers = array("I", self._sector(more).ljust(self._sector_bytes, b"\xff"))
            listed += numbers[:per_sector]
            more = numbers[per_sector]
        table = array("I")
        used = [number for number in listed if number < self._sectors]
        for number in used[: self._sectors]:
            sector = self._sector(number)
            table.frombytes(sector[: len(sector) // 4 * 4])
            if len(table) > self._sectors:
                break
        return table[: self._sectors]

    def _entries(self, start: int) -> list[tuple[str, int, int, int, int, int, int]]:
        """Return name, kind, siblings, first child, start and size of all entries."""
        entries = []
        for number in self._chain(start, self._table):
            sector = self._sector(number)
            for at in range(0, len(sector) - _ENTRY.size + 1, _ENTRY.size):
                raw, length, kind, left, right, child, first, size = _ENTRY.unpack_from(sector, at)
                name = raw[: max(min(length, 64) - 2, 0)].decode("utf-16-le", "replace")
                # Files of the older version leave noise in the upper half of a size.
                size &= _NONE if self._sector_bytes == _HEADER_BYTES else size
                entries.append((name, kind, left, right, child, first, size))
                if len(entries) > MAX_ENTRIES:
                    raise Damaged("the directory")
        return entries


def _tree(entries: list[tuple[str, int, int, int, int, int, int]]) -> Storage:
    """Return the root; each entry is in one storage only, so that a circle ends."""
    root = Storage()
    waiting = [(entries[0][4], root, 0)]
    seen: set[int] = {0}
    while waiting:
        number, parent, depth = waiting.pop()
        if number in seen or number >= len(entries):
            continue
        seen.add(number)
        name, kind, left, right, child, start, size = entries[number]
        waiting += [(left, parent, depth), (right, parent, depth)]
        if kind == _STREAM:
            parent.streams.setdefault(name, Entry(start, size))
        elif kind == _STORAGE and depth < MAX_DEPTH:
            storage = parent.storages.setdefault(name, Storage())
            waiting.append((child, storage, depth + 1))
    return root
