"""PDF to Markdown: page by page from the text layer, or by recognition where there is none."""

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pypdfium2
import pypdfium2.raw as pdfium
from liteparse import LiteParse

from actors.engines import Unconvertible
from ilios.engines.converters import markdown, pdf_repair, registry
from ilios.engines.converters.markdown_fixups import fix_markdown
from ilios.engines.converters.registry import Pages
from ilios.engines.converters.versions import model_name
from ilios.engines.local.limits import EngineLimits

TEXT_CHARS = 50
"""A page with fewer characters is looked at twice: it may be a scan."""

SCAN_COVERAGE = 0.25
"""Share of the page that one image covers on a scan."""

UNREADABLE_SHARE = 0.2
"""Share of characters without meaning above which a text layer is worthless."""

OUTLINED_TEXT_PATHS = 100
"""So many drawn shapes on a page without any text are taken for text turned into outlines."""

OCR_DPI = 130
MAX_RENDER_PIXELS = 4_000_000
FORM_DEPTH = 3
BATCH_ABOVE_PAGES = 500
BATCH_PAGES = 250
"""Longer documents are parsed in pieces: a page of layout takes 0.4 MB until it is written."""


def convert(path: Path, limits: EngineLimits, progress: Callable[[int, int], None]) -> Pages:
    """Convert a PDF; see :class:`ilios.engines.converters.registry.Converter`.

    A damaged one is converted as far as it can be mended; the model then says ``repaired``.
    """
    try:
        return _convert(path, limits, progress)
    except _Damaged:
        with pdf_repair.repaired_copy(path) as repaired:
            if repaired is None:
                raise
            written = _convert(repaired, limits, progress)
        if not any(written.pages):
            raise
        return Pages(written.pages, f"{written.model}+repaired")


class _Damaged(Unconvertible):
    def __init__(self) -> None:
        super().__init__("corrupt", "The PDF is damaged: its structure cannot be read.")


def _convert(path: Path, limits: EngineLimits, progress: Callable[[int, int], None]) -> Pages:
    with open_pdf(path) as document:
        total = len(document)
        if total > limits.max_pages:
            raise Unconvertible(
                "too_many_pages",
                f"The PDF has {total} pages; at most {limits.max_pages} are allowed.",
            )
        progress(0, total)
        scanned = []
        for number in range(total):
            if _is_scan(document, number):
                scanned.append(number)
            progress(0, total)
        pages = [""] * total
        if len(scanned) < total:
            for number, text in _text_pages(path, document, lambda: progress(0, total)):
                pages[number] = text
                progress(0, total)
            progress(total - len(scanned), total)
        if scanned:
            reader = registry.ocr_module().ImageReader()
            for done, number in enumerate(scanned, total - len(scanned) + 1):
                heartbeat = partial(progress, done - 1, total)
                pages[number] = _ocr_page(document, number, reader, heartbeat) or pages[number]
                progress(done, total)
        used = ["liteparse"] * (len(scanned) < total) + ["rapidocr"] * bool(scanned)
        return Pages(pages, model_name(*used))


@contextmanager
def open_pdf(path: Path) -> Iterator[pypdfium2.PdfDocument]:
    """Lend a PDF that has pages.

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
def _page(document: pypdfium2.PdfDocument, number: int) -> Iterator[pypdfium2.PdfPage | None]:
    """Lend a page, or ``None`` when that page alone is broken."""
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        yield None
        return
    try:
        yield page
    finally:
        page.close()


def _is_scan(document: pypdfium2.PdfDocument, number: int) -> bool:
    """Tell whether a page shows text that its text layer does not hold."""
    with _page(document, number) as page:
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
        pass  # What was seen of a damaged page has to do.
    return largest / area if area else 0.0


def _has_outlined_text(page: pypdfium2.PdfPage) -> bool:
    """Tell whether a page without text is full of outlines, which may be those of letters."""
    paths = page.get_objects([pdfium.FPDF_PAGEOBJ_PATH], max_depth=FORM_DEPTH)
    try:
        return sum(1 for _ in islice(paths, OUTLINED_TEXT_PATHS)) == OUTLINED_TEXT_PATHS
    except pypdfium2.PdfiumError:
        return False


def _text_pages(
    path: Path, document: pypdfium2.PdfDocument, heartbeat: Callable[[], None]
) -> Iterator[tuple[int, str]]:
    """Yield page numbers from 0 and their Markdown; plain text where the layout fails."""
    parsed: dict[int, str] = {}
    try:
        for number, text in _parse_layout(path, len(document)):
            parsed[number] = text
            heartbeat()
    except (MemoryError, SystemExit, KeyboardInterrupt):
        raise
    # Broad, because a panic of the native parser is a BaseException; what it was goes to stderr.
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    for number in range(len(document)):
        text = fix_markdown(parsed.get(number, ""))
        if not text:
            with _page(document, number) as page:
                text = markdown.clean(_plain_text(page)) if page else ""
        yield number, text


def _parse_layout(path: Path, total: int) -> Iterator[tuple[int, str]]:
    parser = LiteParse(
        ocr_enabled=False,
        output_format="markdown",
        image_mode="off",
        extract_links=True,
        continue_on_page_error=True,
        num_workers=1,
        quiet=True,
        max_pages=total,
    )
    with TemporaryDirectory() as folder:
        # The parser goes by the name's ending, and a blob's name has none.
        named = Path(folder, "document.pdf")
        os.symlink(path, named)
        if total <= BATCH_ABOVE_PAGES:
            results = iter([parser.parse(named)])
        else:
            results = (batch.result for batch in parser.parse_batches(named, BATCH_PAGES))
        for result in results:
            for page in result.pages:
                yield page.page_num - 1, page.markdown


def _ocr_page(
    document: pypdfium2.PdfDocument,
    number: int,
    reader: registry.ImageReader,
    heartbeat: Callable[[], None],
) -> str:
    with _page(document, number) as page:
        if page is None:
            return ""
        width, height = page.get_size()
        scale = min(OCR_DPI / 72, (MAX_RENDER_PIXELS / max(width * height, 1)) ** 0.5)
        bitmap = page.render(scale=scale)
        heartbeat()
        try:
            return reader.read(bitmap.to_pil(), heartbeat)
        finally:
            bitmap.close()
