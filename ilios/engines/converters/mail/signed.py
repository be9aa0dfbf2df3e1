"""The content of a signed S/MIME message that is one block (RFC 8551, 3.5.2; RFC 5652).

Its signature is not verified: what a mail is about does not depend on it.
"""

from collections.abc import Iterator

_SEQUENCE, _OCTETS, _CONSTRUCTED_OCTETS, _OBJECT, _EXPLICIT = 0x30, 0x04, 0x24, 0x06, 0xA0
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_MAX_PIECES = 1_000_000

_Element = tuple[int, int, int]
"""Tag, start and end of the content."""


def signed_content(data: bytes) -> bytes | None:
    """Return what is signed; None for an encrypted message, and for anything else."""
    try:
        return _content(data)
    except (IndexError, ValueError):
        return None


def _content(data: bytes) -> bytes | None:
    outer = _one(data, 0, len(data), _SEQUENCE)
    kind = _one(data, outer[1], outer[2], _OBJECT)
    if data[kind[1] : kind[2]] != _SIGNED_DATA:
        return None
    wrapped = _one(data, kind[2], outer[2], _EXPLICIT)
    signed = _one(data, wrapped[1], wrapped[2], _SEQUENCE)
    # Version and digests stand before the sequence of type and content.
    inside = [one for one in _elements(data, signed[1], signed[2], most=3) if one[0] == _SEQUENCE]
    if not inside:
        return None
    content = _one(data, inside[0][1], inside[0][2], _EXPLICIT)
    first = next(_elements(data, content[1], content[2], most=1))
    if first[0] == _OCTETS:
        return data[first[1] : first[2]]
    if first[0] != _CONSTRUCTED_OCTETS:
        return None
    pieces = _elements(data, first[1], first[2], most=_MAX_PIECES)
    return b"".join(data[start:end] for tag, start, end in pieces if tag == _OCTETS)


def _one(data: bytes, start: int, end: int, tag: int) -> _Element:
    for found in _elements(data, start, end, most=4):
        if found[0] == tag:
            return found
    raise ValueError(tag)


def _elements(data: bytes, start: int, end: int, most: int) -> Iterator[_Element]:
    """Yield the elements in a range; an indefinite length reaches to the end of the range."""
    at = start
    for _ in range(most):
        if at + 2 > end or data[at : at + 2] == b"\0\0":
            return
        tag, length, at = data[at], data[at + 1], at + 2
        if length == 0x80:
            yield tag, at, end
            return
        if length > 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        yield tag, at, min(at + length, end)
        at += length
