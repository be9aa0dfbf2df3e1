"""Lists of an OpenDocument text: numbers that go on, levels, items of several blocks."""

import re
from collections.abc import Callable
from typing import Any

from ilios.engines.converters.list_levels import followed
from ilios.engines.converters.odf.names import attribute, count, tag
from ilios.engines.converters.odf.numbering import Counters
from ilios.engines.converters.odf.styles import MAX_LEVEL, Level, Styles

_MARKDOWN_NUMBER = re.compile(r"\d{1,9}[.)]")
_OTHER_START = re.compile(r"(?!1[.)] )\d{1,9}[.)] ")
_ITEM_TAGS = ("text:list-item", "text:list-header")

Blocks = Callable[[Any, int], list[str]]
Paragraph = Callable[[Any, int], str]
Heading = Callable[[Any, int, str, int], str]


class ListReader:
    """Reads lists. A list may continue the numbers of another one, by its style or its id."""

    def __init__(
        self, styles: Styles, blocks: Blocks, paragraph: Paragraph, heading: Heading
    ) -> None:
        self._styles = styles
        self._blocks = blocks
        self._paragraph = paragraph
        self._heading = heading
        self._by_style: dict[str, Counters] = {}
        self._by_id: dict[str, Counters] = {}

    def read(self, element: Any, depth: int) -> list[str]:
        """Return the blocks of a list: its items, between headings that are among them."""
        style = attribute(element, "text:style-name")
        counters = self._counters(element, style)
        if name := attribute(element, "xml:id"):
            self._by_id[name] = counters
        self._by_style[style] = counters
        return _joined(self._items(element, style, 1, counters, depth))

    def numbered_paragraph(self, element: Any, depth: int) -> list[str]:
        """Return a paragraph that is numbered without a list around it."""
        style = attribute(element, "text:style-name")
        name = attribute(element, "text:list-id") or style
        counters = self._by_id.setdefault(name, Counters())
        level = count(element, "text:level", MAX_LEVEL)
        return _joined(self._item(element, style, level, counters, depth))

    def _counters(self, element: Any, style: str) -> Counters:
        continued = self._by_id.get(attribute(element, "text:continue-list"))
        if continued is None and attribute(element, "text:continue-numbering") == "true":
            continued = self._by_style.get(style)
        return Counters() if continued is None else continued

    def _items(
        self, element: Any, style: str, level: int, counters: Counters, depth: int
    ) -> list[tuple[bool, str]]:
        """Return blocks, and whether each is an item or a heading between items."""
        found: list[tuple[bool, str]] = []
        for item in element:
            if tag(item) in _ITEM_TAGS:
                for is_item, text in self._item(item, style, level, counters, depth):
                    before = [last for _, last in found[-1:]] if is_item else []
                    found.append((is_item, followed(before, text, typed=False)))
        return found

    def _item(
        self, item: Any, style: str, level: int, counters: Counters, depth: int
    ) -> list[tuple[bool, str]]:
        children = [one for one in item if tag(one) and tag(one) != "text:number"]
        first = next((one for one in children if tag(one) in ("text:p", "text:h")), None)
        marker = label = ""
        if first is not None and tag(item) != "text:list-header":
            levels = self._styles.levels(style or self._paragraph_style(first))
            settings = levels.get(level, Level())
            start = count(item, "text:start-value", 10**9, -1)
            counters.next(level, settings, None if start < 0 else start)
            label = counters.label(level, levels)
            marker = _marker(label, settings)
        found: list[tuple[bool, str]] = []
        lines: list[str] = []
        last = ""  # what Markdown would count on from
        for one in children:
            match tag(one):
                case "text:h":
                    found += _item_lines(marker, lines)
                    lines, marker = [], ""
                    depth_of = count(one, "text:outline-level", MAX_LEVEL)
                    found.append((False, self._heading(one, depth_of, label, depth)))
                    label = ""
                case "text:list":
                    own = attribute(one, "text:style-name") or style
                    below = self._nested(one, own, level, counters, depth)
                    if all(is_item for is_item, _ in below):
                        lines += _below(lines, last, [text for _, text in below])
                        last = "\n".join(text for _, text in below)
                    else:
                        found += _item_lines(marker, lines)
                        lines, marker = [], ""
                        found += below
                case _:
                    last = ""
                    inner = self._blocks([one], depth)
                    if lines and inner:
                        lines.append("")
                    lines += "\n\n".join(inner).split("\n") if inner else []
        return found + _item_lines(marker, lines)

    def _nested(
        self, element: Any, style: str, level: int, counters: Counters, depth: int
    ) -> list[tuple[bool, str]]:
        if level >= MAX_LEVEL:
            return [(True, text) for text in self._blocks(_flat(element), depth)]
        return self._items(element, style, level + 1, counters, depth + 1)

    def _paragraph_style(self, paragraph: Any) -> str:
        return self._styles.list_style(attribute(paragraph, "text:style-name")) or ""


def _flat(element: Any) -> list[Any]:
    """Return the paragraphs of a list that is nested too deep to be one."""
    return [one for one in element.iter() if tag(one) in ("text:p", "text:h")]


def _marker(label: str, settings: Level) -> str:
    if _MARKDOWN_NUMBER.fullmatch(label):
        return f"{label} "
    if label.isdigit() and len(label) < 10 and not settings.suffix:
        return f"{label}. "
    return f"- {label} " if label else "- "


def _below(lines: list[str], last: str, items: list[str]) -> list[str]:
    """Return the lines of a list that Markdown sees below the text or the list before it."""
    text = followed([last] if last else [], "\n".join(items), typed=False)
    below = text.split("\n")
    # A list that does not begin at 1 cannot interrupt a paragraph (CommonMark, 5.3).
    apart = lines and not last and _OTHER_START.match(text)
    return ["", *below] if apart else below


def _item_lines(marker: str, lines: list[str]) -> list[tuple[bool, str]]:
    """Return an item, with its further lines below its text."""
    if not lines or not any(lines):
        return []
    width = 2 if marker.startswith("- ") else len(marker)
    indented = [f"{' ' * width}{line}" if line else "" for line in lines[1:]]
    return [(True, "\n".join([marker + lines[0], *indented]))]


def _joined(blocks: list[tuple[bool, str]]) -> list[str]:
    """Return items as lists, and what stands between them by itself."""
    joined: list[str] = []
    items: list[str] = []
    for is_item, text in blocks:
        if is_item:
            items.append(text)
            continue
        if items:
            joined.append("\n".join(items))
            items = []
        joined.append(text)
    return [*joined, "\n".join(items)] if items else joined
