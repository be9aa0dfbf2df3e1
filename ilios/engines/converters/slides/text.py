"""Text of shapes, table cells and notes: paragraphs and lists as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import structs

from ilios.engines.converters import inline, markdown
from ilios.engines.converters.docx.equations import latex
from ilios.engines.converters.inline import Run
from ilios.engines.converters.opc import Relationship
from ilios.engines.converters.slides.names import MATH, A, R, integer, is_on, local
from ilios.engines.converters.slides.numbering import APART, Counters, Item, Scheme, marker
from ilios.engines.converters.slides.styles import TextStyle, level_of

_SHOWN_ELSEWHERE = ("slidenum", "datetime")
"""Fields that a viewer fills in."""

_HARD_BREAK = "  \n"
NO_STYLE = TextStyle((), listed=False)


class Links:
    """The addresses that the text of one part links to."""

    def __init__(self, relationships: Mapping[str, Relationship]) -> None:
        self._relationships = relationships
        self.used: dict[str, None] = {}
        self.left_out: dict[str, None] = {}

    def address(self, click: Any) -> str:
        """Return the address of an ``a:hlinkClick``; jumps to other slides have none."""
        if click is None:
            return ""
        target = self._relationships.get(click.get(f"{R}id", ""))
        if target is None or not target.external:
            return ""
        address = inline.safe_link(target.target)
        if address:
            self.used[address] = None
        else:
            self.left_out[target.target] = None
        return address


def paragraphs(body: Any, links: Links, style: TextStyle = NO_STYLE) -> str:
    """Return the paragraphs of a text body; those with bullets or numbers are lists."""
    written = _Paragraphs()
    for paragraph in body.iterchildren(f"{A}p"):
        text = inline.render(runs(paragraph, links))
        if text.strip():
            written.add(text, level_of(paragraph), style.bullet(paragraph))
    return "\n".join(written.lines).strip("\n")


class _Paragraphs:
    """The lines of paragraphs and of lists."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._counters = Counters()
        self._above: list[Item] = []

    def add(self, text: str, level: int, bullet: Any) -> None:
        """Add a paragraph, which is an item of a list if it has a bullet or a number."""
        if bullet is None:
            self._counters.interrupt(level)
            self._above.clear()
            self.lines += ["", inline.escape_line_starts(_lines(text)), ""]
            return
        item = self._item(level, bullet)
        before = None
        while self._above and self._above[-1].level >= level:
            before = self._above.pop()
        # Deeper items begin below the text of the one above them, or they would be no part of it.
        indent = " " * sum(one.width for one in self._above)
        if before and before.level == level and not item.goes_on(before):
            self.lines.append(f"{indent}{APART}")
        if not before and self._above and not item.interrupts:
            self.lines.append("")
        parts = filter(None, map(markdown.one_line, text.split(_HARD_BREAK)))
        words = inline.escape_line_starts(_HARD_BREAK.join(parts))
        below = f"\n{indent}{' ' * item.width}"
        self.lines.append(f"{indent}{item.mark} {words}".replace("\n", below))
        self._above.append(item)

    def _item(self, level: int, bullet: Any) -> Item:
        if local(bullet) != "buAutoNum":
            self._counters.interrupt(level)
            return Item(level, "-")
        start = max(integer(bullet.get("startAt"), 1), 0)
        scheme = Scheme(bullet.get("type", "arabicPeriod"), start)
        return Item(level, marker(scheme.name, self._counters.next(level, scheme)))


def one_line(body: Any, links: Links, *, plain: bool = False) -> str:
    """Return all paragraphs of a text body on one line.

    :param plain: without bold and italics: a title, or a cell of nothing else.
    """
    written = [list(runs(one, links)) for one in body.iterchildren(f"{A}p")]
    return _joined(written, plain=plain)


def cell(body: Any, links: Links) -> str:
    """Return the text of a table cell: bold throughout is the style of the cell, not of words."""
    written = [list(runs(one, links)) for one in body.iterchildren(f"{A}p")]
    bold = all(run.bold for pieces in written for run in pieces if run.text.strip())
    return _joined(written, plain=bold, line_break="<br>")


def _joined(written: Sequence[Sequence[Run]], *, plain: bool, line_break: str = " ") -> str:
    """Return the runs of paragraphs on one line, with bold and italics unless it is ``plain``."""
    texts = (
        inline.render(
            structs.replace(one, bold=False, italic=False) if plain else one for one in pieces
        )
        for pieces in written
    )
    return markdown.one_line(" ".join(texts).replace(_HARD_BREAK, line_break))


def _lines(text: str) -> str:
    """Return text without empty lines, whose line breaks stay hard ones."""
    parts = ("\n".join(_full_lines(part)) for part in text.split(_HARD_BREAK))
    return _HARD_BREAK.join(filter(None, parts))


def _full_lines(text: str) -> Iterator[str]:
    return filter(None, map(markdown.one_line, text.split("\n")))


def runs(paragraph: Any, links: Links) -> Iterator[Run]:
    """Yield the runs of a paragraph, its line breaks, fields and equations."""
    for child in paragraph:
        name = local(child)
        if name == "r" or (name == "fld" and is_text(child)):
            yield _run(child, links)
        elif name == "br":
            yield Run("\n")
        elif name == "m":  # a14:m
            sign = "$$" if _is_block(paragraph) else "$"
            found = [f"{sign}{latex(one)}{sign}" for one in child.iter(f"{MATH}oMath")]
            yield Run(("\n" if sign == "$$" else " ").join(found), markup=True)


def _is_block(paragraph: Any) -> bool:
    """Whether a paragraph has equations on lines of their own, and nothing else."""
    has_text = any((one.text or "").strip() for one in paragraph.iter(f"{A}t"))
    bulleted = paragraph.find(f"{A}pPr/{A}buChar") is not None
    return (
        not has_text and not bulleted and next(paragraph.iter(f"{MATH}oMathPara"), None) is not None
    )


def is_text(field: Any) -> bool:
    """Whether a field has a text of its own: no number of the slide, and no date of the day."""
    return not field.get("type", "").startswith(_SHOWN_ELSEWHERE)


def _run(element: Any, links: Links) -> Run:
    text = element.findtext(f"{A}t") or ""
    text = text.replace("\v", "\n")
    style = element.find(f"{A}rPr")
    if style is None:
        return Run(text)
    baseline = style.get("baseline", "0").strip().rstrip("%")
    raised = integer(baseline.partition(".")[0])
    return Run(
        text,
        bold=is_on(style.get("b")),
        italic=is_on(style.get("i")),
        strike=style.get("strike", "noStrike") != "noStrike",
        superscript=raised > 0,
        subscript=raised < 0,
        link=links.address(style.find(f"{A}hlinkClick")),
    )


def list_item(body: Any, links: Links) -> str:
    """Return all paragraphs of a text body as the text of one item of a list."""
    return inline.escape_line_starts(one_line(body, links))
