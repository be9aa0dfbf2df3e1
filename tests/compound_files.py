"""Compound files and Outlook's messages for tests."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

SECTOR, MINI, CUTOFF = 512, 64, 4096
END, FREE, TABLE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
Tree = Mapping[str, Any]
"""Bytes of streams, and further trees, by name."""


class _Entry(Struct):
    name: str
    kind: int
    content: bytes = b""
    child: int = FREE
    right: int = FREE
    start: int = END
    size: int = 0
    children: list[int] = field(default_factory=list)


def compound(tree: Tree) -> bytes:
    """Return a compound file; the entries of a storage are a chain instead of a balanced tree."""
    entries = [_Entry("Root Entry", 5)]
    _add(entries, 0, tree)
    mini, mini_table = b"", []
    sectors: list[bytes] = []
    table: list[int] = []
    for entry in entries[1:]:
        if entry.kind != 2 or not entry.content:
            continue
        entry.size = len(entry.content)
        if entry.size >= CUTOFF:
            entry.start = _store(entry.content, sectors, table)
        else:
            entry.start = len(mini) // MINI
            count = -(-entry.size // MINI)
            mini_table += [*range(entry.start + 1, entry.start + count), END]
            mini += entry.content.ljust(count * MINI, b"\0")
    entries[0].size = len(mini)
    entries[0].start = _store(mini, sectors, table) if mini else END
    listed = b"".join(struct.pack("<I", one) for one in mini_table)
    mini_start = _store(listed, sectors, table, b"\xff") if listed else END
    directory = b"".join(map(_directory_entry, entries))
    directory_start = _store(directory, sectors, table)
    count = 1
    while (len(table) + count) * 4 > count * SECTOR:
        count += 1
    first = len(table)
    table += [TABLE] * count
    packed = b"".join(struct.pack("<I", one) for one in table).ljust(count * SECTOR, b"\xff")
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        0,
        count,
        directory_start,
        0,
        CUTOFF,
        mini_start,
        -(-len(listed) // SECTOR),
        END,
        0,
    )
    places = [*range(first, first + count)]
    header += struct.pack("<109I", *places, *[FREE] * (109 - count))
    return header + b"".join(sectors) + packed


def _add(entries: list[_Entry], parent: int, tree: Tree) -> None:
    before = None
    for name, content in tree.items():
        place = len(entries)
        is_stream = isinstance(content, bytes)
        entries.append(_Entry(name, 2 if is_stream else 1, content if is_stream else b""))
        if before is None:
            entries[parent].child = place
        else:
            entries[before].right = place
        before = place
        if not is_stream:
            _add(entries, place, content)


def _store(data: bytes, sectors: list[bytes], table: list[int], fill: bytes = b"\0") -> int:
    start = len(sectors)
    for at in range(0, len(data), SECTOR):
        sectors.append(data[at : at + SECTOR].ljust(SECTOR, fill))
        table.append(len(sectors))
    table[-1] = END
    return start


def _directory_entry(entry: _Entry) -> bytes:
    name = entry.name.encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII36xIQ",
        name,
        len(name) + 2,
        entry.kind,
        1,
        FREE,
        entry.right,
        entry.child,
        entry.start,
        entry.size,
    )


def properties(
    texts: Mapping[int, str] | None = None,
    binaries: Mapping[int, bytes] | None = None,
    numbers: Mapping[int, int] | None = None,
    times: Mapping[int, int] | None = None,
    header: int = 8,
) -> dict[str, Any]:
    """Return the streams of the properties of an object."""
    streams: dict[str, Any] = {}
    fixed = bytearray(header)
    for name, text in (texts or {}).items():
        streams[f"__substg1.0_{name:04X}001F"] = text.encode("utf-16-le")
        fixed += struct.pack("<HHIQ", 0x001F, name, 6, len(text) * 2 + 2)
    for name, data in (binaries or {}).items():
        streams[f"__substg1.0_{name:04X}0102"] = data
        fixed += struct.pack("<HHIQ", 0x0102, name, 6, len(data))
    for name, number in (numbers or {}).items():
        fixed += struct.pack("<HHIQ", 0x0003, name, 6, number)
    for name, ticks in (times or {}).items():
        fixed += struct.pack("<HHIQ", 0x0040, name, 6, ticks)
    return {"__properties_version1.0": bytes(fixed), **streams}


def message(
    texts: Mapping[int, str],
    binaries: Mapping[int, bytes] | None = None,
    attachments: Sequence[Tree] = (),
    recipients: Sequence[tuple[int, str, str]] = (),
    header: int = 32,
) -> dict[str, Any]:
    """Return the tree of a message: properties by id, trees of attachments, kinds and people."""
    sent = {0x0039: 134_403_394_900_000_000}  # 28 November 2026, 11:38:10
    tree = properties(texts, binaries, {0x3FDE: 65001}, sent, header)
    for number, (kind, name, address) in enumerate(recipients):
        tree[f"__recip_version1.0_#{number:08X}"] = properties(
            {0x3001: name, 0x39FE: address}, numbers={0x0C15: kind}
        )
    for number, attachment in enumerate(attachments):
        tree[f"__attach_version1.0_#{number:08X}"] = attachment
    return tree


def attached(name: str, data: bytes, kind: str = "", content_id: str = "") -> dict[str, Any]:
    texts = {0x3707: name, **({0x370E: kind} if kind else {})}
    texts |= {0x3712: content_id} if content_id else {}
    return properties(texts, {0x3701: data}, {0x3705: 1})


def attached_message(name: str, tree: Tree) -> dict[str, Any]:
    return {
        **properties({0x3001: name}, numbers={0x3705: 5}),
        "__substg1.0_3701000D": tree,
    }


def msg(*args: Any, **options: Any) -> bytes:
    return compound(message(*args, **options))
