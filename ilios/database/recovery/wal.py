"""Detection of damage in a write-ahead log that a killed process left behind.

SQLite reads it up to the first frame with a wrong checksum, and takes the rest for an interrupted
commit. If the file is damaged, that silently mixes old pages with new ones.
Format: https://www.sqlite.org/walformat.html
"""

import struct
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, 2 salts, 2 checksums
_FRAME = struct.Struct(">6I")  # page, pages after a commit (else 0), 2 salts, 2 checksums
_MAGIC = 0x377F0682  # its lowest bit is the byte order of the checksums
_INDEX = struct.Struct("=I4xI2BH2I2I")  # version, change, ready, order, page size, last frame, ...
_INDEX_COPY = 48  # bytes; the index contains its header twice
_CHECKPOINTED = struct.Struct(
    "=I"
)  # behind both: the number of frames that are in the database as well
_PAGE_SIZES = {2**power for power in range(9, 17)}
_UINT32_MAX = 0xFFFFFFFF


class _Index(Struct, frozen=True):
    """The state of the write-ahead log in the shared index."""

    last_frame: int
    checkpointed: int
    salts: bytes


def sidecar(database: Path, suffix: str) -> Path:
    """Return the file of SQLite beside ``database`` with the suffix ``-wal`` or ``-shm``."""
    return database.with_name(database.name + suffix)


def has_leftover(database: Path) -> bool:
    """Whether the last process that had the database open did not close it."""
    wal = sidecar(database, "-wal")
    return wal.exists() and wal.stat().st_size > 0


def find_damage(database: Path) -> str | None:
    """Return the damage of the write-ahead log of a database, or None.

    Call it before SQLite opens the file, which overwrites the evidence. A commit that a crash
    interrupted, and so was never acknowledged, is no damage.
    """
    index = _read_index(sidecar(database, "-shm"))
    wal = sidecar(database, "-wal")
    if not wal.exists():
        read, commits_beyond, salts = 0, 0, b""
    else:
        with wal.open("rb") as file:
            read, commits_beyond, salts = _scan(file)
    # A crash interrupts at most one commit: the next one starts when this one is on disk.
    if commits_beyond > 1:
        return f"its write-ahead log is damaged after frame {read}"
    if index is None:
        return None
    # If no frame is read, those that are in the database are not needed.
    needed = index.last_frame if read else index.last_frame - index.checkpointed
    if needed > read and (not read or salts == index.salts):
        return f"its write-ahead log ends after frame {read} of {index.last_frame}"
    return None


def _scan(file: BinaryIO) -> tuple[int, int, bytes]:
    """Return the frames that SQLite will read, the commits beyond them, and the salts."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return 0, 0, b""
    magic, _, page_size, _, _, _, *stored_sums = _HEADER.unpack(header)
    order = ">" if magic & 1 else "<"
    sums = _add_to_checksum((0, 0), header[:24], order)
    # An invalid page size could be any number, and would be read as such here.
    if magic & ~1 != _MAGIC or list(sums) != stored_sums or page_size not in _PAGE_SIZES:
        return 0, 0, b""
    salts = header[16:24]
    read, beyond, broken = 0, 0, False
    while len(frame := file.read(_FRAME.size + page_size)) == _FRAME.size + page_size:
        _, committed, _, _, *stored_sums = _FRAME.unpack_from(frame)
        ours = frame[8:16] == salts
        if not broken:
            if ours:
                sums = _add_to_checksum(
                    _add_to_checksum(sums, frame[:8], order), frame[_FRAME.size :], order
                )
            broken = not ours or list(sums) != stored_sums
            read += not broken
        # Whether the broken frame was a commit is unknown.
        elif ours and committed:
            beyond += 1
    return read, beyond, salts


def _add_to_checksum(sums: tuple[int, int], data: bytes, order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & _UINT32_MAX
        second = (second + two + first) & _UINT32_MAX
    return first, second


def _read_index(shm: Path) -> _Index | None:
    """Read the header of the shared index; None if it is missing or inconsistent."""
    if not shm.exists():
        return None
    with shm.open("rb") as file:
        head = file.read(2 * _INDEX_COPY + _CHECKPOINTED.size)
    if len(head) < 2 * _INDEX_COPY + _CHECKPOINTED.size:
        return None
    one, two = head[:_INDEX_COPY], head[_INDEX_COPY : 2 * _INDEX_COPY]
    _, _, ready, _, _, last_frame, *_ = _INDEX.unpack_from(one)
    if one != two or not ready:
        return None  # the process died while writing it
    (checkpointed,) = _CHECKPOINTED.unpack_from(head, 2 * _INDEX_COPY)
    return _Index(last_frame, checkpointed, one[32:40])
