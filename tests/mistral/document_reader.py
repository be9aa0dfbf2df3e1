"""The content of a document: its kind, its pages and what each of them shows."""

import asyncio
import ctypes
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image, UnidentifiedImageError

from tests.mistral import errors

Kind = Literal["pdf", "docx", "pptx", "image", "other"]

DPI = 200
HASH_CHARS = 16
TEXT_CHARS = 2_000
"""Of each page, that is; the first ones."""
NAME_CHARS = 80
CACHED_PAGES = 20_000
YIELD_EVERY = 5
"""Pages after which others get a turn."""

A4 = (1653, 2339)  # pixels at DPI

FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "AVIF")
"""The documented ones; HEIC is one as well, which Pillow cannot read."""

OFFICE = "application/vnd.openxmlformats-officedocument"
DECLARED: Mapping[str, Kind] = {
    "application/pdf": "pdf",
    f"{OFFICE}.wordprocessingml.document": "docx",
    f"{OFFICE}.presentationml.presentation": "pptx",
}
"""What the bytes must be that are sent along under these names."""

READABLE = re.compile(
    rf"text/[\w.+-]+|{re.escape(OFFICE)}\.spreadsheetml\.sheet|application/("
    r"msword|vnd\.ms-powerpoint|vnd\.ms-excel|rtf|xml|epub\+zip|x-tex|x-ipynb\+json"
    r"|vnd\.oasis\.opendocument\.text)"
)
"""Documented too, but never opened here: each is taken for one page."""

SLIDE = re.compile(r"ppt/slides/slide(\d+)\.xml")
RUNS = re.compile(rb"<[wa]:t(?: [^>]*)?>([^<]*)</[wa]:t>")


class Page(NamedTuple):
    text: str
    key: str
    """The key of the page by its content, in whatever document; may be empty."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """One document. Its pages are read when they are requested."""

    count: int
    pages: dict[int, Page]


def digest(content: bytes) -> str:
    """Return the name of these bytes: the beginning of their SHA-256."""
    return hashlib.sha256(content).hexdigest()[:HASH_CHARS]


def kind_of(content: bytes) -> Kind:
    """Return the kind of these bytes, by their content and not by their name."""
    if content[:1024].lstrip().startswith(b"%PDF-"):
        return "pdf"
    if content.startswith(b"PK\x03\x04"):
        return _kind_of_archive(content)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS):
            return "image"
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return "other"


def _kind_of_archive(content: bytes) -> Kind:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "other"
    if "word/document.xml" in names:
        return "docx"
    return "pptx" if any(map(SLIDE.fullmatch, names)) else "other"


class DocumentCache:
    """Cache of parsed documents: retries and benchmarks send them again."""

    def __init__(self) -> None:
        self._parsed: dict[str, ParsedDocument] = {}
        self._cached_pages = 0

    async def read(
        self, content: bytes, name: str, kind: Kind, choose: Callable[[int], Sequence[int]]
    ) -> tuple[Sequence[int], dict[int, Page]]:
        """Return the pages that ``choose`` picks of their number, and what they show.

        ``name`` is the document's hash. A page that is not requested is never read.
        """
        found = self._parsed.get(name)
        if found is not None:
            chosen = choose(found.count)
            if all(page in found.pages for page in chosen):
                return chosen, found.pages
        if kind == "pdf":
            chosen, found = await _pdf(content, choose, found)
        else:
            found = (
                _office(content, kind) if kind in {"docx", "pptx"} else _single_page(content, kind)
            )
            chosen = choose(found.count)
        self._cached_pages += len(chosen)
        if self._cached_pages > CACHED_PAGES:
            self._parsed.clear()
            self._cached_pages = len(chosen)
        self._parsed[name] = found
        return chosen, found.pages


async def _pdf(
    content: bytes, choose: Callable[[int], Sequence[int]], found: ParsedDocument | None
) -> tuple[Sequence[int], ParsedDocument]:
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        raise errors.unreadable("pdf") from error
    try:
        found = found or ParsedDocument(len(document), {})
        if not found.count:
            raise errors.unreadable("pdf")
        chosen = choose(found.count)
        for done, number in enumerate(chosen, 1):
            if number not in found.pages:
                found.pages[number] = _pdf_page(document, number)
            if done % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    finally:
        document.close()
    return chosen, found


def _pdf_page(document: pypdfium2.PdfDocument, number: int) -> Page:
    try:
        page = document[number]
    except pypdfium2.PdfiumError:  # too damaged
        return Page("", "", *A4)
    try:
        width, height = page.get_size()
        layer = page.get_textpage()
        try:
            text = _text(layer.get_text_range(0, min(layer.count_chars(), TEXT_CHARS)))
        finally:
            layer.close()
        own = page_key(text) or _image_key(page)
    finally:
        page.close()
    return Page(text, own, round(width * DPI / 72), round(height * DPI / 72))


def _image_key(page: pypdfium2.PdfPage) -> str:
    """Return the name of the first picture on a page without text, the key of a scanned page.

    Its data are taken as a PDF cut out of this one would have them, whatever wraps them there.
    """
    for place in range(pdfium.FPDFPage_CountObjects(page)):
        page_object = pdfium.FPDFPage_GetObject(page, place)
        if pdfium.FPDFPageObj_GetType(page_object) == pdfium.FPDF_PAGEOBJ_IMAGE:
            size = pdfium.FPDFImageObj_GetImageDataDecoded(page_object, None, 0)
            data = ctypes.create_string_buffer(size)
            pdfium.FPDFImageObj_GetImageDataDecoded(page_object, data, size)
            return f"picture {digest(data.raw)}"
    return ""


def _text(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(filter(None, lines))[:TEXT_CHARS]


def page_key(text: str) -> str:
    """Return the key of a page with this text: the text, or its beginning and its hash.

    Unlike the hash of the document it is the same in a PDF that was cut out of another one.
    """
    words = " ".join(text.split())
    return (
        words if len(words) <= NAME_CHARS else f"{words[:NAME_CHARS]}... {digest(words.encode())}"
    )


def _office(content: bytes, kind: Kind) -> ParsedDocument:
    """Read a document of Word, which is one page, or of PowerPoint, where each slide is one.

    Users of the real API report that it takes a Word document for one page.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if kind == "docx":
            names = ["word/document.xml"]
        else:
            numbers = (SLIDE.fullmatch(name) for name in archive.namelist())
            ordered = sorted(int(number[1]) for number in numbers if number)
            names = [f"ppt/slides/slide{number}.xml" for number in ordered]
        try:
            texts = [b" ".join(RUNS.findall(archive.read(name))) for name in names]
        except (zipfile.BadZipFile, OSError) as error:
            raise errors.unreadable(kind) from error
    shown = [_text(text.decode("utf-8", "replace")) for text in texts]
    pages = {place: Page(text, page_key(text), *A4) for place, text in enumerate(shown)}
    return ParsedDocument(len(names), pages)


def _single_page(content: bytes, kind: Kind) -> ParsedDocument:
    if kind == "other":
        return ParsedDocument(1, {0: Page("", "", *A4)})
    with Image.open(io.BytesIO(content)) as image:
        return ParsedDocument(1, {0: Page("", "", *image.size)})
