"""The finished page: its layout, compared with its text layer, or its plain text instead."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from ilios.engines.converters import markdown
from ilios.engines.layout.document import LaidOutPage, lay_out, lay_out_again
from ilios.engines.layout.imprints import is_stamp
from ilios.engines.layout.items import PageItems
from ilios.engines.pages import ConvertedPage
from ilios.engines.pdf.conservation import Conservation, conserved
from ilios.engines.pdf.draft import Draft
from ilios.engines.pdf.reading import DocumentReader
from ilios.engines.pdf.recognised import with_values
from ilios.engines.recognition.ocr import ImageText
from schemas.results import PageDimensions, PageResult, ReadingMethod
from schemas.warnings import PageWarning, page_warning

DPI = 72
"""Pixels of a page's dimensions are points."""

DISPUTED_SHARE = 0.95
"""With fewer words, the parser and PDFium may read the page differently."""

GLUED_SHARE = 0.85
"""Share of the words that have to stand there with blanks around them."""


class _Made(Struct, frozen=True):
    """What may become of a page."""

    laid: LaidOutPage
    method: ReadingMethod
    conservation: Conservation

    @property
    def rank(self) -> tuple[float, float]:
        return self.conservation.share, self.conservation.exact


def finish(draft: Draft, laid: LaidOutPage | None, reader: DocumentReader) -> ConvertedPage:
    """Return the page of a draft and its layout."""
    if draft.recognised:
        return _recognised(draft, draft.recognised)
    if laid is None:
        laid = LaidOutPage(index=draft.index, markdown="")
    if not laid.markdown:  # all there is on a page is not its header
        text = "\n\n".join(filter(None, [laid.header, laid.footer]))
        laid = replace(laid, markdown=text, header=None, footer=None)
    made = _guard(draft, _with_parts(draft, laid), reader)
    warnings = [*draft.warnings, *_warnings(made)]
    return _page(draft, made, warnings)


def preview(draft: Draft) -> PageResult:
    """Return a page as it looks by itself, before the others of its document are read."""
    if draft.recognised:
        return _recognised(draft, draft.recognised).result
    empty = LaidOutPage(index=draft.index, markdown="")
    laid = _lay_out_alone(draft.items) if draft.items else empty
    made = _Made(_with_parts(draft, laid), draft.method, Conservation(1.0))
    return replace(_page(draft, made, draft.warnings).result, conservation=None)


def _recognised(draft: Draft, read: ImageText) -> ConvertedPage:
    made = _recognised_page(draft, read)
    return _page(draft, made, [*draft.warnings, *read.warnings])


def _recognised_page(draft: Draft, read: ImageText) -> _Made:
    placed = with_values(read, draft.values, draft.size) if draft.values else read
    laid = (placed or read).page(draft.index)
    values = "" if placed else "\n".join(item.text for item in draft.values)
    comments = (one.markdown for one in draft.comments)
    text = "\n\n".join(filter(None, [laid.markdown, values, *comments]))
    lines = "\n".join(line.text for line in (placed or read).recognised.lines)
    return _Made(replace(laid, markdown=text), "recognition", conserved(lines, text))


def _page(draft: Draft, made: _Made, warnings: Iterable[PageWarning]) -> ConvertedPage:
    laid = made.laid
    size = (draft.items.width, draft.items.height) if draft.items else draft.size
    return ConvertedPage(
        PageResult(
            index=draft.index,
            markdown=laid.markdown,
            images=draft.images.images,
            tables=tuple(
                replace(table, id=f"table-{draft.index}-{number}")
                for number, table in enumerate(laid.tables + draft.tables)
            ),
            headings=laid.headings + draft.headings,
            header=laid.header,
            footer=laid.footer,
            hyperlinks=draft.targets,
            dimensions=PageDimensions(DPI, round(size[1]), round(size[0])) if all(size) else None,
            confidence=draft.recognised.confidence if draft.recognised else None,
            method=made.method,
            conservation=round(made.conservation.share, 4),
            warnings=tuple(dict.fromkeys(warnings)),
        ),
        draft.images.encoded,
    )


def _with_parts(draft: Draft, laid: LaidOutPage) -> LaidOutPage:
    """Return the layout with those of the turned pieces after it."""
    for part in draft.parts:
        more = _lay_out_alone(part)
        stamped = is_stamp(more.markdown)
        laid = LaidOutPage(
            index=laid.index,
            markdown="\n\n".join(filter(None, [laid.markdown, "" if stamped else more.markdown])),
            header=laid.header,
            footer="\n".join(filter(None, [laid.footer, more.markdown if stamped else ""])) or None,
            headings=laid.headings + more.headings,
            tables=laid.tables + more.tables,
            style=laid.style,
        )
    return laid


def _lay_out_alone(page: PageItems) -> LaidOutPage:
    """Lay out a page of which nothing may become a header or footer."""
    laid = lay_out([page])[0]
    inner = [laid.header, laid.markdown, laid.footer]
    return LaidOutPage(
        index=laid.index,
        markdown="\n\n".join(filter(None, inner)),
        headings=laid.headings,
        tables=laid.tables,
    )


def _guard(draft: Draft, laid: LaidOutPage, reader: DocumentReader) -> _Made:
    """Return the layout if it has the words of the page, else the best of what else there is."""
    made = _measured(draft, laid)
    if _is_good(made.conservation):
        return _mended(draft, made, reader)
    visible = reader.visible_layer(draft)
    if visible != draft.layer:
        draft.layer = visible  # also text beside the crop box is part of the layer
        made = _measured(draft, laid)
        if _is_good(made.conservation):
            return _mended(draft, made, reader)
    if made.conservation.share < DISPUTED_SHARE and _is_replaced(draft, made):
        read = reader.settle(draft)
        if read is not None:
            return _recognised_page(draft, read)
        if draft.disputed:
            return _measured(draft, laid)
    return _fall_back(draft, made, reader)


def _fall_back(draft: Draft, made: _Made, reader: DocumentReader) -> _Made:
    """Return the page in PDFium's order, or its plain text, if that has more of its words."""
    again = reader.reread(draft)
    if again is not None:
        reread = _measured(draft, _with_parts(draft, lay_out_again(again, made.laid)))
        if _is_good(reread.conservation):
            return reread
        made = max(made, reread, key=lambda one: one.rank)
    if made.conservation.sound:
        return made
    beside = [item.text for item in draft.values]
    beside += [one.markdown for one in draft.items.figures] if draft.items else []
    text = "\n\n".join(filter(None, [markdown.clean(reader.plain_text(draft)), *beside]))
    plain = _Made(
        LaidOutPage(index=draft.index, markdown=text),
        "plain_text",
        Conservation(1.0),
    )
    return _measured_as(draft, plain)


def _is_replaced(draft: Draft, made: _Made) -> bool:
    """Whether the parser has other words in place of most of the missing ones.

    It reads some fonts by the shapes of their glyphs, and PDFium by what the font claims.
    """
    other = 1 - conserved(draft.parsed_text, draft.layer).share
    return other >= (1 - made.conservation.share) / 2


def _mended(draft: Draft, made: _Made, reader: DocumentReader) -> _Made:
    """Return a sound page with the few words that it lacks."""
    items = reader.mended(draft, made.conservation.missing) if made.conservation.missing else None
    if items is None:
        return made
    mended = _measured(draft, _with_parts(draft, lay_out_again(items, made.laid)))
    return max(made, mended, key=lambda one: one.rank)


def _measured(draft: Draft, laid: LaidOutPage) -> _Made:
    return _measured_as(draft, _Made(laid, draft.method, Conservation(1.0)))


def _measured_as(draft: Draft, made: _Made) -> _Made:
    laid = made.laid
    text = "\n".join(filter(None, [laid.header, laid.markdown, laid.footer]))
    return _Made(laid, made.method, conserved(draft.layer, text))


def _is_good(found: Conservation) -> bool:
    return found.sound and found.exact >= GLUED_SHARE


def _warnings(made: _Made) -> Iterable[PageWarning]:
    if made.method == "plain_text":
        yield page_warning("page_fell_back")
    if not made.conservation.sound:
        yield page_warning("page_incomplete", ", ".join(made.conservation.missing))
