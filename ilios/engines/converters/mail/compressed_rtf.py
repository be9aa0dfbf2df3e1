"""Compressed RTF of Outlook ([MS-OXRTFCP])."""

import struct

MAX_BYTES = 16 * 1024 * 1024
"""Bytes of the text of one mail, unpacked."""

_HEADER = struct.Struct("<IIII")
_COMPRESSED, _PLAIN = 0x75465A4C, 0x414C454D
_WINDOW = 4096
_BEGINNING = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
"""What every text may refer to before it begins."""


def unpack(data: bytes) -> bytes:
    """Return the RTF, as far as it can be read; nothing where its kind is unknown."""
    if len(data) < _HEADER.size:
        return b""
    _, raw_size, kind, _ = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    if kind == _PLAIN:
        return body[:raw_size]
    return _unpack(body, min(raw_size, MAX_BYTES)) if kind == _COMPRESSED else b""


def _unpack(body: bytes, size: int) -> bytes:
    # The window is the end of what is written, after the beginning that all texts share.
    found = bytearray(_BEGINNING)
    most = size + len(_BEGINNING)
    at = 0
    while at < len(body) and len(found) < most:
        flags, at = body[at], at + 1
        for bit in range(8):
            if at >= len(body) or len(found) >= most:
                break
            if not flags >> bit & 1:
                found.append(body[at])
                at += 1
                continue
            if at + 2 > len(body):
                return bytes(found[len(_BEGINNING) :])
            offset, length = body[at] << 4 | body[at + 1] >> 4, (body[at + 1] & 15) + 2
            at += 2
            back = (len(found) - offset) % _WINDOW
            if not back:
                return bytes(found[len(_BEGINNING) :])  # the place of the next byte: the end
            for _ in range(length):
                found.append(found[-back] if back <= len(found) else 0x20)
    return bytes(found[len(_BEGINNING) : most])
