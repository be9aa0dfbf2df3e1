"""A story of a document: its body, a note, a header, a text box. Elements become blocks."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ilios.engines.converters.docx import inserted, objects, tables
from ilios.engines.converters.docx.anchors import Anchors
from ilios.engines.converters.docx.blocks import (
    Block,
    Code,
    Display,
    Heading,
    Item,
    Paragraph,
    texts,
)
from ilios.engines.converters.docx.fields import checkbox
from ilios.engines.converters.docx.inlines import Box, Inlines, Piece
from ilios.engines.converters.docx.notes import Notes
from ilios.engines.converters.docx.numbering import Label
from ilios.engines.converters.docx.revisions import has_dropped_mark
from ilios.engines.converters.docx.source import Source, properties
from ilios.engines.converters.docx.styles import ParagraphStyle, heading_of, read_format
from ilios.engines.converters.docx.wordml import (
    Element,
    R,
    W,
    integer,
    local_name,
    twips,
    value,
)
from ilios.engines.converters.inline import Run

MAX_DEPTH = 30
"""Tables and text boxes inside of one another; deeper ones are left out."""

CODE_LINE = 160
"""Characters of a longest line of code that only its font shows to be code."""

_WRAPPERS = frozenset({"sdt", "sdtContent", "customXml", "smartTag", "ins", "moveTo"})
_LIST_LABEL = re.compile(r"\S{1,12}")
"""A label that makes an item; others, such as "Article 1", begin a paragraph."""

_DROP_CAPS = frozenset({"drop", "margin"})


class _Opening(NamedTuple):
    """Text that goes on in the next paragraph, with the paragraph it stands in."""

    pieces: list[Piece]
    bookmarks: list[str]
    paragraph: Element


class Story:
    """Reads one story. ``notes`` is None where no note can be referred to."""

    def __init__(
        self, source: Source, part: str, notes: Notes | None, anchors: Anchors, depth: int = 0
    ) -> None:
        self._source = source
        self._part = part
        self._notes = notes
        self._anchors = anchors
        self._depth = depth
        self._inlines = Inlines(source, part, notes, anchors)
        self._original = source.changes == "original"

    def blocks(self, parent: Element) -> list[Block]:
        """Return the blocks of an element that contains paragraphs and tables."""
        found: list[Block] = []
        opening: _Opening | None = None
        for element in unwrapped(parent):
            self._source.tick()
            name = local_name(element)
            if name == "p" and element.tag == f"{W}p":
                opening = self._paragraph(element, opening, found)
                continue
            if name == "bookmarkStart":
                self._inlines.bookmark(element)
                continue
            if opening and name in ("tbl", "altChunk"):
                found += self._made(opening.paragraph, opening.pieces, opening.bookmarks)
                opening = None
            found += self._other(name, element)
        if opening:
            found += self._made(opening.paragraph, opening.pieces, opening.bookmarks)
        return found

    def inside(self, element: Element) -> list[Block]:
        """Return the blocks of a cell or a text box."""
        if self._depth >= MAX_DEPTH:
            self._source.leave_out("content_left_out", "tables or text boxes nested too deeply")
            return []
        inner = Story(self._source, self._part, self._notes, self._anchors, self._depth + 1)
        return inner.blocks(element)

    def _other(self, name: str, element: Element) -> list[Block]:
        if name == "tbl":
            return tables.read_table(element, self._source, self.inside)
        if name == "altChunk":
            related = self._source.target(self._part, element.get(f"{R}id", ""))
            if related and not related.external:
                return inserted.blocks(related.target, self._source)
            self._source.leave_out("attachments_not_converted", "an inserted file")
        elif name in ("oMathPara", "oMath"):
            return [Display(f"$${text}$$") for text in objects.equations(element)]
        return []

    def _paragraph(
        self, paragraph: Element, opening: _Opening | None, found: list[Block]
    ) -> _Opening | None:
        """Add the blocks of a paragraph, or return what goes on in the next one."""
        settings = properties(paragraph, "pPr", original=self._original)
        style = self._source.styles.paragraph(value(settings, "pStyle"))
        pieces, bookmarks = self._inlines.read(paragraph, style)
        if opening:
            pieces, bookmarks = opening.pieces + pieces, opening.bookmarks + bookmarks
        if settings is not None:
            frame = settings.find(f"{W}framePr")
            dropped = frame is not None and frame.get(f"{W}dropCap") in _DROP_CAPS
            mark = settings.find(f"{W}rPr")
            if dropped or has_dropped_mark(mark, self._source.changes):
                return _Opening(pieces, bookmarks, paragraph)
        found += self._made(paragraph, pieces, bookmarks)
        return None

    def _made(
        self, paragraph: Element, pieces: list[Piece], bookmarks: list[str]
    ) -> Iterator[Block]:
        settings = properties(paragraph, "pPr", original=self._original)
        style = self._source.styles.paragraph(value(settings, "pStyle"))
        label = self._label(settings, style, pieces)
        runs: list[Run] = []
        first = True
        boxes: list[Box] = []
        for piece in pieces:
            if isinstance(piece, Run):
                runs.append(piece)
            elif isinstance(piece, Box):
                boxes.append(piece)
            else:
                if block := self._block(runs, settings, style, label if first else None, bookmarks):
                    yield block
                    first = False
                runs = []
                yield piece
        if block := self._block(runs, settings, style, label if first else None, bookmarks):
            yield block
        for box in boxes:
            yield from objects.blocks(box.shown, self._source, self._part, self.inside)

    def _label(
        self, settings: Element, style: ParagraphStyle, pieces: Sequence[Piece]
    ) -> Label | None:
        """Count the paragraph, if it is numbered, and return its label."""
        own = None if settings is None else settings.find(f"{W}numPr")
        number_id = value(own, "numId") or style.number_id
        if number_id is None or number_id == "0":
            return None
        mark = None if settings is None else settings.find(f"{W}rPr")
        if not pieces and read_format(mark).hidden:
            return None
        level = integer(value(own, "ilvl"))
        if level is None and style.number_id is not None:
            level = self._source.numbering.level_of_style(number_id, style.numbered_by)
            level = style.number_level if level is None else level
        return self._source.numbering.count(number_id, level or 0)

    def _block(
        self,
        runs: list[Run],
        settings: Element,
        style: ParagraphStyle,
        label: Label | None,
        bookmarks: list[str],
    ) -> Block | None:
        """Return the block of a paragraph's runs; None where there is nothing to see."""
        empty = not any(run.text.strip() for run in runs)
        own = heading_of(value(settings, "outlineLvl"))
        if level := style.heading if own is None else own:
            shown = [_in_heading(run) for run in runs if not _is_anchor(run)]
            return None if empty else Heading(level, _labelled(label, shown), tuple(bookmarks))
        if empty and not (label and label.text):
            return Code("") if style.code and label is None else None
        if style.contents:
            return Item(_labelled(label, runs), style.contents - 1, list_id="contents")
        if label is not None and (label.bullet or _LIST_LABEL.fullmatch(label.text)):
            indent = _indent(settings, label.indent)
            shown = [*_box(label), *runs]
            return Item(tuple(shown), label.level, label.text, label.list_id, indent)
        if label is None and self._is_code(runs, style):
            return Code(texts(tuple(runs)), _indent(settings, style.indent) or 0)
        return Paragraph(_labelled(label, runs), style.quote)

    def _is_code(self, runs: list[Run], style: ParagraphStyle) -> bool:
        if any(run.markup for run in runs):
            return False
        if style.code:
            return True
        return all(run.code or not run.text.strip() for run in runs) and all(
            len(line) <= CODE_LINE for line in texts(tuple(runs)).split("\n")
        )


def unwrapped(parent: Element) -> Iterator[Element]:
    """Yield the children of an element, those of content controls in their place."""
    stack = [iter(parent)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif local_name(child) in _WRAPPERS:
            stack.append(iter(child))
        else:
            yield child


def _box(label: Label) -> list[Run]:
    """Return the box to tick that an item has for a bullet."""
    if label.ticked is None:
        return []
    return [Run(f"{checkbox(ticked=label.ticked)} ", markup=True)]


def _indent(settings: Element, inherited: int | None) -> int | None:
    own = twips(settings)
    return inherited if own is None else own


def _labelled(label: Label | None, runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return runs with the label before them as text."""
    if label is None or not label.text:
        return tuple(runs)
    return Run(label.text + label.suffix), *runs


def _in_heading(run: Run) -> Run:
    """Return a run without the style that all of a heading has."""
    return Run(
        run.text.replace("\n", " "),
        italic=run.italic,
        strike=run.strike,
        subscript=run.subscript,
        superscript=run.superscript,
        code=run.code,
        markup=run.markup,
        link=run.link,
    )


def _is_anchor(run: Run) -> bool:
    return run.markup and run.text.startswith("<a id=")
