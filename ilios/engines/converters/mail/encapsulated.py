"""HTML that Outlook has wrapped into RTF ([MS-OXRTFEX])."""

import re

MAX_GROUPS = 200
"""Groups inside of each other; text within deeper ones is left out."""

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?"  # a control and its number
    rb"|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|([^\\{}\r\n]+)|[\r\n]+"
)
_SIGNS = {
    b"par": "\r\n", b"line": "\r\n", b"tab": "\t", b"lquote": "\u2018", b"rquote": "\u2019",
    b"ldblquote": "\u201c", b"rdblquote": "\u201d", b"bullet": "\u2022", b"endash": "\u2013",
    b"emdash": "\u2014",
}  # fmt: skip
_SKIPPED = frozenset(
    {b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"mhtmltag", b"generator"}
)


def is_html(rtf: bytes) -> bool:
    """Whether an RTF text is a wrapped HTML page."""
    return b"\\fromhtml" in rtf[:1000]


def html(rtf: bytes) -> str:
    """Return the HTML page within an RTF text."""
    return _Unwrapper().unwrap(rtf)


class _Unwrapper:
    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._bytes = bytearray()
        self._encoding = "cp1252"
        self._skipped = False  # the rest of this group
        self._hidden = False  # RTF that stands for HTML beside it
        self._groups: list[tuple[bool, bool]] = []
        self._starred = False
        self._replaced = 0

    def unwrap(self, rtf: bytes) -> str:
        for token in _TOKEN.finditer(rtf):
            word, number, code, sign, brace, text = token.groups()
            if brace:
                self._brace(brace)
            elif word:
                self._word(word, int(number) if number else None)
            elif code:
                self._byte(int(code, 16))
            elif sign:
                self._sign(sign)
            elif text:
                skipped = min(self._replaced, len(text))
                self._replaced -= skipped
                self._text(text[skipped:])
        self._flush()
        return "".join(self._pieces)

    @property
    def _shown(self) -> bool:
        return not (self._skipped or self._hidden) and len(self._groups) <= MAX_GROUPS

    def _brace(self, brace: bytes) -> None:
        self._starred = False
        if brace == b"{":
            self._groups.append((self._skipped, self._hidden))
        elif self._groups:
            self._skipped, self._hidden = self._groups.pop()

    def _word(self, word: bytes, number: int | None) -> None:
        if word == b"htmltag":
            self._skipped = False
        elif self._starred or word in _SKIPPED:
            self._skipped = True
        elif word == b"htmlrtf":
            self._hidden = number != 0
        elif word == b"ansicpg" and number:
            self._encoding = f"cp{number}" if number != 65001 else "utf-8"
        elif word == b"u" and number is not None and self._shown:
            self._flush()
            self._pieces.append(chr(number % 65536))
            self._replaced = 1
        elif word in _SIGNS and self._shown:
            self._flush()
            self._pieces.append(_SIGNS[word])
        self._starred = False

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self._starred = True
        elif sign == b"~":
            self._text(b"&nbsp;")
        elif sign in b"\\{}":
            self._text(sign)

    def _byte(self, byte: int) -> None:
        if self._replaced:
            self._replaced -= 1
        elif self._shown:
            self._bytes.append(byte)

    def _text(self, text: bytes) -> None:
        if self._shown:
            self._bytes += text

    def _flush(self) -> None:
        if self._bytes:
            try:
                text = self._bytes.decode(self._encoding, "replace")
            except LookupError:
                text = self._bytes.decode("cp1252", "replace")
            self._pieces.append(text)
            self._bytes.clear()
