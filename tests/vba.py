"""Macros of Office documents: VBA projects ([MS-OVBA]) and documents that have them."""

import struct
from collections.abc import Mapping
from typing import Any

from ilios.engines.converters.mail.compound import CompoundFile, Storage
from tests.compound_files import compound

WORD, EXCEL = "Macros", "_VBA_PROJECT_CUR"
"""Names of the storage of the project in a DOC and in an XLS."""

_NAMES = (0x19, 0x47), (0x1A, 0x32)
_MAX_PACKED = 4096
_PROJECT, _SHEET = 0xD3, 0x85


def with_project(data: bytes, place: str, modules: Mapping[str, str]) -> bytes:
    """Return a DOC or XLS with the source texts of macros, by the names of their modules."""
    file = CompoundFile(data)
    tree = _tree(file, file.root)
    if place == EXCEL:
        tree["Workbook"] = _marked(tree["Workbook"])
    return compound(_sorted({**tree, place: _project(modules)}))


def _project(modules: Mapping[str, str]) -> dict[str, Any]:
    start = _record(1, struct.pack("<I", 1))
    start += _record(2, struct.pack("<I", 0x409)) + _record(0x14, struct.pack("<I", 0x409))
    start += _record(3, struct.pack("<H", 1252)) + _record(4, b"Project")
    start += b"".join(_record(kind, b"") for kind in (5, 0x40, 6, 0x3D))
    start += _record(7, bytes(4)) + _record(8, bytes(4)) + struct.pack("<HIIH", 9, 4, 1, 1)
    start += _record(0xC, b"") + _record(0x3C, b"")
    start += _record(0xF, struct.pack("<H", len(modules))) + _record(0x13, b"\xff\xff")
    listed = "".join(f"{_kind(name)[0]}\r\n" for name in modules)
    streams = {
        name: _packed(f'Attribute VB_Name = "{name}"\r\n{text}'.encode())
        for name, text in modules.items()
    }
    found = start + b"".join(map(_module, modules)) + _record(0x10, b"")
    return {
        "VBA": {"dir": _packed(found), "_VBA_PROJECT": b"\xcc\x61\xff\xff\0\0\0", **streams},
        "PROJECT": f'{listed}Name="Project"\r\n'.encode(),
    }


def _kind(name: str) -> tuple[str, int]:
    if name.startswith("This"):
        return f"Document={name}/&H00000000", 0x22
    return f"Module={name}", 0x21


def _module(name: str) -> bytes:
    narrow, wide = name.encode(), name.encode("utf-16-le")
    return b"".join(
        [
            *(_record(kind, narrow) + _record(kind_wide, wide) for kind, kind_wide in _NAMES),
            _record(0x1C, b"") + _record(0x48, b"") + _record(0x31, bytes(4)),
            _record(0x1E, bytes(4)) + _record(0x2C, b"\xff\xff"),
            _record(_kind(name)[1], b"") + _record(0x2B, b""),
        ]
    )


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("<HI", kind, len(data)) + data


def _packed(data: bytes) -> bytes:
    """Return a text in the compression of VBA, as letters only."""
    letters = b"".join(b"\0" + data[at : at + 8] for at in range(0, len(data), 8))
    assert len(letters) < _MAX_PACKED
    return b"\1" + struct.pack("<H", (len(letters) - 1) | 0xB000) + letters


def _marked(book: bytes) -> bytes:
    """Return a workbook with the record that it has macros, before its list of sheets."""
    mark = struct.pack("<HH", _PROJECT, 0)
    out = bytearray()
    at = sheets = 0
    while at < len(book):
        kind, length = struct.unpack_from("<HH", book, at)
        record = bytearray(book[at : at + 4 + length])
        if kind == _SHEET:
            out += b"" if sheets else mark
            sheets += 1
            (place,) = struct.unpack_from("<I", record, 4)
            struct.pack_into("<I", record, 4, place + len(mark))
        out += record
        at += 4 + length
    return bytes(out)


def _tree(file: CompoundFile, storage: Storage) -> dict[str, Any]:
    streams = {name: file.read(one, 1 << 24) for name, one in storage.streams.items()}
    return streams | {name: _tree(file, one) for name, one in storage.storages.items()}


def _sorted(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree in the order in which other programs look for names."""
    names = sorted(tree, key=lambda name: (len(name), name.upper()))
    return {
        name: _sorted(tree[name]) if isinstance(tree[name], dict) else tree[name] for name in names
    }
