"""File names of clients, cleaned for display. Never used as paths."""

import re
import unicodedata

MAX_NAME_BYTES = 255
UNNAMED = "document"

# Control characters break headers and terminals; bidirectional ones make "fdp.exe" look like a PDF;
# surrogates are bytes that were not UTF-8 and cannot be encoded again.
_UNWANTED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def clean_name(name: str) -> str:
    """Return the last component of ``name`` in NFC, at most 255 bytes, with nothing unprintable."""
    name = re.split(r"[/\\]", _UNWANTED.sub("", name))[-1]
    name = unicodedata.normalize("NFC", name).strip()
    if not name.strip("."):
        return UNNAMED
    if len(name.encode()) > MAX_NAME_BYTES:
        stem, dot, suffix = name.rpartition(".")
        if not stem or len(suffix) > 10:
            stem, dot, suffix = name, "", ""
        room = MAX_NAME_BYTES - len((dot + suffix).encode())
        name = stem.encode()[:room].decode(errors="ignore") + dot + suffix
    return name
