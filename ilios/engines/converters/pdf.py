"""PDF to Markdown: each page from its text layer, or by OCR if it has none.

PDFium repairs many damaged files. It gives up when the catalogue is missing, as in a truncated one:
those get a new catalogue for the pages that are still complete.
"""

import io
import os
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from liteparse import LiteParse

from actors.engines import Unconvertible
from ilios.engines.converters import markdown
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.pages import Pages, Ranges, check_page_limit, model_name, selected_indices

TEXT_CHARS = 50
"""A page with fewer characters may be a scan."""

SCAN_COVERAGE = 0.25
"""Share of the page that one image covers on a scan."""

UNREADABLE_SHARE = 0.2
"""Share of characters without meaning above which a text layer is worthless."""

OUTLINED_TEXT_PATHS = 100
"""So many drawn paths on a page without any text are taken for text converted to outlines."""

OCR_DPI = 130
MAX_RENDER_PIXELS = 4_000_000
FORM_DEPTH = 3
BATCH_ABOVE_PAGES = 500
BATCH_PAGES = 250
"""Longer documents are parsed in pieces: the layout of a page takes 0.4 MB of memory."""

MAX_REPAIRED_BYTES = 256 * MIB
"""Larger files are not repaired: it takes a copy in memory."""

MAX_REPAIRED_OBJECTS = 1_000_000
_OBJECT = re.compile(rb"(?<![0-9])([0-9]{1,7})[ \r\n\t]+([0-9]{1,5})[ \r\n\t]+obj\b")
_PAGE_TYPE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_PARENT = re.compile(rb"/Parent\s+([0-9]{1,7})\s+[0-9]{1,5}\s+R")

ReadImage = Callable[[Any, Callable[[], None]], str]


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], ranges: Ranges = ()
) -> Pages:
    """Convert a PDF; see :class:`ilios.engines.converters.registry.Converter`.

    Of a damaged one the readable pages are converted; the model then ends in ``repaired``.
    """
    try:
        return _convert(path, limits, progress, ranges)
    except _Damaged:
        with repaired_copy(path) as repaired:
            if repaired is None:
                raise
            converted = _convert(repaired, limits, progress, ranges)
        if not any(converted.pages):
            raise
        return Pages(converted.pages, f"{converted.model}+repaired")


def count_pages(path: Path) -> int:
    """Return how many pages a PDF has.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_pdf(path) as document:
        return len(document)


def cut_pages(path: Path, indices: Sequence[int]) -> bytes:
    """Return pages, counted from 0, as another PDF.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_pdf(path) as document:
        part = pypdfium2.PdfDocument.new()
        try:
            count = len(document)
            part.import_pages(document, pages=[index for index in indices if index < count])
            written = io.BytesIO()
            part.save(written)
        finally:
            part.close()
    return written.getvalue()


class _Damaged(Unconvertible):
    def __init__(self) -> None:
        super().__init__("corrupt", "The PDF is damaged: its structure cannot be read.")


def _convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], ranges: Ranges
) -> Pages:
    with open_pdf(path) as document:
        indices = selected_indices(ranges, len(document))
        total = len(indices)
        check_page_limit("PDF", "pages", len(document), total, limits.max_pages)
        progress(0, total)
        scanned = []
        for index in indices:
            if _is_scan(document, index):
                scanned.append(index)
            progress(0, total)
        pages = dict.fromkeys(indices, "")
        if len(scanned) < total:
            for index, text in _text_pages(path, document, indices, lambda: progress(0, total)):
                pages[index] = text
                progress(0, total)
            progress(total - len(scanned), total)
        if scanned:
            from ilios.engines.recognition import ocr  # noqa: PLC0415  most PDFs need none

            read = ocr.ImageReader().read
            for done, index in enumerate(scanned, total - len(scanned) + 1):
                heartbeat = partial(progress, done - 1, total)
                pages[index] = _ocr_page(document, index, read, heartbeat) or pages[index]
                progress(done, total)
        used = ["liteparse"] * (len(scanned) < total) + ["rapidocr"] * bool(scanned)
        return Pages(list(pages.values()), model_name(*used))


@contextmanager
def open_pdf(path: Path) -> Iterator[pypdfium2.PdfDocument]:
    """Open a PDF that has pages.

    :raises Unconvertible: it is empty, damaged or protected.
    """
    if path.stat().st_size == 0:
        raise Unconvertible("corrupt", "The file is empty.")
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise Unconvertible(
                "password_protected",
                "The PDF is protected by a password; remove it and submit again.",
            ) from error
        if error.err_code == pdfium.FPDF_ERR_SECURITY:
            raise Unconvertible(
                "password_protected", "The PDF uses a kind of protection that cannot be opened."
            ) from error
        raise _Damaged from error
    try:
        if len(document) == 0:
            raise _Damaged
        yield document
    finally:
        document.close()


@contextmanager
def _page(document: pypdfium2.PdfDocument, index: int) -> Iterator[pypdfium2.PdfPage | None]:
    """Open a page; yield ``None`` when that page alone is broken."""
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        yield None
        return
    try:
        yield page
    finally:
        page.close()


def _is_scan(document: pypdfium2.PdfDocument, index: int) -> bool:
    """Whether a page shows text that its text layer does not contain."""
    with _page(document, index) as page:
        if page is None:
            return False
        text = "".join(_plain_text(page).split())
        if len(text) < TEXT_CHARS:
            return _largest_image(page) > SCAN_COVERAGE or (not text and _has_outlined_text(page))
        unreadable = sum(c in "\x00\ufffd\ufffe" or "\ue000" <= c <= "\uf8ff" for c in text)
        return unreadable > UNREADABLE_SHARE * len(text)


def _plain_text(page: pypdfium2.PdfPage) -> str:
    textpage = page.get_textpage()
    try:
        return str(textpage.get_text_range())
    except pypdfium2.PdfiumError:
        return ""
    finally:
        textpage.close()


def _largest_image(page: pypdfium2.PdfPage) -> float:
    """Return the share of the page that its largest image covers."""
    left, bottom, right, top = page.get_cropbox()
    area = abs((right - left) * (top - bottom))
    largest = 0.0
    try:
        for image in page.get_objects([pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=FORM_DEPTH):
            x0, y0, x1, y1 = image.get_bounds()
            width = min(x1, right) - max(x0, left)
            height = min(y1, top) - max(y0, bottom)
            largest = max(largest, max(width, 0) * max(height, 0))
    except pypdfium2.PdfiumError:
        pass  # The readable objects of a damaged page have to do.
    return largest / area if area else 0.0


def _has_outlined_text(page: pypdfium2.PdfPage) -> bool:
    """Whether a page without text has many paths, which may be the outlines of letters."""
    paths = page.get_objects([pdfium.FPDF_PAGEOBJ_PATH], max_depth=FORM_DEPTH)
    try:
        return sum(1 for _ in islice(paths, OUTLINED_TEXT_PATHS)) == OUTLINED_TEXT_PATHS
    except pypdfium2.PdfiumError:
        return False


def _text_pages(
    path: Path,
    document: pypdfium2.PdfDocument,
    indices: Sequence[int],
    heartbeat: Callable[[], None],
) -> Iterator[tuple[int, str]]:
    """Yield indices and Markdown of pages; plain text where the layout parser fails."""
    parsed: dict[int, str] = {}
    try:
        for index, text in _parse_layout(path, len(document), indices):
            parsed[index] = text
            heartbeat()
    except (MemoryError, SystemExit, KeyboardInterrupt):
        raise
    # Broad, because a panic of the native parser is a BaseException; the cause goes to stderr.
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    for index in indices:
        text = markdown.fix_markdown(parsed.get(index, ""))
        if not text:
            with _page(document, index) as page:
                text = markdown.clean(_plain_text(page)) if page else ""
        yield index, text


def _parse_layout(path: Path, count: int, indices: Sequence[int]) -> Iterator[tuple[int, str]]:
    with TemporaryDirectory() as folder:
        # The parser goes by the file name's extension, and a blob's name has none.
        named = Path(folder, "document.pdf")
        os.symlink(path, named)
        for result in _parse_results(named, count, indices):
            for page in result.pages:
                yield page.page_num - 1, page.markdown


def _parse_results(path: Path, count: int, indices: Sequence[int]) -> Iterator[Any]:
    total = len(indices)
    if total == count <= BATCH_ABOVE_PAGES:
        yield _parser(total).parse(path)
    elif total == count:
        for batch in _parser(total).parse_batches(path, BATCH_PAGES):
            yield batch.result
    else:  # the parser cannot combine batches with a selection
        step = total if total <= BATCH_ABOVE_PAGES else BATCH_PAGES
        for start in range(0, total, step):
            numbers = [str(index + 1) for index in indices[start : start + step]]
            yield _parser(len(numbers), ",".join(numbers)).parse(path)


def _parser(max_pages: int, target_pages: str | None = None) -> LiteParse:
    return LiteParse(
        ocr_enabled=False,
        output_format="markdown",
        image_mode="off",
        extract_links=True,
        continue_on_page_error=True,
        num_workers=1,
        quiet=True,
        max_pages=max_pages,
        target_pages=target_pages,
    )


def _ocr_page(
    document: pypdfium2.PdfDocument, index: int, read: ReadImage, heartbeat: Callable[[], None]
) -> str:
    with _page(document, index) as page:
        if page is None:
            return ""
        width, height = page.get_size()
        scale = min(OCR_DPI / 72, (MAX_RENDER_PIXELS / max(width * height, 1)) ** 0.5)
        bitmap = page.render(scale=scale)
        heartbeat()
        try:
            return read(bitmap.to_pil(), heartbeat)
        finally:
            bitmap.close()


@contextmanager
def repaired_copy(path: Path) -> Iterator[Path | None]:
    """Make a temporary repaired copy of a PDF; yield ``None`` when it has no complete page."""
    if path.stat().st_size > MAX_REPAIRED_BYTES:
        yield None
        return
    repaired = _repair(path.read_bytes())
    if repaired is None:
        yield None
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder, "repaired.pdf")
        copy.write_bytes(repaired)
        yield copy


def _repair(data: bytes) -> bytes | None:
    # Without the trailer the key is missing, and the text would come out as noise.
    if b"/Encrypt" in data:
        return None
    offsets: dict[int, int] = {}
    pages: dict[int, bytes] = {}
    found = list(_OBJECT.finditer(data))[:MAX_REPAIRED_OBJECTS]
    for match, next_match in zip(found, [*found[1:], None], strict=True):
        end = next_match.start() if next_match else len(data)
        body = data[match.end() : end]
        if next_match is None and b"endobj" not in body:
            continue  # The file is truncated here.
        number = int(match[1])
        offsets[number] = match.start()
        head = body.split(b"stream", 1)[0]
        pages.pop(number, None)
        if _PAGE_TYPE.search(head):
            pages[number] = head
    if not pages:
        return None
    return _append_catalog(data, offsets, pages)


def _append_catalog(data: bytes, offsets: dict[int, int], pages: dict[int, bytes]) -> bytes:
    """Return the data with a catalogue of these pages, in file order."""
    root = max(offsets) + 1
    tree = root + 1
    for head in pages.values():
        parent = _PARENT.search(head)
        if parent and int(parent[1]) not in offsets:
            tree = int(parent[1])  # the missing one, to which the pages still refer
            break
    kids = b" ".join(b"%d 0 R" % number for number in pages)
    out = bytearray(data + b"\n")
    for number, body in (
        (tree, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), kids)),
        (root, b"<< /Type /Catalog /Pages %d 0 R >>" % tree),
    ):
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 1\n0000000000 65535 f \n"
    for number, place in sorted(offsets.items()):
        out += b"%d 1\n%010d 00000 n \n" % (number, place)
    size = max(offsets) + 1
    out += b"trailer\n<< /Size %d /Root %d 0 R >>\n" % (size, root)
    out += b"startxref\n%d\n%%%%EOF\n" % table
    return bytes(out)
