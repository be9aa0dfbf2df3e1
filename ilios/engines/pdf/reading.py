"""Reading of a page: what stands where, from its text layer or by recognition."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain

import pypdfium2
from liteparse.types import ParsedPage
from msgspec import Struct
from msgspec.structs import replace

from ilios.engines.layout.document import lay_out
from ilios.engines.layout.items import Figure, Item, PageItems
from ilios.engines.pdf import characters
from ilios.engines.pdf.appearances import AppearanceReader
from ilios.engines.pdf.beside import Beside, read_beside
from ilios.engines.pdf.document import open_page
from ilios.engines.pdf.geometry import Rect, Sheet, View, turned_size
from ilios.engines.pdf.images import ImageExtractor, PageImages
from ilios.engines.pdf.items import (
    MAX_ITEMS,
    page_items,
    text_items,
    turned,
    turned_characters,
    with_items,
    with_pictures,
)
from ilios.engines.pdf.judging import Judge
from ilios.engines.pdf.links import Link, links_of, put_links
from ilios.engines.pdf.missing import lone_numbers, missing_words
from ilios.engines.pdf.objects import PageObjects, page_objects
from ilios.engines.pdf.scans import PageReader, compare
from ilios.engines.pdf.turned import inside_tables
from ilios.engines.recognition.ocr import ImageText
from schemas.options import RecognitionMode
from schemas.results import PageHeading, PageTable, ReadingMethod
from schemas.warnings import PageWarning, page_warning

FULL_COVERAGE = 0.5
FULL_PICTURE_CHARS = 600
"""With more characters on it, a picture that covers so much of the page is a background."""

PICTURE_CHARS = 3000
"""On a page with more characters, pictures beside the text are not read."""

TURNED_SHARE = 0.5
"""Share of the characters that are turned on a page that is read turned."""

SQUARE_SHARE = 0.3
"""Share of Chinese, Japanese or Korean letters on a page that may be written vertically."""

PICTURE_WORDS = 60
"""The text of a picture with fewer words is labels, and no line of it a heading."""

_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
_PLAIN_SUBTYPES = frozenset({"link", "widget", "popup"})


class Draft(Struct):
    """A page before its layout.

    ``layer`` is the text that has to be conserved. ``parts`` are turned pieces, each laid out by
    itself; a page that was ``recognised`` has neither. ``values`` are those of form fields, and
    text typed onto the page. The items are ``turned`` by quarter turns from the page as shown.
    """

    index: int
    size: tuple[float, float] = (0.0, 0.0)
    layer: str = ""
    items: PageItems | None = None
    parts: list[PageItems] = []
    recognised: ImageText | None = None
    method: ReadingMethod = "text_layer"
    comments: tuple[Figure, ...] = ()
    values: tuple[Item, ...] = ()
    tables: tuple[PageTable, ...] = ()
    headings: tuple[PageHeading, ...] = ()
    links: tuple[Link, ...] = ()
    targets: tuple[str, ...] = ()
    warnings: list[PageWarning] = []
    fields: int = 0
    images: PageImages = PageImages()
    turned: int = 0
    by_characters: bool = False
    disputed: bool = False

    @property
    def parsed_text(self) -> str:
        """The text of the page as the parser has it."""
        items = self.items.items if self.items else ()
        return "\n".join(item.text for item in items if item not in self.values)


class DocumentReader:
    """Reads the pages of one document, in their order."""

    def __init__(
        self,
        document: pypdfium2.PdfDocument,
        appearances: AppearanceReader,
        reader: PageReader,
        mode: RecognitionMode,
    ) -> None:
        self._document = document
        self._appearances = appearances
        self._reader = reader
        self._judge = Judge(reader, mode)
        self._pictures = mode == "auto"
        self._images = ImageExtractor(document)

    def read(self, index: int, parsed: ParsedPage | None) -> Draft:
        """Return a page; ``parsed`` is None where the native parser failed."""
        with open_page(self._document, index) as page:
            if page is None:
                return Draft(index, warnings=[page_warning("page_unreadable")])
            textpage = page.get_textpage()
            try:
                return self._read(index, page, textpage, parsed)
            finally:
                textpage.close()

    def reread(self, draft: Draft) -> PageItems | None:
        """Return a page once more, in PDFium's own order and with its blanks."""
        with open_page(self._document, draft.index) as page:
            if page is None or draft.items is None or draft.by_characters:
                return None
            textpage = page.get_textpage()
            before = draft.items
            try:
                again = _by_characters(draft, textpage, Sheet.of(page), before, draft.links)
                # A page that is mostly upright when it is parsed is mostly upright here, too.
                return replace(with_items(again, draft.values), figures=before.figures)
            finally:
                textpage.close()

    def settle(self, draft: Draft) -> ImageText | None:
        """Decide by recognition whether PDFium or the parser reads a page as it is seen.

        Where it is the parser, its text becomes the ``layer``; where it is neither, the
        recognition is returned. Without a decision nothing changes.
        """
        with open_page(self._document, draft.index) as page:
            if page is None or not self._pictures or draft.by_characters:
                return None
            read = self._reader.read_page(page, page_objects(page, Sheet.of(page)))
        layer, parsed = compare(read, draft.layer), compare(read, draft.parsed_text)
        if not layer.decisive or layer.agreement >= parsed.agreement:
            return None
        draft.warnings.append(page_warning("text_layer_untrusted"))
        if parsed.contradicts:
            draft.warnings += read.warnings
            draft.recognised = read
            draft.method = "recognition"
            return read
        draft.layer, draft.disputed = draft.parsed_text, True
        return None

    def mended(self, draft: Draft, words: Iterable[str]) -> PageItems | None:
        """Return a page with words that its items lack; None if they stand where an item is."""
        with open_page(self._document, draft.index) as page:
            if page is None or draft.items is None or draft.turned:
                return None
            textpage = page.get_textpage()
            try:
                found = missing_words(textpage, Sheet.of(page), words, draft.items.items)
            finally:
                textpage.close()
        return with_items(draft.items, found) if found else None

    def visible_layer(self, draft: Draft) -> str:
        """Return the text layer inside the crop box."""
        with open_page(self._document, draft.index) as page:
            if page is None:
                return ""
            textpage = page.get_textpage()
            sheet = Sheet.of(page)
            try:
                return str(
                    textpage.get_text_bounded(sheet.left, sheet.bottom, sheet.right, sheet.top)
                )
            finally:
                textpage.close()

    def _read(
        self,
        index: int,
        page: pypdfium2.PdfPage,
        textpage: pypdfium2.PdfTextPage,
        parsed: ParsedPage | None,
    ) -> Draft:
        sheet = Sheet.of(page)
        draft = Draft(index, sheet.size, plain_text(textpage))
        objects = page_objects(page, sheet)
        verdict = self._judge.judge(page, draft.layer, objects, parsed, index)
        draft.warnings = list(verdict.warnings)
        if verdict.recognised:
            draft.recognised = verdict.recognised
            draft.method = "recognition"
            _put_beside(draft, read_beside(page, parsed, (), View(sheet), None))
            return draft
        draft.items = _take_items(draft, textpage, sheet, parsed)
        if verdict.noisy_fonts and parsed:
            self._replace_noise(draft, page, sheet, parsed, verdict.noisy_fonts)
        view = View(sheet, draft.turned)
        beside = read_beside(page, parsed, draft.items.items, view, (self._appearances, index))
        _put_beside(draft, beside)
        places = [view.place(one.rect) for one in objects.pictures]
        drawn = [_drawn(draft, lines, view) for lines in beside.drawn]
        shown = self._figures(draft, page, objects, view, beside) if places else ()
        draft.items = replace(
            with_pictures(with_items(draft.items, draft.values), places),
            figures=(*shown, *drawn, *beside.comments),
        )
        return draft

    def _figures(
        self,
        draft: Draft,
        page: pypdfium2.PdfPage,
        objects: PageObjects,
        view: View,
        beside: Beside,
    ) -> list[Figure]:
        """Return the pictures that are handed out or have text."""
        draft.images = self._images.extract(page, objects)
        texts: dict[Rect, list[Item]] = {}
        if self._pictures and _may_read_pictures(draft, objects):
            over: tuple[Item, ...] = ()
            if draft.items and not draft.turned:
                over = (*draft.items.items, *draft.values, *chain(*beside.drawn))
            found, unread = self._reader.read_pictures(page, objects, over, view.sheet)
            texts = dict(found)
            if unread:
                draft.warnings.append(page_warning("image_text_unread"))
        shown: list[Figure] = []
        for one, rect in zip(draft.images.images, draft.images.rects, strict=True):
            text = _picture_text(draft, texts.pop(rect, []), view.sheet)
            shown.append(_figure(rect, view, f"![{one.id}]({one.id})", text))
        for rect, items in texts.items():
            shown.append(_figure(rect, view, _picture_text(draft, items, view.sheet)))
        return shown

    def _replace_noise(
        self,
        draft: Draft,
        page: pypdfium2.PdfPage,
        sheet: Sheet,
        parsed: ParsedPage,
        fonts: frozenset[str | None],
    ) -> None:
        """Put what is seen in place of the text of fonts without meaning."""
        believed = tuple(text_items(parsed, fonts))
        noise = [item for item in text_items(parsed) if item not in set(believed)]
        seen = self._reader.read_instead(page, sheet, noise, believed) if noise else None
        if seen is None or draft.items is None:
            return
        draft.items = with_items(page_items(parsed, draft.index, fonts), seen)
        draft.layer = "\n".join(item.text for item in draft.items.items)
        draft.method = "mixed"
        draft.warnings.append(page_warning("text_layer_untrusted"))


def plain_text(textpage: pypdfium2.PdfTextPage) -> str:
    """Return the text layer in PDFium's order; "" when it cannot be read."""
    try:
        return str(textpage.get_text_range())
    except pypdfium2.PdfiumError:
        return ""


def _put_beside(draft: Draft, beside: Beside) -> None:
    draft.values = beside.values
    draft.comments = beside.comments
    draft.fields = beside.fields
    draft.warnings += beside.warnings


def _drawn(draft: Draft, lines: Sequence[Item], view: View) -> Figure:
    """Return the text of an appearance, placed on the page as it is read, as a block of its own."""
    width, height = view.size
    page = PageItems(index=draft.index, width=width, height=height, items=tuple(lines))
    laid = lay_out([page], noisy=True)[0]
    text = "\n\n".join(filter(None, [laid.header, laid.markdown, laid.footer]))
    return Figure(
        min(line.left for line in lines),
        min(line.top for line in lines),
        max(line.right for line in lines),
        max(line.bottom for line in lines),
        _HEADING.sub("", text),
    )


def _figure(rect: Rect, view: View, *texts: str) -> Figure:
    placed = view.place(rect)
    markdown = "\n\n".join(filter(None, texts))
    return Figure(placed.left, placed.top, placed.right, placed.bottom, markdown)


def _picture_text(draft: Draft, items: list[Item], sheet: Sheet) -> str:
    """Return the text of a picture, laid out by itself; labels are no headings."""
    if not items:
        return ""
    draft.method = "mixed"
    width, height = sheet.size
    page = PageItems(index=draft.index, width=width, height=height, items=tuple(items))
    laid = lay_out([page], noisy=True)[0]
    draft.tables += laid.tables
    text = "\n\n".join(filter(None, [laid.header, laid.markdown, laid.footer]))
    if len(text.split()) < PICTURE_WORDS:
        return _HEADING.sub("", text)
    draft.headings += laid.headings
    return text


def _may_read_pictures(draft: Draft, objects: PageObjects) -> bool:
    letters = len("".join(draft.layer.split()))
    if objects.hides_text or letters > PICTURE_CHARS:
        return False
    return objects.largest <= FULL_COVERAGE or letters <= FULL_PICTURE_CHARS


def _take_items(
    draft: Draft, textpage: pypdfium2.PdfTextPage, sheet: Sheet, parsed: ParsedPage | None
) -> PageItems:
    if parsed is None:
        return _by_characters(draft, textpage, sheet, None, ())
    links = links_of(parsed.annotations)
    draft.links = tuple(links)
    draft.targets = tuple(dict.fromkeys(link.target for link in links))
    if len(parsed.text_items) > MAX_ITEMS:
        return _by_characters(draft, textpage, sheet, None, links)
    upright, other = turned_characters(parsed.text_items)
    page = page_items(parsed, draft.index)
    text = "\n".join(item.text for item in parsed.text_items)
    if (
        other > TURNED_SHARE * (upright + other)
        or characters.is_right_to_left(text)
        or characters.square_count(text) > SQUARE_SHARE * len(text)
    ):
        return _by_characters(draft, textpage, sheet, page, links)
    page = with_items(page, lone_numbers(textpage, sheet, draft.layer, page.items))
    if links:
        linked = put_links(page.items, links, textpage, View(sheet))
        page = replace(page, items=tuple(linked))
    if other:
        found = characters.read_characters(textpage, sheet)
        inside, found = inside_tables(page, found, sheet)
        page = with_items(page, inside)
        draft.parts = _pieces(draft, found, 0, sheet)
    return page


def _by_characters(
    draft: Draft,
    textpage: pypdfium2.PdfTextPage,
    sheet: Sheet,
    page: PageItems | None,
    links: Sequence[Link],
) -> PageItems:
    """Return a page in PDFium's own order, turned upright, with the drawings of ``page``."""
    found = characters.read_characters(textpage, sheet)
    quarters = characters.main_direction(found)
    items = characters.group(found, quarters, sheet.size)
    if links:
        items = put_links(items, links, textpage, View(sheet, quarters))
    if characters.is_right_to_left(draft.layer):
        draft.layer = characters.text_of(found)
    draft.parts = _pieces(draft, found, quarters, sheet)
    draft.turned = quarters
    draft.by_characters = True
    if page is None:
        width, height = turned_size(quarters, *sheet.size)
        return PageItems(index=draft.index, width=width, height=height, items=tuple(items))
    return turned(page, quarters, items)


def _pieces(
    draft: Draft, found: list[characters.Character], main: int, sheet: Sheet
) -> list[PageItems]:
    """Return the pieces of a page that are turned otherwise than its most, each upright."""
    parts: list[PageItems] = []
    for quarters in (0, 1, 2, 3, None):
        if quarters == main:
            continue
        if quarters is None:
            items = list(characters.slanted(found))
        else:
            items = characters.group(found, quarters, sheet.size)
        if items:
            width, height = turned_size(quarters or 0, *sheet.size)
            parts.append(
                PageItems(index=draft.index, width=width, height=height, items=tuple(items))
            )
    return parts
