"""Pages as the native parser takes them apart: text, drawings, annotations, form fields."""

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pypdfium2
import pypdfium2.raw as pdfium
from liteparse import LiteParse
from liteparse.types import ParsedPage
from msgspec import Struct

from ilios.engines.pages import BATCH_PAGES, Portion
from ilios.engines.pdf import number_tree
from ilios.engines.pdf.document import open_page
from ilios.engines.pdf.structure import Tree, is_tagged, read_trees
from ilios.engines.pdf.untagged import UntaggedCopy

MAX_PAGE_FIELDS = 600
MAX_SQUARES = 4_000_000
MAX_VALUE_CHARS = 2_000_000
"""Form fields that the parser reads on one page, the sum of the squares of their numbers on the
pages of a batch, and the characters of their values: its time grows with the square."""

SMALL_FILE = 4 * 1024 * 1024
"""Bytes of a file that the parser gets as bytes: a directory for its name would cost more."""

XFA_FULL = 2
"""PDFium's type of a form whose content is XML that only some viewers show."""
XFA_FOREGROUND = 3
"""Its type of a form that may have XML and content of its own."""


class ParsedBatch(Struct, frozen=True):
    """Parsed pages by their index from 0; those that could not be parsed are missing.

    ``without_fields`` has the pages with too many form fields, and how many. ``trees`` are those of
    the tagged pages, None where one is too large.
    """

    indices: Sequence[int]
    pages: dict[int, ParsedPage]
    form_type: int = 0
    without_fields: dict[int, int] = {}
    trees: dict[int, Tree | None] = {}


def parse_batches(
    path: Path,
    document: pypdfium2.PdfDocument,
    indices: Sequence[int],
    portion: Portion,
    size: int = BATCH_PAGES,
) -> Iterator[ParsedBatch]:
    """Parse a document, which is also open, in batches of so many of the selected pages.

    A batch begins at the same page whatever the portion, and is parsed whole: what its pages have
    in common may not depend on the portion.
    """
    form_type = pdfium.FPDF_GetFormType(document.raw)
    with ExitStack() as stack:
        folder = cache(lambda: Path(stack.enter_context(TemporaryDirectory())))
        given = path.read_bytes() if path.stat().st_size <= SMALL_FILE else _named(path, folder())
        untagged = UntaggedCopy(document, folder)
        followable = (
            not is_tagged(document)
            or path.stat().st_size > number_tree.MAX_BYTES
            or number_tree.is_followable(document, folder)
        )
        first, last = portion.first, portion.first + len(portion.of(indices))
        for start in range(first - first % size, last, size):
            batch = indices[start : start + size]
            trees = read_trees(document, batch) if followable else dict.fromkeys(batch)
            source = untagged.path if None in trees.values() else given
            if form_type == pdfium.FORMTYPE_NONE or source is None:
                pages = _parse(source, batch, with_fields=False)
                yield ParsedBatch(batch, pages, trees=trees)
                continue
            crowded = _crowded(document, batch)
            pages = _parse(source, [at for at in batch if at not in crowded], with_fields=True)
            if crowded:
                pages |= _parse(source, list(crowded), with_fields=False)
            yield ParsedBatch(batch, pages, form_type, crowded, trees)


def _named(path: Path, folder: Path) -> Path:
    """Return a path with an extension, by which the parser goes; that of a blob has none."""
    named = folder / "document.pdf"
    os.symlink(path, named)
    return named


def _crowded(document: pypdfium2.PdfDocument, indices: Sequence[int]) -> dict[int, int]:
    """Return the pages whose form fields would take the parser too long, and how many they have."""
    crowded: dict[int, int] = {}
    squares = chars = 0
    for index in indices:
        with open_page(document, index) as page:
            fields, values = _fields(page) if page else (0, 0)
        squares += fields**2
        chars += values
        if fields > MAX_PAGE_FIELDS or squares > MAX_SQUARES or chars > MAX_VALUE_CHARS:
            crowded[index] = fields
            squares -= fields**2
            chars -= values
    return {index: fields for index, fields in crowded.items() if fields}


def _fields(page: pypdfium2.PdfPage) -> tuple[int, int]:
    """Return how many form fields a page has, and characters of values, up to the bounds."""
    fields = chars = 0
    for number in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, number)
        if not annotation:
            continue
        if pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_WIDGET:
            fields += 1
            if chars <= MAX_VALUE_CHARS and fields <= MAX_PAGE_FIELDS:
                chars += pdfium.FPDFAnnot_GetStringValue(annotation, b"V", None, 0) // 2
        pdfium.FPDFPage_CloseAnnot(annotation)
    return fields, chars


def _parse(
    source: Path | bytes | None, indices: Sequence[int], *, with_fields: bool
) -> dict[int, ParsedPage]:
    """Return the pages that can be parsed by their index; none without a file."""
    if not indices or source is None:
        return {}
    parser = LiteParse(
        ocr_enabled=False,
        output_format="json",
        image_mode="off",
        extract_text_metadata=True,
        extract_vector_graphics=True,
        extract_annotations=True,
        extract_form_fields=with_fields,
        continue_on_page_error=True,
        num_workers=1,
        quiet=True,
        max_pages=BATCH_PAGES,
        target_pages=",".join(str(index + 1) for index in indices),
    )
    try:
        return {page.page_num - 1: page for page in parser.parse(source).pages}
    except (MemoryError, SystemExit, KeyboardInterrupt):
        raise
    # Broad, because a panic of the native parser is a BaseException; the cause goes to stderr.
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        return {}
