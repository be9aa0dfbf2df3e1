"""Sample documents, each page of which names its document and its number, twice.

All have the same file name, so only their content distinguishes them. The bytes of a document are
generated from its number whenever they are needed, always the same.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from actors.engines import PAGE_SEPARATOR

FILE_NAME = "report"
LINES = 24  # of a page
MARKER_LINE = 6  # lines from both edges of a page: where its marker is

Kind = Literal["pdf", "docx", "broken", "unknown"]

EXPECTED_CODES: dict[Kind, str] = {"broken": "corrupt", "unknown": "unsupported_type"}
"""The codes with which documents fail that cannot be converted."""

_SUFFIX: dict[Kind, str] = {"pdf": "pdf", "docx": "docx", "broken": "pdf", "unknown": "pdf"}
_MARKER = re.compile(r"Paper(\d{6})Page(\d{3})")
_WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


class SampleDocument(Struct, frozen=True):
    """The ``number``-th document of a run."""

    number: int
    kind: Kind = "pdf"
    pages: int = 1

    @property
    def is_convertible(self) -> bool:
        """Whether it can be converted."""
        return self.kind not in EXPECTED_CODES

    @property
    def file_name(self) -> str:
        """The file name, shared by all documents of the kind."""
        return f"{FILE_NAME}.{_SUFFIX[self.kind]}"

    @property
    def content(self) -> bytes:
        """The bytes."""
        match self.kind:
            case "pdf":
                return _pdf([self._lines(page) for page in range(1, self.pages + 1)])
            case "docx":
                return _docx(self._lines(1))
            case "broken":
                return b"%%PDF-1.7 and nothing but Paper%06d" % self.number
            case "unknown":
                return b"\x00\x01 nothing that anybody knows: Paper%06d" % self.number

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, by which its row in the database is found."""
        return hashlib.sha256(self.content).hexdigest()

    def find_mismatch(self, markdown: str) -> str | None:
        """Return what is wrong with its Markdown; None where every page is its own, in order."""
        wanted = [(self.number, page) for page in range(1, self.pages + 1) for _ in range(2)]
        found = [(int(number), int(page)) for number, page in _MARKER.findall(markdown)]
        if found != wanted:
            strange = next((one for one in found if one not in wanted), None)
            if strange is not None:
                return f"it has page {strange[1]} of document {strange[0]}"
            return f"it has {len(found)} of {len(wanted)} marks of its pages, or in disorder"
        pages = markdown.split(PAGE_SEPARATOR)
        if len(pages) != self.pages or any(len(_MARKER.findall(page)) != 2 for page in pages):
            return f"it has {len(pages)} pages instead of {self.pages}, or their text is astray"
        return None

    def _lines(self, page: int) -> list[str]:
        token = f"Paper{self.number:06d}Page{page:03d}"
        lines = [f"Line {line} of page {page} says nothing of note." for line in range(LINES)]
        # Not at the edges: a line that recurs there on every page counts as a running head.
        lines[MARKER_LINE] += f" {token} begins here."
        lines[-MARKER_LINE] += f" Here ends {token}."
        return lines


def _pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """Return a PDF with a text layer (ISO 32000-1): one font, a content stream for each page."""
    kids = " ".join(f"{4 + 2 * place} 0 R" for place in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for place, lines in enumerate(pages):
        shown = " ".join(f"({line}) Tj T*" for line in lines)
        stream = f"BT /F1 11 Tf 15 TL 60 740 Td {shown} ET".encode("ascii")
        page = (
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * place} 0 R >>"
        )
        objects += [
            page.encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        ]
    file = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    file += b"startxref\n%d\n%%%%EOF\n" % table
    return bytes(file)


def _docx(lines: Sequence[str]) -> bytes:
    """Return a DOCX (ECMA-376) whose paragraphs are these lines, the same bytes each time."""
    body = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in lines)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{_DOCX}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/relationships/officeDocument" Target="word/document.xml"/>'
        "</Relationships>",
        "word/document.xml": f'<w:document xmlns:w="{_WORDS}"><w:body>{body}</w:body></w:document>',
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            # ZipInfo's default time, 1980: the current time would make other bytes each time.
            archive.writestr(zipfile.ZipInfo(name), text)
    return file.getvalue()
