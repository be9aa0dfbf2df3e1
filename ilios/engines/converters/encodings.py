"""The encoding of texts that may be of any age."""

import codecs
import re

from msgspec import Struct

from actors.text_sniffing import wide_encoding

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
WESTERN = "cp1252"
_DECLARED_WITHIN = 4096
_META = re.compile(
    rb"""<meta[^>]{0,300}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE
)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_:.-]{2,40})""")
_LABELS = {  # https://encoding.spec.whatwg.org/#names-and-labels
    "iso-8859-1": WESTERN, "latin1": WESTERN, "ascii": WESTERN, "us-ascii": WESTERN,
    "x-sjis": "cp932", "shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030",
    "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "iso-8859-9": "cp1254", "tis-620": "cp874",
    "utf-16": "utf-8", "utf-16le": "utf-8", "utf-16be": "utf-8", "unicode": "utf-8",
}  # fmt: skip
"""What browsers take a declared encoding for. One that can be read is never of 16 bits."""

_CODECS = re.compile(
    r"utf-8|ascii|cp\d+|iso8859-\d+|koi8-\w|mac-\w+|euc_\w+|gb\w+|big5\w*|shift_\w+|iso2022_\w+"
)
"""Codecs for text of files; some others take time with the square of its length."""

_CYRILLIC = re.compile("[\u0410-\u044f]")
_KANA, _HANGUL, _HAN = "[\u3041-\u30ff]", "[\uac00-\ud7a3]", "[\u4e00-\u9fff]"
_SCRIPTS = (("cp932", "cp932", _KANA), ("cp949", "euc_kr", _HANGUL), ("gb18030", "gb2312", _HAN))
"""Encodings, stricter ones that most texts in them keep to, and what is in every text of them."""

_GUESSED_FROM = 64 * 1024


class Decoded(Struct, frozen=True):
    """A text, and whether its encoding was found in it and not ``guessed``."""

    text: str
    encoding: str
    guessed: bool = False


def decode_text(data: bytes) -> Decoded:
    """Decode a text without a declaration: by its byte order mark, its zeros, or as UTF-8.

    Other texts are decoded by a guess.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return Decoded(data[len(bom) :].decode(encoding, "replace"), encoding)
    if (wide := wide_encoding(data[:_DECLARED_WITHIN])) is not None:
        return Decoded(data.decode(wide, "replace"), wide)
    try:
        return Decoded(data.decode(), "utf-8")
    except UnicodeDecodeError:
        encoding = guess(data)
        return Decoded(data.decode(encoding, "replace"), encoding, guessed=True)


def decode_markup(data: bytes) -> Decoded:
    """Decode HTML or XML: by its byte order mark, its declaration, or as a text without one."""
    start = data[:_DECLARED_WITHIN]
    declared = _XML.search(start) or _META.search(start)
    if declared is None or any(data.startswith(bom) for bom, _ in _BOMS):
        return decode_text(data)
    label = declared[1].decode("ascii").lower()
    try:
        encoding = codecs.lookup(_LABELS.get(label, label)).name
        if encoding == "utf-8" or not _CODECS.fullmatch(encoding):
            return decode_text(data)
        return Decoded(data.decode(encoding, "replace"), encoding)
    except (LookupError, UnicodeError):  # not one of text, such as base64
        return decode_text(data)


def guess(data: bytes) -> str:
    """Return the most plausible encoding of bytes that are not UTF-8."""
    sample = data[:_GUESSED_FROM]
    high = sum(byte >= 0x80 for byte in sample)
    for encoding, strict, script in _SCRIPTS:
        text = _strictly(sample, strict)
        # Each character takes two bytes; by chance, they would be of all scripts.
        if text and 2 * len(re.findall(script, text)) >= 0.6 * high:
            return encoding
    cyrillic = len(_CYRILLIC.findall(sample.decode("cp1251", "replace")))
    letters = sum(byte >= 0x80 or chr(byte).isalpha() for byte in sample)
    return "cp1251" if high and cyrillic >= 0.9 * high and high >= 0.5 * letters else WESTERN


def _strictly(sample: bytes, encoding: str) -> str | None:
    for cut in range(2):  # the last character may be cut
        try:
            return sample[: len(sample) - cut].decode(encoding)
        except UnicodeDecodeError:
            continue
    return None
