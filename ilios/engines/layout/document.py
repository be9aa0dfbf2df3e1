"""Layout of a document's pages: their blocks in reading order, as Markdown."""

from collections.abc import Callable, Iterator, Sequence
from math import isfinite

from msgspec import Struct
from msgspec.structs import replace

from ilios.engines.converters import markdown
from schemas.results import PageHeading, PageTable

from . import columns, figures, fonts, headings, running, strokes, tables, tagged, vertical
from .blocks import Block, read_column
from .crossing import split_at_rules
from .drawn_bullets import with_drawn_bullets
from .items import Figure, Item, PageItems
from .lines import make_line, rows
from .parts import Part
from .render import render

BOX_MARGIN = 0.1
SIZE_SHARE = 0.75
"""Margin of the box of a recognised line on each side, and its font, as shares of its height."""

FARTHEST = 1e9
SMALLEST = 1e-3
"""Bounds of coordinates and sizes in points; a PDF may name any number."""

MAX_ITEMS = 8000
"""A page with more items is read line by line."""


class Style(Struct, frozen=True):
    """What the pages of a document have in common: their fonts, tags, and sizes of headings."""

    fonts: fonts.Fonts
    sizes: frozenset[float]
    whole: bool
    tags: tagged.TagStyle = tagged.TagStyle()


class LaidOutPage(Struct, frozen=True, kw_only=True):
    """A page in Markdown; ``index`` counts from 0. A header or footer is not in ``markdown``."""

    index: int
    markdown: str
    header: str | None = None
    footer: str | None = None
    headings: tuple[PageHeading, ...] = ()
    tables: tuple[PageTable, ...] = ()
    style: Style | None = None


def lay_out(
    pages: Sequence[PageItems],
    *,
    noisy: bool = False,
    whole: bool = True,
    on_page: Callable[[], None] = lambda: None,
) -> list[LaidOutPage]:
    """Return the pages with their items in reading order.

    The pages are those of one document: headings are found by its fonts, and lines that stand on
    several pages are its running headers and footers.

    :param whole: whether these are all pages of the document, by which its headings are ranked.
    :param on_page: called after the longest step of each page.
    :param noisy: whether the sizes of the items are only the heights of recognised lines.
    """
    pages = list(map(_prepared, pages))
    if noisy:
        pages = list(map(_without_margins, pages))
    usual = fonts.measure(pages, noisy=noisy)
    style = Style(usual, frozenset(), whole, tagged.measure(pages))
    return _with_levels(pages, running.find_running(pages, usual), style, on_page)


def lay_out_again(page: PageItems, before: LaidOutPage) -> LaidOutPage:
    """Return a page with other items, in the style and with the running lines of its document.

    :param before: the layout of the page among those of its document.
    """
    page = _prepared(page)
    style = before.style or Style(fonts.measure([page]), frozenset(), whole=True)
    edges = running.same_running(page, before.header, before.footer, style.fonts)
    [laid] = _with_levels([page], [edges], style, lambda: None)
    return laid


def _with_levels(
    pages: Sequence[PageItems],
    edges: Sequence[running.Running],
    style: Style,
    on_page: Callable[[], None],
) -> list[LaidOutPage]:
    """Return the pages without their running lines, and with the levels of their headings."""
    blocks = []
    shown: list[running.Running] = []
    for page, one in zip(pages, edges, strict=True):
        by_tree = _by_tree(page, one, style)
        shown.append(by_tree[0] if by_tree else one)
        blocks.append(by_tree[1] if by_tree else list(_page_blocks(page, one, style.fonts)))
        on_page()
    found = [block for page in blocks for block in page if block.kind == "heading"]
    found = [block for block in found if not block.level]
    sizes = style.sizes.union(block.size for block in found)
    levels = headings.heading_levels(sizes, style.fonts, whole=style.whole)
    for block in found:
        block.level = levels[block.size]
    style = replace(style, sizes=sizes)
    return [
        _laid_out(page.index, one, found, style)
        for page, one, found in zip(pages, shown, blocks, strict=True)
    ]


def _prepared(page: PageItems) -> PageItems:
    return with_drawn_bullets(vertical.with_stacked(_sound(page)))


def _sound(page: PageItems) -> PageItems:
    """Return a page on which every box and size is one to calculate with."""
    if all(map(_is_sound, page.items)):
        return page
    items = [item if _is_sound(item) else _mended(item) for item in page.items]
    return replace(page, items=tuple(items))


def _is_sound(item: Item) -> bool:
    return (
        -FARTHEST < item.left <= item.right < FARTHEST
        and -FARTHEST < item.top <= item.bottom < FARTHEST
        and SMALLEST < item.size < FARTHEST
    )


def _mended(item: Item) -> Item:
    left, top, right, bottom = (
        min(max(place, -FARTHEST), FARTHEST) if isfinite(place) else 0.0
        for place in (item.left, item.top, item.right, item.bottom)
    )
    return replace(
        item,
        left=min(left, right),
        top=min(top, bottom),
        right=max(left, right),
        bottom=max(top, bottom),
        size=min(max(item.size, 1.0), FARTHEST) if isfinite(item.size) else 1.0,
        parts=(),
    )


def _without_margins(page: PageItems) -> PageItems:
    """Return a page of recognised lines with the boxes that the text of a PDF has."""
    items = []
    for item in page.items:
        margin = BOX_MARGIN * (item.bottom - item.top) * (not item.vertical)
        side = min(margin, (item.right - item.left) / 4)
        items.append(
            replace(
                item,
                left=item.left + side,
                top=item.top + margin,
                right=item.right - side,
                bottom=item.bottom - margin,
                size=item.size * SIZE_SHARE,
            )
        )
    return replace(page, items=tuple(items))


def _by_tree(
    page: PageItems, edges: running.Running, style: Style
) -> tuple[running.Running, list[Block]] | None:
    """Return the running lines and the blocks of a tagged page; None if its tree is not sound."""
    read = tagged.read_tree(page, edges, style.fonts, style.tags)
    if read is None:
        return None
    flat, _ = strokes.rules(page.strokes)
    blocks = list(tagged.page_blocks(read, page, style.fonts, style.tags, flat))
    if all(block.table is None for block in blocks) and _has_table(page, edges, style):
        return edges, list(_page_blocks(page, edges, style.fonts))
    return read.running, blocks


def _has_table(page: PageItems, edges: running.Running, style: Style) -> bool:
    """Whether a page shows a table: of rules, or of any kind where no heading is tagged either."""
    if style.tags.largest:
        closed, _ = _closed_tables(strokes.grids(*strokes.rules(page.strokes)), list(page.items))
        return bool(closed)
    return any(block.table is not None for block in _page_blocks(page, edges, style.fonts))


def _page_blocks(page: PageItems, edges: running.Running, usual: fonts.Fonts) -> list[Block]:
    items = [item for item in page.items if id(item) not in edges.items and item.text.strip()]
    upright = [item for item in items if not item.vertical]
    blocks = list(_blocks(page, upright, usual))
    texts = vertical.read_vertical([item for item in items if item.vertical])
    return blocks + [Block("paragraph", text) for text in texts]


def _laid_out(index: int, edges: running.Running, blocks: list[Block], style: Style) -> LaidOutPage:
    found = [block.table for block in blocks if block.table is not None]
    return LaidOutPage(
        index=index,
        markdown=render(blocks),
        header=edges.header,
        footer=edges.footer,
        headings=tuple(
            PageHeading(block.level, markdown.one_line(block.text))
            for block in blocks
            if block.kind == "heading"
        ),
        tables=tuple(
            PageTable(f"table-{index}-{number}", markdown.table(table.rows), "markdown")
            for number, table in enumerate(found)
        ),
        style=style,
    )


def _blocks(page: PageItems, items: list[Item], usual: fonts.Fonts) -> Iterator[Block]:
    """Yield the blocks of a page in reading order."""
    if len(items) > MAX_ITEMS:
        for row in rows(items):
            yield Block("paragraph", make_line(row).text)
        yield from (Block("figure", one.markdown) for one in page.figures)
        return
    flat, upright = strokes.rules(page.strokes)
    closed, rest = _closed_tables(strokes.grids(flat, upright), items)
    parts = [
        Part(
            item.left,
            item.top,
            item.right,
            item.bottom,
            item.size,
            item,
            code=item.monospaced and not usual.monospaced,
        )
        for item in rest
    ]
    parts += [
        Part(one.left, one.top, one.right, one.bottom, usual.body, None, at)
        for at, one in enumerate(closed)
    ]
    for group in figures.place(page.figures, columns.in_order(parts)):
        yield from _group_blocks(group, closed, page.figures, usual, flat)


def _closed_tables(
    grids: Sequence[strokes.Grid], items: list[Item]
) -> tuple[list[tables.Table], list[Item]]:
    """Return the tables between rules, and the items outside of them."""
    found = []
    for grid in grids:
        parted = split_at_rules(items, grid)
        beside = [
            item for item in parted if grid.left <= (item.left + item.right) / 2 <= grid.right
        ]
        inside = [
            item for item in beside if grid.top <= (item.top + item.bottom) / 2 <= grid.bottom
        ]
        table = tables.read_grid(grid, inside, beside) if inside else None
        if table is not None:
            found.append(table)
            used = set(map(id, table.items))
            items = [item for item in parted if id(item) not in used]
    return found, items


def _group_blocks(
    group: list[Part],
    closed: list[tables.Table],
    shown: Sequence[Figure],
    usual: fonts.Fonts,
    rules: Sequence[strokes.Rule],
) -> Iterator[Block]:
    """Yield the blocks of a column, with the closed tables and figures between the text."""
    items = sorted(
        (part.item for part in group if part.item is not None),
        key=lambda item: item.top + item.bottom,
    )
    place = 0
    for part in sorted((part for part in group if part.item is None), key=lambda part: part.top):
        start = place
        middle = part.top + part.bottom
        while place < len(items) and items[place].top + items[place].bottom < middle:
            place += 1
        table = closed[part.table] if part.figure < 0 else None
        yield from read_column(items[start:place], usual, table, rules)
        if table is None:
            yield Block("figure", shown[part.figure].markdown)
        else:
            yield Block("table", "", table=table)
    yield from read_column(items[place:], usual, rules=rules)
