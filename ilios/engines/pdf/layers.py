"""The text layer of a page as items: as the parser has it, or in PDFium's order."""

from collections.abc import Sequence

import pypdfium2
from liteparse.types import ParsedPage
from msgspec.structs import replace

from ilios.engines.layout.items import Item, PageItems
from ilios.engines.pdf import characters
from ilios.engines.pdf.accents import compose, has_accents, with_accents
from ilios.engines.pdf.document import plain_text
from ilios.engines.pdf.draft import Draft
from ilios.engines.pdf.geometry import Sheet, View, turned_size
from ilios.engines.pdf.items import MAX_ITEMS, page_items, turned, turned_characters, with_items
from ilios.engines.pdf.leaders import with_leaders
from ilios.engines.pdf.links import MAX_LINKS, Link, links_of, put_links
from ilios.engines.pdf.missing import lone_numbers
from ilios.engines.pdf.raised import with_raised
from ilios.engines.pdf.turned import inside_tables
from ilios.engines.pdf.typography import restored
from schemas.warnings import page_warning

TURNED_SHARE = 0.5
"""Share of the characters that are turned on a page that is read turned."""

SQUARE_SHARE = 0.3
"""Share of Chinese, Japanese or Korean letters on a page that may be written vertically."""


def take_items(
    draft: Draft, textpage: pypdfium2.PdfTextPage, sheet: Sheet, parsed: ParsedPage | None
) -> PageItems:
    """Return the items of a page, of which ``parsed`` is None where the parser failed."""
    if parsed is None:
        return by_characters(draft, textpage, sheet, None, ())
    links = links_of(parsed.annotations)
    if len(links) > MAX_LINKS:
        draft.warnings.append(page_warning("links_left_out", str(len(links) - MAX_LINKS)))
        links = links[:MAX_LINKS]
    draft.links = tuple(links)
    draft.targets = tuple(dict.fromkeys(link.target for link in links))
    if len(parsed.text_items) > MAX_ITEMS:
        return by_characters(draft, textpage, sheet, None, links)
    upright, other = turned_characters(parsed.text_items)
    page = page_items(parsed, draft.index)
    text = "\n".join(item.text for item in parsed.text_items)
    if (
        other > TURNED_SHARE * (upright + other)
        or characters.is_right_to_left(text)
        or characters.square_count(text) > SQUARE_SHARE * len(text)
        or (not parsed.text_items and draft.layer.strip())
    ):
        return by_characters(draft, textpage, sheet, page, links)
    page = _completed(draft, page, textpage, sheet)
    if other:
        found = characters.read_characters(textpage, sheet)
        inside, found = inside_tables(page, found, sheet)
        page = with_items(page, inside)
        draft.parts = _pieces(draft, found, 0, sheet)
    return page


def without_fonts(
    draft: Draft,
    textpage: pypdfium2.PdfTextPage,
    sheet: Sheet,
    parsed: ParsedPage,
    fonts: frozenset[str | None],
    instead: Sequence[Item],
) -> PageItems:
    """Return the upright items of a page with others in place of those of some fonts."""
    page = with_items(page_items(parsed, draft.index, fonts), instead)
    draft.layer = plain_text(textpage)
    return _completed(draft, page, textpage, sheet)


def _completed(
    draft: Draft, page: PageItems, textpage: pypdfium2.PdfTextPage, sheet: Sheet
) -> PageItems:
    """Return the page with what the parser drops of its text, and its links."""
    layer = draft.layer
    page, draft.layer = with_accents(page, textpage, sheet, layer)
    items = with_leaders(restored(page.items, draft.layer), draft.layer)
    page = replace(page, items=tuple(items))
    page = with_items(page, lone_numbers(textpage, sheet, layer, page.items))
    linked = _linked(draft, page.items, draft.links, textpage, View(sheet))
    return replace(page, items=with_raised(linked, textpage, sheet, layer))


def _linked(
    draft: Draft,
    items: Sequence[Item],
    links: Sequence[Link],
    textpage: pypdfium2.PdfTextPage,
    view: View,
) -> list[Item]:
    if not links:
        return list(items)
    linked = put_links(items, links, textpage, view)
    if linked.left_out:
        draft.warnings.append(page_warning("links_left_out", str(linked.left_out)))
    return linked.items


def by_characters(
    draft: Draft,
    textpage: pypdfium2.PdfTextPage,
    sheet: Sheet,
    page: PageItems | None,
    links: Sequence[Link],
) -> PageItems:
    """Return a page in PDFium's own order, turned upright, with the drawings of ``page``."""
    found = characters.read_characters(textpage, sheet)
    if has_accents(draft.layer):
        found, composed = compose(found)
        draft.layer = characters.text_of(found) if composed else draft.layer
    quarters = characters.main_direction(found)
    items = characters.group(found, quarters, sheet.size)
    items = _linked(draft, items, links, textpage, View(sheet, quarters))
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
