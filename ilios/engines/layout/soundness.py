"""Whether the structure tree of a page tells what a reader sees: many are made carelessly."""

from collections.abc import Sequence
from itertools import chain, pairwise

from .items import Item
from .lines import rows
from .lists import is_marker
from .parts import PROSE_WORDS
from .tree import Piece

MAX_OTHER = 0.05
MAX_OTHER_ITEMS = 200
"""Share of the characters that are no artifacts and not named in the tree, and their items."""

MAX_LOOSE = 0.2
"""Share of the characters in elements of which the tree does not tell what they are."""

MAX_UPWARDS = 0.2
"""Share of the neighbouring pieces of a column of which the second stands above the first."""

MAX_CUT = 0.3
"""Share of the paragraphs that end in the midst of a sentence, which goes on in the next one."""

MAX_HEADING = 0.6
LEAST_WORDS = 40
"""Share of the words that are headings, where there are more words."""

MAX_PARAGRAPH = 0.6
PARAGRAPH_LINES = 15
"""Share of the characters in one paragraph, where it has more lines."""

APART = 1.5
"""White between texts on one line, in their size, that are not of one paragraph."""

GUTTER = 0.4
"""White between two columns, in the size of the text."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def is_sound(pieces: list[Piece], other: Sequence[Item]) -> bool:
    """Whether the pieces are what a reader takes for them, in an order to read."""
    sizes = [_count(piece.items) for piece in pieces]
    total = sum(sizes)
    beside = _count(other)
    if not total or beside > MAX_OTHER * (total + beside) or len(other) > MAX_OTHER_ITEMS:
        return False
    loose = sum(size for piece, size in zip(pieces, sizes, strict=True) if piece.kind == "loose")
    if loose > MAX_LOOSE * total:
        return False
    words = [sum(len(item.text.split()) for item in piece.items) for piece in pieces]
    headed = sum(
        count for piece, count in zip(pieces, words, strict=True) if piece.kind == "heading"
    )
    if sum(words) > LEAST_WORDS and headed > MAX_HEADING * sum(words):
        return False
    for piece, size in zip(pieces, sizes, strict=True):
        if piece.kind in {"paragraph", "item", "quote"} and not _is_paragraph(piece, size / total):
            return False
    return not (_runs_upwards(pieces) or _cuts_sentences(pieces))


def stands_within(pieces: Sequence[Piece], other: Sequence[Item]) -> bool:
    """Whether an item that the tree does not name stands amid the text of an element."""
    boxes = list(map(box_of, pieces)) if other else []
    for item in other:
        x, y = (item.left + item.right) / 2, (item.top + item.bottom) / 2
        if any(box[0] < x < box[2] and box[1] < y < box[3] for box in boxes):
            return True
    return False


def _count(items: Sequence[Item]) -> int:
    return sum(len(item.text) for item in items)


def _is_paragraph(piece: Piece, share: float) -> bool:
    """Whether a piece is not several texts that stand beside or below each other."""
    for group in chain.from_iterable(map(column_groups, piece.paragraphs)):
        found = rows(group)
        if share > MAX_PARAGRAPH and len(found) > PARAGRAPH_LINES:
            return False
        apart = sum(
            other.left - one.right > APART * one.size
            for row in found
            for one, other in pairwise(sorted(row, key=lambda item: item.left))
        )
        if len(found) > 2 and 2 * apart >= len(found):
            return False
    return True


def column_groups(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items of a paragraph by columns, where it goes on at the top of the next one."""
    groups: list[list[Item]] = []
    right = 0.0
    for item in sorted(items, key=lambda item: item.left):
        marked = groups and len(groups[-1]) == 1 and is_marker(groups[-1][0].text.strip())
        if groups and (marked or item.left - right <= GUTTER * item.size):
            groups[-1].append(item)
        else:
            groups.append([item])
        right = max(right, item.right)
    if len(groups) > 1 and all(map(_follows, groups, groups[1:])):
        return groups
    return [list(items)]


def _follows(one: Sequence[Item], other: Sequence[Item]) -> bool:
    """Whether the text in a column goes on in the next one, and does not stand beside it."""
    apart = min(item.top for item in one) - min(item.top for item in other)
    lines = [len(rows(group)) for group in (one, other)]
    words = [sum(len(item.text.split()) for item in group) for group in (one, other)]
    prose = all(count >= PROSE_WORDS * number for count, number in zip(words, lines, strict=True))
    return apart > max(item.size for item in one) or (prose and min(lines) > 1)


def _runs_upwards(pieces: Sequence[Piece]) -> bool:
    upwards = total = 0
    boxes = [box_of(piece) for piece in pieces]
    for one, other in pairwise(boxes):
        common = min(one[2], other[2]) - max(one[0], other[0])
        if common > 0.5 * min(one[2] - one[0], other[2] - other[0]):
            total += 1
            upwards += other[1] + other[3] < one[1] + one[3] and other[3] < one[3]
    return upwards > MAX_UPWARDS * total and upwards > 1


def _cuts_sentences(pieces: Sequence[Piece]) -> bool:
    paragraphs = [piece for piece in pieces if piece.kind == "paragraph"]
    cut = sum(
        one.items[-1].text[-1:].islower() and other.items[0].text[:1].islower()
        for one, other in pairwise(paragraphs)
    )
    return cut > MAX_CUT * len(paragraphs) and cut > 2


def box_of(piece: Piece) -> Box:
    items = piece.items
    return (
        min(item.left for item in items),
        min(item.top for item in items),
        max(item.right for item in items),
        max(item.bottom for item in items),
    )


def follows_in_line(one: Box, other: Box) -> bool:
    """Whether a line stands close to the right of another one."""
    height = other[3] - other[1]
    return (
        one[1] < (other[1] + other[3]) / 2 < one[3] < one[1] + 2 * height
        and 0 <= other[0] - one[2] < APART * height
    )
