"""Lines of text: items that stand side by side, with the spaces between them."""

import itertools
import re
from collections.abc import Iterable, Sequence
from statistics import median
from urllib.parse import quote

from msgspec import Struct

from .items import Item

SAME_ROW = 0.5
"""Share of the lower box's height by which two boxes of a row overlap."""

SPACE = 0.15
"""Gap between two phrases, in their size, from which on a space stands between them."""

OVERLAP = 0.5
"""Overlap, in their size, from which on two phrases are not pieces of one word."""

CELL_GAP = 0.9
"""Gap, in the size of the font, between two cells of a table row."""

WORD_SLACK = 1.3
"""Most ratio of a word's estimated width to its true width."""

TALL = 1.8
"""Ratio to the median height of an initial or a bracket that reaches over several lines."""

MAX_TALL = 100
"""With more tall items on a page, they are lines like others."""

MAX_HYPHENS = 2
"""Hyphens of a word, that at the end of the line among them, of which the last may divide it."""

INITIAL_CHARS = 12
"""An initial may be one item with the rest of its word."""

_ENDS_TARGET = re.compile(r"[\s<>]")
_PARENTHESIS = re.compile(r"[()]")
_ONE_LETTER_WORDS = frozenset("AEIOUY")
_CONJUNCTIONS = frozenset({"and", "or", "und", "oder", "sowie", "bzw."})
_RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_LTR = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u052f\u3040-\u9fff]")
_WIDE = re.compile("[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef]")
"""Scripts written without spaces, and their punctuation."""


class Line(Struct):
    """Items of one line from left to right, and the box around them."""

    left: float
    top: float
    right: float
    bottom: float
    size: float
    items: list[Item]
    bold: bool = False
    italic: bool = False
    monospaced: bool = False
    text: str = ""

    @property
    def middle(self) -> float:
        """Vertical middle of the box."""
        return (self.top + self.bottom) / 2


def make_line(items: Sequence[Item]) -> Line:
    """Return the line of items that stand side by side."""
    ordered = reading_order(items)
    chars = bold = italic = monospaced = 0
    sizes: dict[float, int] = {}
    for item in ordered:
        count = len(item.text)
        chars += count
        bold += count * item.bold
        italic += count * item.italic
        monospaced += count * item.monospaced
        sizes[item.size] = sizes.get(item.size, 0) + count
    return Line(
        min(item.left for item in ordered),
        min(item.top for item in ordered),
        max(item.right for item in ordered),
        max(item.bottom for item in ordered),
        max(sizes, key=lambda size: (sizes[size], size)),
        ordered,
        bold >= 0.9 * chars,
        italic >= 0.9 * chars,
        monospaced >= 0.9 * chars,
        join_text(ordered),
    )


def reading_order(items: Sequence[Item]) -> list[Item]:
    """Return the items of a row in reading order; one printed twice to look bold only once."""
    if len(items) == 1:
        return list(items)
    ordered = sorted(items, key=lambda item: item.left)
    kept = ordered[:1]
    for item in ordered[1:]:
        last = kept[-1]
        if not (item.text == last.text and item.left - last.left < 0.15 * item.size):
            kept.append(item)
    if any(_RTL.search(item.text) for item in kept):
        return _right_to_left(kept) if is_rtl(item.text for item in kept) else _quoted(kept)
    return kept


def is_rtl(texts: Iterable[str]) -> bool:
    """Whether most letters are of a script written from right to left."""
    rtl = ltr = 0
    for text in texts:
        rtl += len(_RTL.findall(text))
        ltr += len(_LTR.findall(text))
    return rtl > ltr


def _right_to_left(items: list[Item]) -> list[Item]:
    """Return the items from right to left; runs of other scripts stay from left to right."""
    ordered: list[Item] = []
    run: list[Item] = []
    for item in reversed(items):
        if _RTL.search(item.text) or not _LTR.search(item.text):
            ordered += reversed(run)
            run = []
            ordered.append(item)
        else:
            run.append(item)
    return ordered + run[::-1]


def _quoted(items: list[Item]) -> list[Item]:
    """Return items from left to right; words amid them that are written from right to left stay so.

    Those in different cells of a table are no run.
    """
    ordered: list[Item] = []
    run: list[Item] = []  # what is written from right to left
    after: list[Item] = []  # numbers and signs that may belong to it
    for item in items:
        last = after[-1:] or run[-1:]
        if last and item.left - last[0].right > CELL_GAP * min(item.size, last[0].size):
            ordered += run[::-1] + after
            run, after = [], []
        if _RTL.search(item.text) and not _LTR.search(item.text):
            run += [*after, item]
            after = []
        elif run and not _LTR.search(item.text):
            after.append(item)
        else:
            ordered += [*run[::-1], *after, item]
            run, after = [], []
    return ordered + run[::-1] + after


def spaced(one: Item, other: Item) -> bool:
    """Whether a space stands between two neighbouring items."""
    gap = max(other.left - one.right, one.left - other.right)
    size = min(one.size, other.size)
    if gap < -OVERLAP * size:
        return True
    if _is_initial_of(one, other):
        return False
    if gap <= SPACE * size:
        return False
    return not (
        _WIDE.match(one.text[-1:]) and _WIDE.match(other.text[:1]) and gap < CELL_GAP * one.size
    )


def _is_initial_of(one: Item, other: Item) -> bool:
    """Whether a large letter is the first of the word after it, and no word by itself."""
    if not (one.size > TALL * other.size and len(one.text) == 1 and one.text.isupper()):
        return False
    rest = other.text.split(" ", 1)[0]
    return rest[:1].islower() and (one.text not in _ONE_LETTER_WORDS or len(rest) == 1)


def join_text(items: Sequence[Item]) -> str:
    """Return the text of neighbouring items with the spaces between them."""
    if len(items) == 1:
        return items[0].text.strip()
    parts = [items[0].text]
    for one, other in itertools.pairwise(items):
        if spaced(one, other):
            parts.append(" ")
        parts.append(other.text)
    return " ".join("".join(parts).split())


def linked_text(items: Sequence[Item]) -> str:
    """Return the text of neighbouring items with their links as Markdown."""
    if not any(item.link for item in items):
        return join_text(items)
    text = ""
    run: list[Item] = []
    for item in items:
        if run and item.link != run[-1].link:
            text += _link(run) + (" " if spaced(run[-1], item) else "")
            run = []
        run.append(item)
    return (text + _link(run)).strip()


def _link(run: list[Item]) -> str:
    label = join_text(run)
    target = run[0].link
    if not target or not label:
        # The spaces of an unlinked phrase beside a link are its own.
        start = " " if run[0].text[:1].isspace() else ""
        end = " " if run[-1].text[-1:].isspace() else ""
        return start + label + end
    label = label.replace("[", r"\[").replace("]", r"\]")
    return f"[{label}]({_encode_target(target)})"


def _encode_target(target: str) -> str:
    """Percent-encode what would end the target of a link in Markdown.

    Pairs of parentheses stay: CommonMark allows them, and they are usual in addresses.
    """
    target = _ENDS_TARGET.sub(lambda found: quote(found[0], safe=""), target)
    depth = 0
    for parenthesis in _PARENTHESIS.findall(target):
        depth += 1 if parenthesis == "(" else -1
        if depth < 0:
            break
    return target if depth == 0 else _PARENTHESIS.sub(lambda found: f"%{ord(found[0]):X}", target)


def rows(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items row by row, each from left to right."""
    if len(items) < 2:
        return [list(items)] if items else []
    usual = median([item.bottom - item.top for item in items])
    tall = [item for item in items if _is_tall(item, usual)]
    if len(tall) > MAX_TALL:
        tall = []
    normal = [item for item in items if not _is_tall(item, usual)] if tall else list(items)
    found: list[list[Item]] = []
    top = bottom = float("-inf")
    for item in sorted(normal, key=lambda item: item.top + item.bottom):
        height = item.bottom - item.top
        overlap = min(bottom, item.bottom) - max(top, item.top)
        if found and overlap > SAME_ROW * min(height, bottom - top):
            found[-1].append(item)
            if height > bottom - top:
                top, bottom = item.top, item.bottom
        else:
            found.append([item])
            top, bottom = item.top, item.bottom
    for item in tall:
        _attach(item, found)
    return found


def _is_tall(item: Item, usual: float) -> bool:
    return item.bottom - item.top > TALL * usual and len(item.text.strip()) <= INITIAL_CHARS


def _attach(item: Item, found: list[list[Item]]) -> None:
    """Add a tall item to the row where it belongs: an initial to the first, a bracket amid."""
    near = [
        row
        for row in found
        if row[0].top < item.bottom
        and row[0].bottom > item.top
        and any(abs(other.left - item.right) < 1.5 * other.size for other in row)
    ]
    if len(near) < 2 or min(row[0].top for row in near) < item.top - item.size / 2:
        near = [row for row in found if _beside(item, row)]
    if not near:
        at = next((i for i, row in enumerate(found) if row[0].top > item.top), len(found))
        found.insert(at, [item])
    elif item.text.strip().isalpha():
        min(near, key=lambda row: row[0].top).append(item)
    else:
        middle = item.top + item.bottom
        min(near, key=lambda row: abs(row[0].top + row[0].bottom - middle)).append(item)


def _beside(item: Item, row: list[Item]) -> bool:
    """Whether the middle of a row lies within the height of an item, as those of one line do."""
    middle = (row[0].top + row[0].bottom) / 2
    return item.top < middle < item.bottom


def make_lines(items: Sequence[Item]) -> list[Line]:
    """Return the lines of a region from top to bottom."""
    return [make_line(row) for row in rows(items)]


def cells(line: Line, gap: float = CELL_GAP) -> list[Line]:
    """Return a line in pieces, split where there are wide gaps."""
    items = sorted(line.items, key=lambda item: item.left)
    groups = [[items[0]]]
    right = items[0].right
    for item in items[1:]:
        if item.left - right > gap * min(item.size, line.size):
            groups.append([item])
        else:
            groups[-1].append(item)
        right = max(right, item.right)
    return [make_line(group) for group in groups] if len(groups) > 1 else [line]


def first_fits(above: Line, line: Line, right: float) -> bool:
    """Whether the first word of a line would have fitted at the end of the line above."""
    first = len(line.text.split(" ", 1)[0]) / max(len(line.text), 1) * (line.right - line.left)
    return right - above.right > WORD_SLACK * first + line.size


def append_text(text: str, more: str) -> str:
    """Return the text of a line with that of the next: without the hyphen of a divided word."""
    if not text or not more:
        return text or more
    if text[-1] in "-\u2010" and text[-2:-1].isalnum() and more[0].isalnum():
        return _without_hyphen(text, more)
    if text[-1] == "\u00ad":
        return text[:-1] + more
    if text[-1] in "\u2013\u2014" and text[-2:-1].isalnum() and more[0].isalnum():
        return text + more
    if _WIDE.match(text[-1]) and _WIDE.match(more[0]):
        return text + more
    return f"{text} {more}"


def _without_hyphen(text: str, more: str) -> str:
    """Return the text of a line that ends in a hyphen with that of the next.

    The hyphen stays before a number or a capital, where a part of a compound is left out, and after
    several: state-of-the-art, and names of options.
    """
    if more.split(" ", 1)[0] in _CONJUNCTIONS:
        return f"{text} {more}"
    parts = text.rsplit(" ", 1)[-1].count("-")
    divided = parts <= MAX_HYPHENS and is_divided(text, more)
    return (text[:-1] if divided else text) + more


def is_divided(text: str, more: str) -> bool:
    """Whether a word is divided at the end of a line, and goes on in the next."""
    return text[-1:] in "-\u2010" and text[-2:-1].isalpha() and more[:1].islower()
