"""Reading of a page: what stands where, from its text layer or by recognition."""

import re
from collections.abc import Iterable, Sequence
from itertools import chain

import pypdfium2
from liteparse.types import ParsedPage
from msgspec.structs import replace

from ilios.engines.layout.document import lay_out
from ilios.engines.layout.items import Figure, Item, PageItems
from ilios.engines.pdf import characters
from ilios.engines.pdf.appearances import AppearanceReader
from ilios.engines.pdf.beside import Beside, read_beside
from ilios.engines.pdf.conservation import conserved
from ilios.engines.pdf.document import plain_text
from ilios.engines.pdf.draft import Draft
from ilios.engines.pdf.geometry import Rect, Sheet, View
from ilios.engines.pdf.images import ImageExtractor
from ilios.engines.pdf.items import text_items, with_items, with_pictures
from ilios.engines.pdf.judging import Judge
from ilios.engines.pdf.layers import by_characters, take_items, without_fonts
from ilios.engines.pdf.marked_content import (
    Contents,
    read_contents,
    with_alternatives,
    with_tree,
)
from ilios.engines.pdf.missing import missing_words
from ilios.engines.pdf.objects import PageObjects, page_objects
from ilios.engines.pdf.scans import PageReader, compare
from ilios.engines.pdf.structure import Tree
from ilios.engines.pdf.unseen import SeenPages, without_unseen
from ilios.engines.pdf.without_glyphs import fonts_without_glyphs
from ilios.engines.recognition.ocr import ImageText
from schemas.options import RecognitionMode
from schemas.warnings import page_warning

FULL_COVERAGE = 0.5
FULL_PICTURE_CHARS = 600
"""With more characters on it, a picture that covers so much of the page is a background."""

PICTURE_CHARS = 3000
"""On a page with more characters, pictures beside the text are not read."""

PICTURE_WORDS = 60
"""The text of a picture with fewer words is labels, and no line of it a heading."""

LEAST_HIDDEN = 20
"""Characters that are not seen, of which a reader is informed: fewer are remains of the layout."""

_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)


class DocumentReader:
    """Reads the pages of one document, in their order."""

    def __init__(
        self,
        document: pypdfium2.PdfDocument,
        appearances: AppearanceReader,
        reader: PageReader,
        mode: RecognitionMode,
        *,
        image_bytes: int = 0,
        layered_forms: bool = False,
    ) -> None:
        """Read nothing yet; ``image_bytes`` are those of images that are handed out already."""
        self._layered_forms = layered_forms
        self._pages = SeenPages(document)
        self._appearances = appearances
        self._reader = reader
        self._judge = Judge(reader, mode)
        self._pictures = mode == "auto"
        self._images = ImageExtractor(document, image_bytes)

    def read(self, index: int, parsed: ParsedPage | None, tree: Tree | None = None) -> Draft:
        """Return a page; ``parsed`` is None where the native parser failed.

        ``tree`` is the structure tree of a tagged page.
        """
        with self._pages.open(index) as page:
            if page is None:
                return Draft(index, warnings=[page_warning("page_unreadable")])
            sheet = Sheet.of(page)
            objects = page_objects(page, sheet, layered_forms=self._layered_forms)
            unseen, left_out = self._pages.look(page, sheet, objects, index)
            fonts = fonts_without_glyphs(objects.drawn)
            textpage = page.get_textpage()
            try:
                parsed = without_unseen(parsed, unseen)
                draft = self._read(index, page, textpage, objects, parsed, tree or ())
            finally:
                textpage.close()
        if left_out >= LEAST_HIDDEN and not draft.recognised:
            draft.warnings.append(page_warning("hidden_text_left_out", str(left_out)))
        if fonts:
            detail = f"texts in fonts that are not in the file ({fonts})"
            draft.warnings.append(page_warning("page_incomplete", detail))
        return draft

    def outline(self, index: int, parsed: ParsedPage | None, tree: Tree | None = None) -> Draft:
        """Return a page without what has to be recognised, for the style of its document."""
        draft = Draft(index)
        with self._pages.open(index) as page:
            if page is None:
                return draft
            sheet = Sheet.of(page)
            objects = page_objects(page, sheet, layered_forms=self._layered_forms)
            unseen, _ = self._pages.look(page, sheet, objects, index)
            textpage = page.get_textpage()
            try:
                draft = Draft(index, sheet.size, plain_text(textpage))
                parsed = without_unseen(parsed, unseen)
                draft.outline = self._outline(draft, page, textpage, objects, parsed, tree or ())
            finally:
                textpage.close()
        return draft

    def reread(self, draft: Draft) -> PageItems | None:
        """Return a page once more, in PDFium's own order and with its blanks."""
        with self._pages.open(draft.index) as page:
            if page is None or draft.items is None or draft.by_characters:
                return None
            textpage = page.get_textpage()
            before = draft.items
            try:
                again = by_characters(draft, textpage, Sheet.of(page), before, draft.links)
                # A page that is mostly upright when it is parsed is mostly upright here, too.
                return replace(with_items(again, draft.values), figures=before.figures)
            finally:
                textpage.close()

    def plain_text(self, draft: Draft) -> str:
        """Return the text layer in PDFium's order, its lines parted as they are seen."""
        with self._pages.open(draft.index) as page:
            if page is None:
                return draft.layer
            textpage = page.get_textpage()
            sheet = Sheet.of(page)
            try:
                found = characters.read_characters(textpage, sheet, cut=True)
            finally:
                textpage.close()
        text = characters.text_by_rows(found, sheet.size)
        return text if conserved(draft.layer, text).sound else draft.layer

    def settle(self, draft: Draft) -> ImageText | None:
        """Decide by recognition whether PDFium or the parser reads a page as it is seen.

        Where it is the parser, its text becomes the ``layer``; where it is neither, the
        recognition is returned. Without a decision nothing changes.
        """
        with self._pages.open(draft.index) as page:
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
        with self._pages.open(draft.index) as page:
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
        with self._pages.open(draft.index) as page:
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
        objects: PageObjects,
        parsed: ParsedPage | None,
        tree: Tree,
    ) -> Draft:
        sheet = Sheet.of(page)
        draft = Draft(index, sheet.size, plain_text(textpage))
        verdict = self._judge.judge(page, draft.layer, objects, parsed, index)
        draft.warnings = list(verdict.warnings)
        if verdict.recognised:
            draft.recognised = verdict.recognised
            draft.method = "recognition"
            draft.outline = self._outline(draft, page, textpage, objects, parsed, tree)
            _put_beside(draft, read_beside(page, parsed, (), View(sheet), None))
            return draft
        draft.items = take_items(draft, textpage, sheet, parsed)
        if verdict.noisy_fonts and parsed:
            self._replace_noise(draft, page, textpage, sheet, parsed, verdict.noisy_fonts)
        contents = read_contents(page, sheet) if tree else Contents([], {})
        draft.items = _tagged(draft, draft.items, tree, contents, textpage)
        view = View(sheet, draft.turned)
        beside = read_beside(page, parsed, draft.items.items, view, (self._appearances, index))
        _put_beside(draft, beside)
        places = [view.place(one.rect) for one in objects.pictures]
        drawn = [_drawn(draft, lines, view) for lines in beside.drawn]
        shown = self._figures(draft, page, objects, view, beside) if places else []
        shown = with_alternatives(shown, tree, contents, view)
        draft.items = replace(
            with_pictures(with_items(draft.items, draft.values), places),
            figures=(*shown, *drawn, *beside.comments),
            # Which label a value stands beside is seen by their places alone.
            tree=() if draft.values else draft.items.tree,
        )
        return draft

    def _outline(
        self,
        draft: Draft,
        page: pypdfium2.PdfPage,
        textpage: pypdfium2.PdfTextPage,
        objects: PageObjects,
        parsed: ParsedPage | None,
        tree: Tree,
    ) -> PageItems | None:
        """Return the items of a page that has a text layer, believed or not."""
        if not self._judge.has_layer(draft.layer, objects, parsed):
            return None
        sheet = Sheet.of(page)
        apart = Draft(draft.index, sheet.size, draft.layer)
        apart.items = take_items(apart, textpage, sheet, parsed)
        if tree:
            contents = read_contents(page, sheet)
            apart.items = _tagged(apart, apart.items, tree, contents, textpage)
        view = View(sheet, apart.turned)
        beside = read_beside(
            page, parsed, apart.items.items, view, (self._appearances, draft.index)
        )
        drawn = [_drawn(apart, lines, view) for lines in beside.drawn]
        places = [view.place(one.rect) for one in objects.pictures]
        items = with_pictures(with_items(apart.items, beside.values), places)
        return replace(
            items,
            figures=(*drawn, *beside.comments),
            tree=() if beside.values else items.tree,
        )

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
        if draft.images.left_out:
            draft.warnings.append(page_warning("images_left_out", str(draft.images.left_out)))
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
        textpage: pypdfium2.PdfTextPage,
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
        draft.items = without_fonts(draft, textpage, sheet, parsed, fonts, seen)
        draft.layer = "\n".join(item.text for item in draft.items.items)
        draft.method = "mixed"
        draft.warnings.append(page_warning("text_layer_untrusted"))


def _tagged(
    draft: Draft,
    items: PageItems,
    tree: Tree,
    contents: Contents,
    textpage: pypdfium2.PdfTextPage,
) -> PageItems:
    """Return the items of a page with its tree, unless they are read in another order."""
    if draft.by_characters or not contents.texts:
        return items
    return with_tree(items, tree, contents, textpage)


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
