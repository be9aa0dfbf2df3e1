"""PDF to Markdown: each page from its text layer, or by OCR if it has none."""

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from liteparse import LiteParse

from ilios.engines.converters import markdown
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    Pages,
    Reading,
    check_page_limit,
    markdown_pages,
    model_name,
    selected_indices,
)
from ilios.engines.pdf.document import Damaged, open_page, open_pdf
from ilios.engines.pdf.repair import repaired_copy

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

ReadImage = Callable[[Any, Callable[[], None]], Any]


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a PDF; see :class:`ilios.engines.converters.registry.Converter`.

    Of a damaged one the readable pages are converted; the model then ends in ``repaired``.
    """
    try:
        return _convert(path, limits, progress, reading)
    except Damaged:
        with repaired_copy(path) as repaired:
            if repaired is None:
                raise
            converted = _convert(repaired, limits, progress, reading)
        if not any(page.result.markdown for page in converted.pages):
            raise
        return Pages(converted.pages, f"{converted.model}+repaired")


def _convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading
) -> Pages:
    with open_pdf(path) as document:
        indices = selected_indices(reading.ranges, len(document))
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
        models: list[str] = []
        if scanned:
            from ilios.engines.recognition import ocr  # noqa: PLC0415  most PDFs need none

            reader = ocr.ImageReader(reading.languages)
            models.append(reader.model)
            for done, index in enumerate(scanned, total - len(scanned) + 1):
                heartbeat = partial(progress, done - 1, total)
                pages[index] = _ocr_page(document, index, reader.read, heartbeat) or pages[index]
                progress(done, total)
        models = [model_name("liteparse")] * (len(scanned) < total) + models
        return Pages(markdown_pages(indices, list(pages.values())), "+".join(models))


def _is_scan(document: pypdfium2.PdfDocument, index: int) -> bool:
    """Whether a page shows text that its text layer does not contain."""
    with open_page(document, index) as page:
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
            with open_page(document, index) as page:
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
    with open_page(document, index) as page:
        if page is None:
            return ""
        width, height = page.get_size()
        scale = min(OCR_DPI / 72, (MAX_RENDER_PIXELS / max(width * height, 1)) ** 0.5)
        bitmap = page.render(scale=scale)
        heartbeat()
        try:
            return str(read(bitmap.to_pil(), heartbeat).markdown)
        finally:
            bitmap.close()
