"""PDF to Markdown: each page from its text layer, or by recognition where it has none."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pypdfium2

from actors.engines import report_drafts, wants_drafts
from ilios.engines.layout.document import LaidOutPage, lay_out
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    BATCH_PAGES,
    WHOLE,
    ConvertedPage,
    Pages,
    Portion,
    Reading,
    check_page_limit,
    model_name,
    selected_indices,
)
from ilios.engines.pdf.appearances import AppearanceReader
from ilios.engines.pdf.attachments import document_files
from ilios.engines.pdf.conservation import words
from ilios.engines.pdf.document import Damaged, open_pdf
from ilios.engines.pdf.draft import Draft
from ilios.engines.pdf.finishing import finish, preview
from ilios.engines.pdf.forms import is_xfa_placeholder
from ilios.engines.pdf.layered_forms import has_layered_forms
from ilios.engines.pdf.parser import SMALL_FILE, ParsedBatch, parse_batches
from ilios.engines.pdf.reading import DocumentReader
from ilios.engines.pdf.repair import repaired_copy
from ilios.engines.pdf.scans import PageReader
from schemas.warnings import page_warning

QUICK_SECONDS = 0.25
"""Time of a page up to which others of its batch follow it when the portion is over: the layout of
the next portion would need them once more."""


BESIDE_PAGES, BESIDE_SECONDS = 8, 1.0
"""Pages looked at beside the selected ones at once, and CPU time after which no more are."""


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
        return msgspec.structs.replace(converted, model=f"{converted.model}+repaired")


def _convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading
) -> Pages:
    with open_pdf(path) as document, closing(AppearanceReader(path)) as appearances:
        selected = selected_indices(reading.ranges, len(document))
        check_page_limit("PDF", "pages", len(document), len(selected), limits.max_pages)
        portion = reading.portion
        chosen = frozenset(portion.of(selected))
        total = len(selected) - portion.first
        progress(0, total)
        pages: list[ConvertedPage] = []
        done = 0

        def beat() -> None:
            progress(done, total)

        layered_forms = has_layered_forms(path)
        _show_first(path, document, portion.of(selected), appearances, progress)
        beat()  # or a slow first page would have half of its time
        scans = PageReader(beat, reading.languages, len(selected), reading.spent.pictures)
        reader = DocumentReader(
            document,
            appearances,
            scans,
            reading.recognition or "auto",
            image_bytes=reading.spent.image_bytes,
            layered_forms=layered_forms,
        )
        whole = len(document) <= BATCH_PAGES
        beside = _beside(path, document, selected, reader, beat) if whole else []
        for batch in parse_batches(path, document, selected, portion):
            drafts: list[Draft] = []
            slow = False
            for index in batch.indices:
                if index not in chosen:
                    continue
                if done and slow and portion.is_over:
                    break
                began = time.monotonic()
                scans.allow_pictures(portion.first + done)
                drafts.append(_draft(document, batch, index, reader))
                if index == selected[0]:
                    drafts[-1].warnings += document_files(document)
                slow = drafts[-1].recognised is not None or time.monotonic() - began > QUICK_SECONDS
                done += 1
                beat()
                _show_recognised(drafts[-1], progress)
            others = [*_outlines(batch, drafts, reader, beat), *beside]
            laid = _lay_out([*drafts, *others], whole=whole, on_page=beat)
            for draft in drafts:
                pages.append(finish(draft, laid.get(draft.index), reader))
                beat()
            if portion.is_over:
                break
            if done < len(chosen):
                report_drafts(progress, [page.result for page in pages[-len(drafts) :]])
        return Pages(pages, _model(pages, scans), len(selected), scans.pictures)


def _show_recognised(draft: Draft, progress: Callable[[int, int], None]) -> None:
    """Report a page that was recognised, which stays as it is; the next one may take seconds."""
    if draft.recognised and wants_drafts(progress):
        report_drafts(progress, [preview(draft)])


def _show_first(
    path: Path,
    document: pypdfium2.PdfDocument,
    portion: Sequence[int],
    appearances: AppearanceReader,
    progress: Callable[[int, int], None],
) -> None:
    """Report the first page of several batches as it looks without recognition."""
    if len(portion) <= BATCH_PAGES or not wants_drafts(progress):
        return
    index = portion[0]
    scans = PageReader(lambda: None)
    reader = DocumentReader(
        document, appearances, scans, "never", layered_forms=has_layered_forms(path)
    )
    for batch in parse_batches(path, document, [index], Portion(), 1):
        draft = _draft(document, batch, index, reader)
        if draft.items is not None and draft.items.items:
            report_drafts(progress, [preview(draft)])


def _beside(
    path: Path,
    document: pypdfium2.PdfDocument,
    selected: Sequence[int],
    reader: DocumentReader,
    beat: Callable[[], None],
) -> list[Draft]:
    """Return the pages of a short document that are not selected, as far as that is quick.

    With them the headings of a page have the levels, and its running lines are those, that it has
    when all pages are converted.
    """
    chosen = frozenset(selected)
    others = [index for index in range(len(document)) if index not in chosen]
    if not others or path.stat().st_size > SMALL_FILE:
        return []
    began = time.process_time()
    found: list[Draft] = []
    for batch in parse_batches(path, document, others, Portion(), BESIDE_PAGES):
        found += _outlines(batch, [], reader, beat)
        if time.process_time() - began > BESIDE_SECONDS:
            break
    return found


def _outlines(
    batch: ParsedBatch, drafts: Sequence[Draft], reader: DocumentReader, beat: Callable[[], None]
) -> list[Draft]:
    """Return the pages of a batch that are not converted now, for the style that all have."""
    converted = {draft.index for draft in drafts}
    found = []
    for index in batch.indices:
        if index not in converted:
            found.append(reader.outline(index, batch.pages.get(index), batch.trees.get(index)))
            beat()
    return found


def _model(pages: Sequence[ConvertedPage], scans: PageReader) -> str:
    by_text = any(page.result.method != "recognition" for page in pages)
    names = [model_name("liteparse") if by_text else None, scans.model]
    return "+".join(filter(None, names))


def _draft(
    document: pypdfium2.PdfDocument, batch: ParsedBatch, index: int, reader: DocumentReader
) -> Draft:
    draft = reader.read(index, batch.pages.get(index), batch.trees.get(index))
    if is_xfa_placeholder(
        batch.form_type, len(document), draft.fields, sum(words(draft.layer).values())
    ):
        draft.warnings.append(page_warning("xfa_placeholder"))
    if fields := batch.without_fields.get(index):
        draft.warnings.append(page_warning("form_fields_left_out", str(fields)))
    if index in batch.trees and batch.trees[index] is None:
        draft.warnings.append(page_warning("structure_left_out"))
    return draft


def _lay_out(
    drafts: Sequence[Draft], *, whole: bool, on_page: Callable[[], None]
) -> dict[int, LaidOutPage]:
    found = [draft.items or draft.outline for draft in drafts]
    pages = sorted((page for page in found if page is not None), key=lambda page: page.index)
    laid = lay_out(pages, whole=whole, on_page=on_page) if pages else []
    return {page.index: page for page in laid}
