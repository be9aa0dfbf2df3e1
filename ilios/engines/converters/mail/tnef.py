"""What Outlook packs into ``winmail.dat``: texts, attachments and attached mails ([MS-OXTNEF])."""

import struct
from collections.abc import Iterator

from ilios.engines.converters.mail import compressed_rtf, encapsulated
from ilios.engines.converters.mail.charsets import decode
from ilios.engines.converters.mail.mapi import MAX_PROPERTIES, code_page
from ilios.engines.converters.mail.message import (
    BODY_CHARS,
    MAX_ATTACHMENTS,
    MAX_DEPTH,
    Attachment,
    Html,
    Message,
    Plain,
    Rtf,
)

TYPES = ("application/ms-tnef", "application/vnd.ms-tnef")
SIGNATURE = b"\x78\x9f\x3e\x22"
DAMAGED = "winmail.dat, which is damaged"
TOO_DEEP = "mails that are attached to each other more than {depth} times"

_HEADER_BYTES = 6
_ATTRIBUTE = struct.Struct("<BII")
_CHECKSUM_BYTES = 2
_CODE_PAGE, _BODY, _SUBJECT, _PROPERTIES = 0x00069007, 0x0002800C, 0x00018004, 0x00069003
_BEGINS, _TITLE, _DATA, _OF_ATTACHMENT = 0x00069002, 0x00018010, 0x0006800F, 0x00069005

_PLAIN, _HTML, _RTF, _NAME, _SENDER = 0x1000, 0x1013, 0x1009, 0x0037, 0x0C1A
_FILE_NAMES = (0x3707, 0x3704, 0x3001)
_OBJECT = 0x3701
_OBJECT_ID_BYTES = 16
_FIRST_NAMED = 0x8000
_MULTIPLE = 0x1000
_SIZES = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8,
          0x40: 8, 0x48: 16}  # fmt: skip
"""Bytes of a value by its type, filled up to four; those of other types have their length before
them."""

_WIDE_TEXT = 0x1F


class _Damaged(Exception):
    """The data end within a value, or are of another kind."""


class _Found:
    """Properties by their numbers, with the types of their values."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[int, bytes]] = {}

    def add(self, data: bytes) -> None:
        for number, kind, value in _properties(data):
            self._values.setdefault(number, (kind, value))

    def binary(self, number: int) -> bytes:
        return self._values.get(number, (0, b""))[1]

    def text(self, number: int, encoding: str) -> str:
        kind, value = self._values.get(number, (0, b""))
        if kind == _WIDE_TEXT:
            return value.decode("utf-16-le", "replace").rstrip("\0")
        return decode(value, encoding).rstrip("\0")


class _Attached:
    """An attachment in the making."""

    def __init__(self) -> None:
        self.found = _Found()
        self.title = b""
        self.content = b""

    def add(self, kind: int, value: bytes) -> None:
        if kind == _OF_ATTACHMENT:
            self.found.add(value)
        elif kind == _TITLE:
            self.title = self.title or value
        elif kind == _DATA:
            self.content = self.content or value


def parse(data: bytes, depth: int = 0) -> Message:
    """Return a packed mail as far as it can be read; ``depth`` counts those it is attached to."""
    message, found = Message(), _Found()
    attached: list[_Attached] = []
    values: dict[int, bytes] = {}
    try:
        for kind, value in _attributes(data):
            if kind == _BEGINS and len(attached) <= MAX_ATTACHMENTS:
                attached.append(_Attached())
            elif kind == _PROPERTIES:
                found.add(value)
            elif attached:
                attached[-1].add(kind, value)
            else:
                values.setdefault(kind, value)
    except _Damaged:
        message.problems.append(DAMAGED)
    encoding = code_page(int.from_bytes(values.get(_CODE_PAGE, b"")[:4], "little"))
    subject = decode(values.get(_SUBJECT, b""), encoding).rstrip("\0")
    message.subject = found.text(_NAME, encoding) or subject
    if sender := found.text(_SENDER, encoding):
        message.headers.append(("From", sender))
    _add_body(message, found, values.get(_BODY, b""), encoding)
    message.attachments = [_attachment(one, encoding, depth) for one in attached]
    return message


def _attachment(attached: _Attached, encoding: str, depth: int) -> Attachment:
    names = (attached.found.text(one, encoding) for one in _FILE_NAMES)
    name = next(filter(None, names), decode(attached.title, encoding).rstrip("\0"))
    content = attached.content
    inner = attached.found.binary(_OBJECT)[_OBJECT_ID_BYTES:]
    if not content and inner.startswith(SIGNATURE):
        if depth + 1 >= MAX_DEPTH:
            return Attachment(name, problem=TOO_DEEP.format(depth=MAX_DEPTH))
        message = parse(inner, depth + 1)
        return Attachment(name or message.subject, message=message)
    if not content and inner:
        return Attachment(name, problem="an embedded object")
    return Attachment(name, "", lambda: content)


def _add_body(message: Message, found: _Found, body: bytes, encoding: str) -> None:
    """Add the richest form of the text."""
    html = decode(found.binary(_HTML), encoding)
    rtf = compressed_rtf.unpack(packed) if (packed := found.binary(_RTF)) else b""
    if not html.strip() and rtf and encapsulated.is_html(rtf):
        html, rtf = encapsulated.html(rtf), b""
    text = found.text(_PLAIN, encoding) or decode(body, encoding).rstrip("\0")
    if html.strip():
        message.bodies.append(Html(html[:BODY_CHARS]))
    elif rtf:
        message.bodies.append(Rtf(rtf))
    elif text.strip():
        message.bodies.append(Plain(text[:BODY_CHARS]))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    if not data.startswith(SIGNATURE):
        raise _Damaged
    at = _HEADER_BYTES
    while at + _ATTRIBUTE.size <= len(data):
        _, kind, length = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size
        if at + length > len(data):
            raise _Damaged
        yield kind, data[at : at + length]
        at += length + _CHECKSUM_BYTES
    if data[at:].strip(b"\0"):
        raise _Damaged


def _properties(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, type and first value of properties."""
    reader = _Reader(data)
    for _ in range(min(reader.number(), MAX_PROPERTIES)):
        head = reader.number()
        kind, number = head & 0xFFFF, head >> 16
        if number >= _FIRST_NAMED:
            reader.take(_OBJECT_ID_BYTES)
            if reader.number():  # it has a name in place of a number
                reader.take(reader.number())
            else:
                reader.number()
        yield number, kind & ~_MULTIPLE, reader.values(kind)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        """Return so many bytes, and pass by those that fill them up to four."""
        end = self._at + length
        if end > len(self._data):
            raise _Damaged
        value = self._data[self._at : end]
        self._at = end + -length % 4
        return value

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def values(self, kind: int) -> bytes:
        """Return the first of the values of one property."""
        size = _SIZES.get(kind & ~_MULTIPLE)
        first = b""
        for place in range(self.number() if kind & _MULTIPLE or size is None else 1):
            value = self.take(self.number() if size is None else size)
            first = first if place else value
        return first
