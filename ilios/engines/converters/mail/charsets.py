"""Texts of mail in the encodings their senders declare."""

import codecs

_NOT_FOR_TEXTS = ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs")
"""Python's own encodings: no sender means them, and some take time by the square of the length."""

_MEANT = {
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "unknown-8bit": "utf-8",
    "x-unknown": "utf-8",
    "default": "utf-8",
    "iso-8859-1": "windows-1252",
    "latin1": "windows-1252",
    "latin-1": "windows-1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "shift_jis": "cp932",
    "x-sjis": "cp932",
    "cp-850": "cp850",
    "iso-8859-8-i": "iso-8859-8",
    "unicode-1-1-utf-7": "utf-7",
}
"""What programs write in place of what they use (WHATWG Encoding, 4.2)."""


def decode(raw: bytes, charset: str = "") -> str:
    """Return the text of bytes; by UTF-8 or Windows-1252 where the declaration is of no use."""
    name = charset.strip("\"' ").lower()
    name = _MEANT.get(name, name)
    if name and _is_text_encoding(name):
        try:
            return raw.decode(name)
        except (UnicodeError, LookupError):
            pass
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    if name and name not in ("utf-8", "utf8") and _is_text_encoding(name):
        return raw.decode(name, "replace")
    return raw.decode("windows-1252", "replace")


def _is_text_encoding(name: str) -> bool:
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    is_text = getattr(found, "_is_text_encoding", True)
    return bool(is_text) and found.name.replace("-", "_") not in _NOT_FOR_TEXTS
