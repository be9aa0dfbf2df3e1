"""PDF to Markdown: each page from its text layer, or by recognition where it has none."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pypdfium2

from ilios.engines.layout.document import LaidOutPage, lay_out
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    ConvertedPage,
    Pages,
    Ranges,
    check_page_limit,
    model_name,
    selected_indices,
)
from ilios.engines.pdf.conservation import words
from ilios.engines.pdf.document import Damaged, open_pdf
from ilios.engines.pdf.finishing import finish
from ilios.engines.pdf.forms import is_xfa_placeholder
from ilios.engines.pdf.parser import ParsedBatch, parse_batches
from ilios.engines.pdf.reading import DocumentReader, Draft
from ilios.engines.pdf.repair import repaired_copy
from ilios.engines.pdf.scans import PageReader
from schemas.warnings import page_warning


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], ranges: Ranges = ()
) -> Pages:
    """Convert a PDF; see :class:`ilios.engines.converters.registry.Converter`.

    Of a damaged one the readable pages are converted; the model then ends in ``repaired``.
    """
    try:
        return _convert(path, limits, progress, ranges)
    except Damaged:
        with repaired_copy(path) as repaired:
            if repaired is None:
                raise
            converted = _convert(repaired, limits, progress, ranges)
        if not any(page.result.markdown for page in converted.pages):
            raise
        return Pages(converted.pages, f"{converted.model}+repaired")


def _convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], ranges: Ranges
) -> Pages:
    with open_pdf(path) as document:
        indices = selected_indices(ranges, len(document))
        total = len(indices)
        check_page_limit("PDF", "pages", len(document), total, limits.max_pages)
        progress(0, total)
        pages: list[ConvertedPage] = []
        scans = PageReader(lambda: progress(len(pages), total))
        reader = DocumentReader(document, scans, "auto")
        for batch in parse_batches(path, len(document), indices):
            drafts = _drafts(document, batch, reader, lambda: progress(len(pages), total))
            for page in _finished(drafts, reader):
                pages.append(page)
                progress(len(pages), total)
        recognised = sum(page.result.method == "recognition" for page in pages)
        models = [model_name("liteparse")] * (recognised < total) + [scans.model] * bool(
            scans.model
        )
        return Pages(pages, "+".join(filter(None, models)))


def _drafts(
    document: pypdfium2.PdfDocument,
    batch: ParsedBatch,
    reader: DocumentReader,
    heartbeat: Callable[[], None],
) -> list[Draft]:
    drafts = []
    for index in batch.indices:
        draft = reader.read(index, batch.pages.get(index))
        if is_xfa_placeholder(
            batch.form_type, len(document), draft.fields, sum(words(draft.layer).values())
        ):
            draft.warnings.append(page_warning("xfa_placeholder"))
        drafts.append(draft)
        heartbeat()
    return drafts


def _finished(drafts: Sequence[Draft], reader: DocumentReader) -> Iterator[ConvertedPage]:
    laid = _lay_out(drafts)
    for draft in drafts:
        yield finish(draft, laid.get(draft.index), reader)


def _lay_out(drafts: Sequence[Draft]) -> dict[int, LaidOutPage]:
    pages = [draft.items for draft in drafts if draft.items is not None]
    return {page.index: page for page in lay_out(pages)} if pages else {}
