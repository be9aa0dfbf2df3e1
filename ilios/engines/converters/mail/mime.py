"""The parts of a MIME message (RFC 2045 to 2047, RFC 2231, RFC 5322), read from its bytes.

Not by the parser of the standard library: its time grows with the product of lines and nested
parts, and it fails on parts nested deeper than Python's own stack.
"""

import binascii
import quopri
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message as HeaderBlock
from email.parser import HeaderParser
from email.policy import compat32
from email.utils import collapse_rfc2231_value

from msgspec import Struct, field

from ilios.engines.converters.mail.charsets import decode

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of the headers of one part that are read; mail servers refuse longer ones."""

MAX_VALUE_CHARS = 16 * 1024
"""Characters of one header: parameters take time by the square of their number."""

MAX_PARTS = 1_000
"""Parts of a message, those of messages within it included; programs show no list that long."""

MAX_NESTING = 20
"""Multiparts inside of each other; real mail has four, forwarded ones included."""

MAX_BLANKS = 200
"""Blanks after the line between two parts."""

MAX_BOUNDARIES = 200_000
"""Places looked at that may be the line between two parts."""

_END_OF_HEADERS = re.compile(rb"\r?\n[ \t]*\r?\n")
_HEADER = re.compile(rb"[!-9;-~]+[ \t]*:")
_FOLD = re.compile(r"\r?\n(?=[ \t])|[\r\n]+")
_BASE64_JUNK = re.compile(rb"[^A-Za-z0-9+/]+")


class Part(Struct, eq=False):
    """A part: its headers, the range of its content in ``data``, and the parts of a multipart."""

    headers: HeaderBlock
    data: bytes
    start: int
    end: int
    parts: list["Part"] = field(default_factory=list)

    @property
    def content_type(self) -> str:
        """The declared type in lower case; ``text/plain`` where there is none."""
        return self.headers.get_content_type()

    @property
    def disposition(self) -> str:
        """``inline``, ``attachment``, or empty."""
        return (self.headers.get_content_disposition() or "").strip()

    @property
    def content_id(self) -> str:
        """The name under which other parts refer to this one; empty where there is none."""
        return self.text("Content-ID").strip("<> ")

    @property
    def file_name(self) -> str:
        """The name of the file, however it is encoded; empty where there is none."""
        for parameter, header in (("filename", "content-disposition"), ("name", "content-type")):
            value = self.headers.get_param(parameter, None, header)
            if value:
                name = collapse_rfc2231_value(value)
                return decode_words(_repaired(name)) if name.strip() else ""
        return ""

    @property
    def charset(self) -> str:
        """The declared encoding of a text; empty where there is none."""
        return self.parameter("charset")

    def parameter(self, name: str) -> str:
        """Return a parameter of the content type; empty where there is none."""
        value = self.headers.get_param(name, "")
        return collapse_rfc2231_value(value).strip() if value else ""

    def text(self, name: str) -> str:
        """Return a header's text, decoded; empty where there is none."""
        value = self.headers.get(name)
        return decode_words(_repaired(str(value))) if value is not None else ""

    def content(self) -> bytes:
        """Return the bytes of the part without their transfer encoding, as far as they go."""
        raw = self.data[self.start : self.end]
        match self.text("Content-Transfer-Encoding").lower().split(";")[0].strip():
            case "base64":
                return _base64(raw)
            case "quoted-printable":
                return quopri.decodestring(raw)
            case "x-uuencode" | "uuencode" | "x-uue" | "uue":
                return _uuencoded(raw)
        return raw


class Parser:
    """Reads messages within the bounds of one document.

    ``left_out`` is whether there was more than is read.
    """

    def __init__(self) -> None:
        self.left_out = False
        self._parts = 0
        self._boundaries = 0

    def parse(self, data: bytes, start: int = 0, end: int | None = None) -> Part:
        """Return the message in a range of bytes."""
        end = len(data) if end is None else end
        while start < end and data[start : start + 1] in b"\r\n\xef\xbb\xbf ":
            start += 1
        if data.startswith((b"From ", b">From "), start, end):  # an mbox of one message
            line_end = data.find(b"\n", start, end)
            start = line_end + 1 if line_end >= 0 else end
        root = self._part(data, start, end)
        waiting = [(root, 0)]
        while waiting:
            part, depth = waiting.pop()
            if part.headers.get_content_maintype() != "multipart":
                continue
            if depth >= MAX_NESTING:
                self.left_out = True
                continue
            part.parts = [self._part(data, *place) for place in self._places(part)]
            waiting += [(child, depth + 1) for child in part.parts]
        return root

    def _part(self, data: bytes, start: int, end: int) -> Part:
        self._parts += 1
        body = start
        block = b""
        if data.startswith((b"\n", b"\r\n"), start, end):
            body = data.index(b"\n", start) + 1
        elif found := _END_OF_HEADERS.search(data, start, end):
            block, body = data[start : min(found.start(), start + MAX_HEADER_BYTES)], found.end()
        else:
            block, body = data[start : min(end, start + MAX_HEADER_BYTES)], end
        if block and not _HEADER.match(block):
            block, body = b"", start  # a text without any headers
        return Part(_headers(block), data, body, end)

    def _places(self, part: Part) -> Iterator[tuple[int, int]]:
        """Yield the ranges of the parts of a multipart; one that is not ended has an end, too."""
        boundary = part.parameter("boundary").encode("latin-1", "replace")
        if not boundary:
            return
        opened: int | None = None
        for line, after, last in self._boundary_lines(part, b"--" + boundary):
            if opened is not None:
                if self._parts >= MAX_PARTS:
                    self.left_out = True
                    return
                yield opened, _without_line_end(part.data, opened, line)
            opened = None if last else after
            if last:
                return
        if opened is not None and opened < part.end:
            yield opened, part.end

    def _boundary_lines(self, part: Part, mark: bytes) -> Iterator[tuple[int, int, bool]]:
        """Yield start and end of each line between parts, and whether it is the last one."""
        data, at = part.data, part.start
        while (at := data.find(mark, at, part.end)) >= 0:
            self._boundaries += 1
            if self._boundaries > MAX_BOUNDARIES:
                self.left_out = True
                return
            if at > part.start and data[at - 1 : at] != b"\n":
                at += len(mark)
                continue
            line_end = data.find(b"\n", at, part.end) + 1 or part.end
            rest = data[at + len(mark) : min(line_end, at + len(mark) + MAX_BLANKS)].rstrip()
            if rest in (b"", b"--"):
                yield at, line_end, rest == b"--"
            at = line_end


def decode_words(text: str) -> str:
    """Return a header with its encoded words decoded (RFC 2047), on one line."""
    text = _FOLD.sub(" ", text[:MAX_VALUE_CHARS])
    if "=?" in text:
        try:
            pieces = decode_header(text)
        except (HeaderParseError, ValueError, binascii.Error):
            pieces = []
        if pieces:
            text = "".join(
                piece if isinstance(piece, str) else decode(piece, charset or "latin-1")
                for piece, charset in pieces
            )
    return " ".join(text.split())


def _headers(block: bytes) -> HeaderBlock:
    text = block.decode("latin-1").replace("\r\n", "\n")
    found = HeaderParser(policy=compat32).parsestr(text, headersonly=True)
    short: HeaderBlock = HeaderBlock(policy=compat32)
    for name, value in found.raw_items():
        short[name] = str(value)[:MAX_VALUE_CHARS]
    return short


def _repaired(text: str) -> str:
    """Return a header whose bytes are not ASCII with the characters they stand for."""
    if text.isascii():
        return text
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        return text  # decoded already
    return decode(raw, "utf-8")


def _without_line_end(data: bytes, start: int, end: int) -> int:
    """The line end before a boundary belongs to the boundary."""
    if end > start and data[end - 1 : end] == b"\n":
        end -= 1
        if end > start and data[end - 1 : end] == b"\r":
            end -= 1
    return end


def _base64(raw: bytes) -> bytes:
    digits = _BASE64_JUNK.sub(b"", raw.partition(b"=")[0])
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _uuencoded(raw: bytes) -> bytes:
    found = bytearray()
    for line in raw.splitlines():
        if line.startswith((b"begin ", b"end")):
            continue
        try:
            found += binascii.a2b_uu(line)
        except binascii.Error:
            continue
    return bytes(found)
