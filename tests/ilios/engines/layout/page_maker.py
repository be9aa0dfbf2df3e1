"""Pages of positioned text for the tests of the layout."""

from collections.abc import Iterable

from ilios.engines.layout.items import Item, PageItems, Stroke

WIDTH = 595.0
HEIGHT = 842.0


def item(
    text: str,
    left: float = 72,
    top: float = 72,
    *,
    size: float = 10,
    width: float | None = None,
    bold: bool = False,
    italic: bool = False,
    monospaced: bool = False,
    vertical: bool = False,
    link: str | None = None,
) -> Item:
    """Return a phrase; each of its characters is half as wide as the font is high."""
    if width is None:
        width = size * len(text) / 2
    height = size * len(text) if vertical else size * 1.2
    return Item(
        left=left,
        top=top,
        right=left + (size if vertical else width),
        bottom=top + height,
        text=text,
        size=size,
        bold=bold,
        italic=italic,
        monospaced=monospaced,
        vertical=vertical,
        link=link,
    )


def paragraph(
    text: str, left: float = 72, top: float = 72, *, size: float = 10, chars: int = 70
) -> list[Item]:
    """Return the lines of a justified paragraph, each of so many characters."""
    lines = [""]
    for piece in text.split():
        if len(lines[-1]) + len(piece) + 1 > chars:
            lines.append("")
        lines[-1] = f"{lines[-1]} {piece}".strip()
    full = chars * size / 2
    return [
        item(
            line,
            left,
            top + at * size * 1.4,
            size=size,
            width=full if at + 1 < len(lines) else None,
        )
        for at, line in enumerate(lines)
    ]


def page(items: Iterable[Item], strokes: Iterable[Stroke] = (), index: int = 0) -> PageItems:
    """Return a page with this on it."""
    return PageItems(
        index=index, width=WIDTH, height=HEIGHT, items=tuple(items), strokes=tuple(strokes)
    )


def prose(count: int, start: int = 0) -> str:
    """Return running text of so many different pieces."""
    return " ".join(f"boat{number} sails" for number in range(start, start + count)) + "."
