"""Detection of the content type of texts, which have no magic bytes.

What is certainly text is of the type of a strong mark at its beginning (``<!doctype html``), or
else of that which its name or its declared type has, or else plain text. No name makes text of
binary content, and text under the name of a binary type (``scan.pdf``) is no document.
"""

import re
import unicodedata

from msgspec import Struct

from actors.content_types import (
    CSV,
    EML,
    HTML,
    LATEX,
    MARKDOWN,
    NAMES,
    NOTEBOOK,
    RTF,
    TSV,
    TXT,
)

_EXTENSIONS = {
    **dict.fromkeys(("txt", "text", "log", "asc"), TXT),
    **dict.fromkeys(("md", "markdown", "mdown", "mkd", "mkdn"), MARKDOWN),
    **dict.fromkeys(("html", "htm", "xhtml", "xht", "shtml"), HTML),
    **dict.fromkeys(("tex", "latex", "ltx"), LATEX),
    **dict.fromkeys(("tsv", "tab"), TSV),
    "csv": CSV,
    "eml": EML,
}
_DECLARED = {
    **dict.fromkeys(("text/markdown", "text/x-markdown"), MARKDOWN),
    **dict.fromkeys(("text/html", "application/xhtml+xml"), HTML),
    **dict.fromkeys(
        ("application/x-tex", "text/x-tex", "application/x-latex", "text/x-latex"), LATEX
    ),
    **dict.fromkeys(("text/csv", "application/csv"), CSV),
    "text/plain": TXT,
    "text/tab-separated-values": TSV,
    "message/rfc822": EML,
}
_BINARY_EXTENSIONS = frozenset({
    "pdf", "png", "jpg", "jpeg", "gif", "webp", "avif", "heic", "heif", "tif", "tiff", "bmp",
    "jp2", "j2k", "svg", "ps", "eps", "docx", "docm", "dotx", "doc", "pptx", "pptm", "ppt",
    "xlsx", "xlsm", "xlsb", "xls", "odt", "ods", "odp", "epub", "msg", "zip", "gz", "7z",
    "rar", "exe", "mp3", "mp4", "wav",
})  # fmt: skip
_BINARY_TYPES = re.compile(
    r"(?:image|audio|video|font)/|application/(?:pdf|zip|gzip|msword|postscript|epub\+zip|vnd\.)"
)

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# White space and the escape character, which begins colours in logs, are none. Old systems end a
# text with the last one of these.
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")
_END_OF_FILE = b"\x1a"

_CUT = ("unexpected end of data", "truncated data")

# No possessive groups: Python before 3.11.5 matches some of them wrongly.
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_LATEX = re.compile(r"[ \t]*\\document(?:class|style)\b")
_BEFORE_LATEX = re.compile(
    r"[ \t]*(?:$|%|\\(?:RequirePackage|PassOptionsTo|NeedsTeXFormat|def|let))"
)
_NOTEBOOK_FORMAT = re.compile(rb'"nbformat"\s*:\s*\d')
_NOTEBOOK_CELLS = re.compile(rb'"(?:cells|worksheets)"\s*:\s*\[')
_OTHERS = re.compile(r"%!PS|<!DOCTYPE svg\b|<svg\b", re.IGNORECASE)
"""Texts that are pictures."""

_HEADER_LINE = re.compile(r"([!-9;-~]{1,76}):[ \t]?.*|[ \t]+\S.*")
_END_OF_FIELDS = re.compile(rb"\n\r?\n")
_MAIL_FIELDS = frozenset({
    "from", "to", "cc", "subject", "date", "message-id", "received", "return-path",
    "mime-version", "reply-to", "sender", "delivered-to", "content-type", "dkim-signature",
    "in-reply-to", "references",
})  # fmt: skip
_MAIL_PROOFS = frozenset({"message-id", "mime-version", "received", "return-path"})
"""Fields that programs write: a text may begin with From and To."""

_MIN_MAIL_FIELDS = 3


class Claim(Struct, frozen=True):
    """What comes with a document besides its bytes: names and declared types, the best first."""

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @staticmethod
    def of(name: str = "", content_type: str | None = None) -> "Claim":
        """Return the claim of one name and one declared type, each of which may be missing."""
        return Claim((name,) if name else (), (content_type,) if content_type else ())


NO_CLAIM = Claim()


def join_claims(*claims: Claim) -> Claim:
    """Return several claims as one, in which the first ones count first."""
    return Claim(
        tuple(name for claim in claims for name in claim.names),
        tuple(declared for claim in claims for declared in claim.types),
    )


def sniff_text(head: bytes, tail: bytes, claim: Claim = NO_CLAIM) -> str | None:
    """Return the content type of a text that can be converted, or None for anything else."""
    kind = _kind(head, tail, claim)
    return kind if kind in NAMES else None


def names_text(claim: Claim) -> bool:
    """Whether a name is that of a text."""
    return any(name.rpartition(".")[2].lower() in _EXTENSIONS for name in claim.names)


def is_text(head: bytes, tail: bytes = b"") -> bool:
    """Whether bytes are certainly text, in an encoding of Unicode."""
    return _decoded(head, tail) is not None


def wide_encoding(start: bytes) -> str | None:
    """Return an encoding of 16 bits if every second byte is zero, as of Latin letters."""
    pairs = len(start) // 2
    even, odd = start[: 2 * pairs : 2].count(0), start[1 : 2 * pairs : 2].count(0)
    if pairs >= 2 and odd > 0.6 * pairs and not even:
        return "utf-16-le"
    return "utf-16-be" if pairs >= 2 and even > 0.6 * pairs and not odd else None


def _kind(head: bytes, tail: bytes, claim: Claim) -> str | None:
    if head.lstrip().startswith(b"{\\rtf"):
        return RTF  # whose pictures may be binary
    if _is_proven_mail(head):
        return EML  # whose attachments may be binary, too
    text = _decoded(head, tail)
    if text is None and names_text(claim):
        text = _wide_text(head)
    if text is None and b"\0" in head:
        return None
    lossy = head.decode("latin-1") if text is None else text
    start = _after_prolog(lossy)
    if _HTML.match(lossy, start):
        return HTML  # browsers accept control characters and old encodings
    if _OTHERS.match(lossy, start) or (text is None and _has_controls(head, tail)):
        return None
    return _marked(lossy, head, tail) or _claimed(lossy, claim, certain=text is not None)


def _after_prolog(text: str) -> int:
    """Return the place after white space, comments and an XML declaration."""
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if text.startswith("<!--", at):
            end = text.find("-->", at + 4)
        elif text[at : at + 5].lower() == "<?xml":
            end = text.find(">", at) - 2
        else:
            return at
        if end < at:
            return at
        at = end + 3


def _is_latex(text: str) -> bool:
    """Whether a document class follows nothing but comments and preparations of it."""
    for line in text.split("\n"):
        if _LATEX.match(line):
            return True
        if not _BEFORE_LATEX.match(line):
            return False
    return False


def _marked(text: str, head: bytes, tail: bytes) -> str | None:
    if _is_latex(text):
        return LATEX
    if text.lstrip().startswith("{") and all(
        mark.search(head) or mark.search(tail) for mark in (_NOTEBOOK_FORMAT, _NOTEBOOK_CELLS)
    ):
        return NOTEBOOK
    return None


def _claimed(text: str, claim: Claim, *, certain: bool) -> str | None:
    """Return the type of names and declared types; without any, that of text that is certain."""
    endings = [name.rpartition(".")[2].lower() for name in claim.names if "." in name]
    types = [declared.partition(";")[0].strip().lower() for declared in claim.types]
    kinds = [_EXTENSIONS[ending] for ending in endings if ending in _EXTENSIONS]
    if not kinds and any(ending in _BINARY_EXTENSIONS for ending in endings):
        return None
    kinds += [_DECLARED[declared] for declared in types if declared in _DECLARED]
    for kind in kinds:
        if kind != EML or _mail_fields(text):
            return kind
    if any(map(_BINARY_TYPES.match, types)):
        return None
    return TXT if certain and text else None


def _is_proven_mail(head: bytes) -> bool:
    """Whether a file begins with header fields some of which only programs write."""
    end = _END_OF_FIELDS.search(head)
    fields = head.removeprefix(b"\xef\xbb\xbf")[: end.start() if end else None]
    if _CONTROLS.search(fields):
        return False
    names = _mail_fields(fields.decode("latin-1"))
    return len(names & _MAIL_FIELDS) >= _MIN_MAIL_FIELDS and bool(names & _MAIL_PROOFS)


def _mail_fields(text: str) -> set[str]:
    """Return the names of the header fields at the beginning, in lower case; none if it has others.

    A file of many mails begins with a line of its own.
    """
    fields: set[str] = set()
    for number, ended in enumerate(text.split("\n", 500)[:500]):
        line = ended.rstrip("\r")
        if not line:
            break
        if number == 0 and line.startswith("From "):
            continue
        found = _HEADER_LINE.fullmatch(line)
        if not found:
            return set()
        if found[1]:
            fields.add(found[1].lower())
    return fields if fields & _MAIL_FIELDS else set()


def _decoded(head: bytes, tail: bytes) -> str | None:
    """Return the first part of what is certainly text, or None."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            text = _decode(head, encoding)
            wide = encoding != "utf-8-sig"
            return (
                None
                if text is None or (wide and not _is_plausible(text))
                else text.lstrip("\ufeff")
            )
    return None if _has_controls(head, tail) else _decode(head, "utf-8")


def _wide_text(head: bytes) -> str | None:
    """Return text of 16 bits without a byte order mark, or None."""
    encoding = wide_encoding(head)
    text = _decode(head[: len(head) // 2 * 2], encoding) if encoding else None
    return text if text is not None and _is_plausible(text) else None


def _decode(head: bytes, encoding: str) -> str | None:
    """Decode bytes whose last character may be cut in the middle."""
    try:
        return head.decode(encoding)
    except UnicodeDecodeError as error:
        if error.reason not in _CUT:
            return None
        return head[: error.start].decode(encoding)


def _is_plausible(text: str) -> bool:
    """Whether characters are assigned ones: sounds may begin with a byte order mark too."""
    return not any(
        unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs") and not character.isspace()
        for character in text[:4096]
    )


def _has_controls(head: bytes, tail: bytes) -> bool:
    if len(tail) <= len(head) and head.endswith(tail):
        tail = b""
        head = head.removesuffix(_END_OF_FILE)
    return bool(_CONTROLS.search(head) or _CONTROLS.search(tail.removesuffix(_END_OF_FILE)))
