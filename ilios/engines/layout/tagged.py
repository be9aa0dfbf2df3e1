"""Layout of a tagged page by its structure tree, where that is sound."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from msgspec import Struct
from msgspec.structs import replace

from . import columns, lists, tree
from .blocks import BROKEN_LINE, Block, read_column
from .fonts import Fonts
from .headings import RANK_STEP, is_heading
from .items import ARTIFACT, Figure, Item, PageItems
from .lines import append_text, first_fits, linked_text, make_lines, rows
from .parts import Part
from .running import LARGEST, ZONE, Running
from .soundness import (
    Box,
    box_of,
    column_groups,
    follows_in_line,
    is_sound,
    stands_within,
)
from .strokes import Rule
from .tables import Table, cell_text
from .tree import Cell, Piece

HEADING_WORDS = 30
"""A heading of more words is a paragraph."""

MAX_ITEMS = 8000


class TagStyle(Struct, frozen=True):
    """What the tags of a document have in common.

    ``largest`` is the size of the largest heading, 0 without any. The levels are those of the tree
    if they are ``ranked``, and not one level for all sizes.
    """

    largest: float = 0.0
    ranked: bool = True


class TaggedPage(Struct):
    """The pieces of a page in reading order, and its running lines."""

    pieces: list[Piece]
    running: Running


def measure(pages: Sequence[PageItems]) -> TagStyle:
    """Return the style of the tags of a document's pages."""
    sizes: dict[str, set[float]] = {}
    for page in pages:
        if not page.tree:
            continue
        contents = _contents(page.items)
        largest = {at: max(item.size for item in items) for at, items in contents.items()}
        for element in tree.elements(page.tree):
            if element.role in tree.HEADINGS:
                found = [largest[content] for content in tree.ids([element]) if content in largest]
                if found:
                    sizes.setdefault(element.role, set()).add(max(found))
    if not sizes:
        return TagStyle()
    every = [size for found in sizes.values() for size in found]
    return TagStyle(max(every), len(sizes) > 1 or max(every) < RANK_STEP * min(every))


def read_tree(
    page: PageItems, running: Running, fonts: Fonts, style: TagStyle
) -> TaggedPage | None:
    """Return a page by its tree; None if it has none, or one that is not sound."""
    if not page.tree or len(page.items) > MAX_ITEMS or any(one.vertical for one in page.items):
        return None
    if any(one.role in tree.CONTENTS for one in tree.elements(page.tree)):
        return None
    parted = [
        part
        for item in page.items
        if id(item) not in running.items and item.text.strip()
        for part in item.parts or (item,)
    ]
    collector = tree.Collector(_contents(parted), monospaced=fonts.monospaced)
    pieces = collector.collect(page.tree)
    running = _with_artifacts(page, parted, running, fonts)
    other = [
        item
        for item in parted
        if item.content not in collector.reached and id(item) not in running.items
    ]
    other = [item for item in other if not lists.LONE_BULLET.fullmatch(item.text.strip())]
    if collector.repeated or not is_sound(pieces, other) or stands_within(pieces, other):
        return None
    if not style.largest and all(piece.kind in {"loose", "paragraph"} for piece in pieces):
        return None
    boxes = list(map(box_of, pieces))
    for row in rows(other):
        _insert(pieces, boxes, Piece("loose", [row]))
    for number, figure in enumerate(page.figures):
        _insert(pieces, boxes, Piece("figure", [[_as_item(figure)]], figure=number))
    return TaggedPage(_merged(pieces), running)


def _as_item(figure: Figure) -> Item:
    return Item(
        left=figure.left,
        top=figure.top,
        right=figure.right,
        bottom=figure.bottom,
        text="",
        size=1.0,
    )


def _contents(items: Sequence[Item]) -> dict[int, list[Item]]:
    contents: dict[int, list[Item]] = {}
    for item in items:
        for part in item.parts or (item,):
            if part.content is not None and part.content >= 0:
                contents.setdefault(part.content, []).append(part)
    return contents


def _with_artifacts(
    page: PageItems, items: Sequence[Item], running: Running, fonts: Fonts
) -> Running:
    """Return the running lines with the artifacts beyond all content at both edges of a page."""
    content = [item for item in items if item.content != ARTIFACT]
    top = min([ZONE * page.height, *(item.top for item in content)])
    bottom = max([(1 - ZONE) * page.height, *(item.bottom for item in content)])
    small = [
        item for item in items if item.content == ARTIFACT and item.size <= LARGEST * fonts.body
    ]
    head = [item for item in small if item.bottom <= top]
    foot = [item for item in small if item.top >= bottom]
    if not head and not foot:
        return running
    return Running(
        "\n".join(filter(None, [running.header, _lines(head)])) or None,
        "\n".join(filter(None, [_lines(foot), running.footer])) or None,
        running.items | set(map(id, head + foot)),
    )


def _lines(items: Sequence[Item]) -> str:
    return "\n".join(line.text for line in make_lines(items))


def _insert(pieces: list[Piece], boxes: list[Box], piece: Piece) -> None:
    """Insert a piece after the one that it follows in a line, or the nearest one above it.

    Else it comes before all that stand below it.
    """
    box = box_of(piece)
    best: tuple[float, int] | None = None
    first = len(pieces)
    for at, (left, top, right, bottom) in enumerate(boxes):
        if follows_in_line(boxes[at], box):
            best = -1.0, at
        if left >= box[2] or right <= box[0]:
            continue
        if top + bottom <= box[1] + box[3]:
            away = max(box[1] - bottom, 0.0)
            if best is None or away <= best[0]:
                best = away, at
        else:
            first = min(first, at)
    place = first if best is None else best[1] + 1
    pieces.insert(place, piece)
    boxes.insert(place, box)


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces; loose ones below each other, or in one line, are laid out together."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if last is not None and last.kind == piece.kind == "loose":
            one, other = box_of(last), box_of(piece)
            before = box_of(Piece("loose", [last.items[-1:]]))
            below = other[1] >= one[3] - 0.5 * (other[3] - other[1])
            common = min(one[2], other[2]) > max(one[0], other[0])
            if (below and common) or follows_in_line(before, other):
                last.paragraphs[0] += piece.items
                continue
        found.append(replace(piece, paragraphs=[piece.items]) if piece.kind == "loose" else piece)
    return found


def page_blocks(
    tagged: TaggedPage, page: PageItems, fonts: Fonts, style: TagStyle, rules: Sequence[Rule]
) -> Iterator[Block]:
    """Yield the blocks of a page in the order of its tree."""
    for piece, after in zip_longest(tagged.pieces, tagged.pieces[1:]):
        if piece.kind == "table":
            yield from _table(piece)
        elif piece.kind == "figure":
            yield Block("figure", page.figures[piece.figure].markdown)
        elif piece.kind == "code":
            yield from _code(piece, fonts)
        elif piece.kind == "loose" or _is_code(piece, fonts):
            for block in _loose(piece.items, fonts, rules):
                is_text = block.kind == "heading" and style.largest
                yield replace(block, kind="paragraph") if is_text else block
        else:
            yield from _text(piece, after, fonts, style)


def _is_code(piece: Piece, fonts: Fonts) -> bool:
    return (
        piece.kind == "paragraph"
        and not fonts.monospaced
        and all(item.monospaced for item in piece.items)
    )


def _text(piece: Piece, after: Piece | None, fonts: Fonts, style: TagStyle) -> Iterator[Block]:
    text = "\n".join(filter(None, map(_paragraph, piece.paragraphs)))
    if not text:
        return
    size = max(item.size for item in piece.items)
    if piece.kind == "heading" and len(text.split()) <= HEADING_WORDS:
        yield Block("heading", text, piece.level if style.ranked else 0, size)
        return
    if piece.kind == "item":
        yield Block("item", text, min(piece.level, lists.MAX_DEPTH - 1))
        return
    if piece.kind == "quote":
        yield Block("quote", text)
        return
    if size > RANK_STEP * style.largest:
        lines = make_lines(piece.items)
        below = make_lines(after.items)[0] if after else None
        right = max(item.right for item in (*piece.items, *(after.items if after else ())))
        if is_heading(lines, below, right, fonts):
            yield Block("heading", text, 1 if style.largest else 0, size)
            return
    yield Block("item" if lists.BULLET.match(text) else "paragraph", text)


def _paragraph(items: Sequence[Item]) -> str:
    """Return the text of a paragraph, column by column; a break made on purpose stays one."""
    text = ""
    for group in column_groups(items):
        lines = make_lines(group)
        left = min((line.left for line in lines), default=0.0)
        right = max((line.right for line in lines), default=0.0)
        for at, line in enumerate(lines):
            more = linked_text(line.items)
            above = lines[at - 1] if at else None
            short = above is not None and above.right - left < BROKEN_LINE * (right - left)
            if above is not None and short and first_fits(above, line, right):
                text = f"{text}\n{more}"
            else:
                text = append_text(text, more)
    return text


def _code(piece: Piece, fonts: Fonts) -> Iterator[Block]:
    shown = [replace(item, monospaced=True) for item in piece.items]
    for block in read_column(shown, replace(fonts, monospaced=False)):
        yield Block("code", block.text) if block.kind == "paragraph" else block


def _loose(items: Sequence[Item], fonts: Fonts, rules: Sequence[Rule]) -> Iterator[Block]:
    parts = [
        Part(one.left, one.top, one.right, one.bottom, one.size, one, code=one.monospaced)
        for one in items
    ]
    for group in columns.in_order(parts):
        found = [part.item for part in group if part.item is not None]
        yield from read_column(found, fonts, rules=rules)


def _table(piece: Piece) -> Iterator[Block]:
    cells = tree.grid(piece.rows)
    texts = {id(cell): _in_one_line(cell) for row in piece.rows for cell in row}
    left, top, right, bottom = box_of(piece)
    shown = [[_shown(cell, texts) for cell in row] for row in cells]
    if not shown:
        return
    yield Block("table", "", table=Table(left, top, right, bottom, shown, piece.items))


def _in_one_line(cell: Cell) -> str:
    """Return the text of a cell; its parts are seen by their bullets, or parted by semicolons."""
    text = ""
    for part in cell.parts:
        more = lists.with_bullet(cell_text(part))
        between = " " if lists.marker(more) else "; "
        text += between + more if text and more else more
    return text


def _shown(cell: Cell | None, texts: dict[int, str]) -> str:
    return texts[id(cell)] if cell is not None else ""
