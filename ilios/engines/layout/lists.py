"""Lists: their bullets and numbers, and the depth of their items."""

import re

SIGNS = (
    "\u2022\u2023\u2043\u204c\u204d\u2219\u25a0\u25a1\u25aa\u25ab\u25b2\u25b6\u25b8\u25b9\u25ba\u25bb"
    "\u25c6\u25c7\u25cb\u25cf\u25d8\u25e6\u2605\u2606\u2610-\u2612\u2713-\u2718\u2731-\u2736"
    "\u274d\u274f-\u2752\u2756\u2794\u27a2-\u27a4\u27a2\u2b1b\u2b1c\u00b7"
)
"""Bullets, squares, check boxes, ticks, crosses and arrows."""

_PRIVATE = "\ue000-\uf8ff\x01-\x08\x0e-\x1f\x80-\x9f"
"""Glyphs of symbol fonts, which have no meaning as text."""

BULLET = re.compile(
    rf"(?:([{SIGNS}{_PRIVATE}])\s*|([-\u2013\u2014*o\u00d8]|\u00a7(?!\s*\d))\s+)(?=\S)"
)
_PRIVATE_BULLET = re.compile(rf"[{_PRIVATE}]\s*(?=\S)")
LONE_BULLET = re.compile(rf"[{SIGNS}{_PRIVATE}]|[-\u2013\u2014*o\u00a7]")
NUMBER = re.compile(r"(\(?(?:\d{1,2}|[a-z]|[ivx]{1,5}|[A-Z])[.)]|\d{3}\.)\s+(?=\S)")
OUTLINE = re.compile(r"\d{1,2}(?:\.\d{1,3})+\.?\s+(?=\S)")
"""Number of a section, which begins a line of a list of contents."""

LABEL = re.compile(r"\[(?:\d{1,3}|[A-Z][\w+]{1,7})\]\s")
"""Label of a reference, by which it is quoted in the text."""

COUNT = re.compile(r"\(?(\d{1,2})[.)]\s")
"""Number of an item; a list has consecutive ones."""

LONE_NUMBER = re.compile(r"\(?(?:\d{1,3}|[a-z]|[ivx]{1,5}|[A-Z])[.)]")
_BOXES = re.compile("[\u2610-\u2612\u2713-\u2718\u25a1\u274f-\u2752]")
"""Bullets that show whether something is chosen: they stay in the text."""

STEP = 0.6
"""Indentation, in the size of the font, of a deeper item."""

MAX_DEPTH = 6


def is_marker(text: str) -> bool:
    """Whether a text is nothing but the mark of a list item."""
    return bool(LONE_BULLET.fullmatch(text) or LONE_NUMBER.fullmatch(text))


def marker(text: str) -> str:
    """Return the mark with which a line begins a list item; empty if it begins none."""
    match = BULLET.match(text) or NUMBER.match(text)
    return match[0] if match else ""


def with_bullet(text: str) -> str:
    """Return a text with a bullet that has a meaning in place of the glyph of a symbol font."""
    match = _PRIVATE_BULLET.match(text)
    return f"\u2022 {text[match.end() :]}" if match else text


def item_text(text: str) -> str:
    """Return a list item in Markdown, without indentation; numbers stay as they are."""
    match = BULLET.match(text)
    if not match:
        return text if re.match(r"\d+[.)]\s", text) else f"- {text}"
    rest = text[match.end() :]
    return f"- {match[0].strip()} {rest}" if _BOXES.match(text) else f"- {rest}"


class Depths:
    """The left edges of the items of a list, by which its items are nested."""

    def __init__(self) -> None:
        self._lefts: list[float] = []

    def reset(self) -> None:
        """Begin another list."""
        self._lefts = []

    def depth(self, left: float, size: float) -> int:
        """Return the depth of the next item from 0, at the given left edge."""
        while self._lefts and left < self._lefts[-1] - STEP * size:
            self._lefts.pop()
        if not self._lefts or left > self._lefts[-1] + STEP * size:
            self._lefts.append(left)
        return min(len(self._lefts), MAX_DEPTH) - 1
