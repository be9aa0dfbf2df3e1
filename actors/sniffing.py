"""Detection of the content type of a document from its bytes.

Names and declared types count among texts only (``actors.text_sniffing``). The functions take the
first and the last ``SNIFF_LENGTH`` bytes of the document.
"""

import re
import struct
from collections.abc import Iterator

from actors.content_types import (
    AVIF,
    BMP,
    DOC,
    DOCX,
    EPUB,
    GIF,
    HEIC,
    JPEG,
    JPEG_2000,
    MSG,
    ODP,
    ODS,
    ODT,
    OLD_OFFICE,
    PDF,
    PNG,
    PPT,
    PPTX,
    TIFF,
    WEBP,
    XLS,
    XLSX,
)
from actors.office_sniffing import office_type
from actors.text_sniffing import NO_CLAIM, Claim, is_text, names_text, sniff_text

SNIFF_LENGTH = 64 * 1024
"""Bytes of each end: a ZIP directory ends at most this far before the end of its file."""

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", JPEG_2000),
    (b"\xff\x4f\xff\x51\0", JPEG_2000),
)
# ISO 23008-12: a box of brands begins the file, and the first of them that is listed here decides.
_HEIF_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), AVIF),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), HEIC),
}
_MAX_BRANDS_BOX = 256

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OLE_START = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# ISO 32000 readers accept junk before the header as long as it is in the first 1024 bytes.
_PDF_HEADER = re.compile(rb"%PDF-\d")
_PDF_HEADER_WITHIN = 1024
_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})

# Signature of an entry, offset of the length of its name, offset of its name.
_LOCAL_ENTRY = (b"PK\x03\x04", 26, 30)
_DIRECTORY_ENTRY = (b"PK\x01\x02", 28, 46)
_ZIP_MAIN_PARTS = (
    (b"word/document.xml", DOCX),
    (b"ppt/presentation.xml", PPTX),
    (b"META-INF/container.xml", EPUB),
    (b"xl/workbook.xml", XLSX),
)
# The content of the first entry of an OpenDocument file (ISO/IEC 26300-3, 3.3).
_MIMETYPES = (
    (b"application/vnd.oasis.opendocument.spreadsheet", ODS),
    (b"application/vnd.oasis.opendocument.text", ODT),
    (b"application/vnd.oasis.opendocument.presentation", ODP),
)
_MIMETYPE_AT = 30
_FLAT_START = re.compile(rb"<office:document\s[^<>]{0,16000}office:mimetype\s*=\s*[\"']([^\"'<>]+)")
_FLAT_WITHIN = 20_000
_ZIP_KINDS = (
    (b"xl/workbook.bin", "an Excel workbook (.xlsb)"),
    (b"content.xml", "an OpenDocument file"),
    (b"[Content_Types].xml", "an Office file of an unsupported kind"),
)
_ARCHIVE = "a ZIP archive, which is unpacked only where it is submitted to /v1/batch/submit"
# The names of streams in an OLE file are UTF-16, and end with a null character.
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_OLE_STREAMS = (
    ("WordDocument\0".encode("utf-16-le"), DOC),
    ("PowerPoint Document\0".encode("utf-16-le"), PPT),
    ("Workbook\0".encode("utf-16-le"), XLS),
    ("\0\0Book\0".encode("utf-16-le"), XLS),
)
_OLE_EXTENSIONS = {
    **dict.fromkeys(("doc", "dot"), DOC),
    **dict.fromkeys(("xls", "xlt"), XLS),
    **dict.fromkeys(("ppt", "pot", "pps"), PPT),
}
_OLE_MAIL = tuple(
    name.encode("utf-16-le") for name in ("__substg1.0", "__properties_version1.0", "__nameid_v")
)


class Ends:
    """The first and the last ``SNIFF_LENGTH`` bytes of a document that passes by in chunks."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()  # empty while the head is all there is

    def add(self, chunk: bytes) -> None:
        """Add the next bytes of the document."""
        missing = SNIFF_LENGTH - len(self._head)
        if not self._tail and len(chunk) <= missing:
            self._head += chunk
            return
        if not self._tail:
            self._tail += self._head
        if missing > 0:
            self._head += chunk[:missing]
        self._tail += chunk[-SNIFF_LENGTH:]
        if len(self._tail) > 4 * SNIFF_LENGTH:  # not each time: chunks may be small
            del self._tail[:-SNIFF_LENGTH]

    def sniff(self, claim: Claim = NO_CLAIM) -> str | None:
        """Return the content type of the document, as ``sniff`` does."""
        head = bytes(self._head)
        return sniff(head, bytes(self._tail[-SNIFF_LENGTH:]) if self._tail else head, claim)


def sniff(head: bytes, tail: bytes, claim: Claim = NO_CLAIM) -> str | None:
    """Return the content type of a document that can be converted, or None for anything else."""
    if image := _image_type(head):
        return image
    if head.startswith(_ZIP_STARTS):
        names = set(_zip_names(head, tail))
        kind = next((kind for part, kind in _ZIP_MAIN_PARTS if part in names), None)
        return kind or _declared_kind(head) or office_type(head, tail)
    if head.startswith(_OLE_START):
        return _ole_type(head, tail, claim)
    header = _PDF_HEADER.search(head, 0, _PDF_HEADER_WITHIN + len(b"%PDF-"))
    if header and (header.start() == 0 or not names_text(claim)):
        return PDF
    if flat := _FLAT_START.search(head[:_FLAT_WITHIN]):
        return next((kind for start, kind in _MIMETYPES if flat[1].startswith(start)), None)
    return sniff_text(head, tail, claim)


def describe(head: bytes, tail: bytes, claim: Claim = NO_CLAIM) -> str:
    """Return a noun phrase for the likely type of bytes that ``sniff`` does not support."""
    if not head:
        return "an empty file"
    if head.startswith(_ZIP_STARTS):
        names = set(_zip_names(head, tail))
        return next((kind for part, kind in _ZIP_KINDS if part in names), _ARCHIVE)
    if head.startswith(_OLE_START):
        if _OLE_ENCRYPTED in head + tail:
            return "a password-protected Office file"
        return OLD_OFFICE.get(_ole_type(head, tail, claim) or "", "an old Office file")
    if is_text(head, tail):
        return "text, but its name or its declared type is that of something else"
    return "a file of an unknown type"


def is_archive(head: bytes, tail: bytes) -> bool:
    """Whether a file is a ZIP archive of files, and not a document in the form of one."""
    zipped = head.startswith(_ZIP_STARTS)
    return zipped and sniff(head, tail) is None and describe(head, tail) == _ARCHIVE


def _ole_type(head: bytes, tail: bytes, claim: Claim) -> str | None:
    """Return the type of an OLE file by the names of its streams.

    Where its directory is in neither end, the name of the file or the declared type decides.
    """
    if any(name in head or name in tail for name in _OLE_MAIL):
        return MSG
    if _OLE_ENCRYPTED in head or _OLE_ENCRYPTED in tail:
        return None
    for stream, kind in _OLE_STREAMS:
        if stream in head or stream in tail:
            return kind
    endings = (name.rpartition(".")[2].lower() for name in claim.names)
    claimed = [_OLE_EXTENSIONS[ending] for ending in endings if ending in _OLE_EXTENSIONS]
    claimed += [declared for declared in claim.types if declared in OLD_OFFICE]
    return next(iter(claimed), None)


def _declared_kind(head: bytes) -> str | None:
    """Return the type that the first entry of a ZIP file declares: templates as documents."""
    if not head.startswith(b"mimetype", _MIMETYPE_AT):
        return None
    (more,) = struct.unpack_from("<H", head, _MIMETYPE_AT - 2)
    at = _MIMETYPE_AT + len(b"mimetype") + more
    return next((kind for start, kind in _MIMETYPES if head.startswith(start, at)), None)


def _image_type(head: bytes) -> str | None:
    for start, content_type in _STARTS:
        if head.startswith(start):
            return content_type
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp":
        return _heif_kind(head)
    return BMP if head.startswith(b"BM") and _is_bmp(head) else None


def _heif_kind(head: bytes) -> str | None:
    end = min(int.from_bytes(head[:4], "big"), _MAX_BRANDS_BOX)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    return next((_HEIF_BRANDS[brand] for brand in brands if brand in _HEIF_BRANDS), None)


def _is_bmp(head: bytes) -> bool:
    # "BM" alone is also the beginning of texts.
    return len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_SIZES


def _zip_names(head: bytes, tail: bytes) -> Iterator[bytes]:
    """Yield the names of entries at the ends of a ZIP file (APPNOTE 4.3.7, 4.3.12, 4.3.16).

    The directory at the end is authoritative. Single entries are only searched if it is not whole
    in ``tail``, because they may belong to a ZIP file inside this one.
    """
    end = tail.rfind(b"PK\x05\x06")
    if 0 <= end <= len(tail) - 22:
        entries, size = struct.unpack_from("<10xHI", tail, end)
        if size <= end and entries:
            yield from _entry_names(tail[end - size : end], _DIRECTORY_ENTRY)
            return
    yield from _entry_names(tail, _DIRECTORY_ENTRY)
    yield from _entry_names(head, _LOCAL_ENTRY)


def _entry_names(data: bytes, entry: tuple[bytes, int, int]) -> Iterator[bytes]:
    signature, length_at, name_at = entry
    start = 0
    while (at := data.find(signature, start)) >= 0 and at + name_at <= len(data):
        (length,) = struct.unpack_from("<H", data, at + length_at)
        start = at + name_at + length
        yield data[at + name_at : start]
