"""The content of paragraphs: runs, links, fields, notes, equations and drawings."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

from ilios.engines.converters.docx import drawings
from ilios.engines.converters.docx.anchors import Anchors
from ilios.engines.converters.docx.blocks import Display
from ilios.engines.converters.docx.equations import latex
from ilios.engines.converters.docx.fields import Fields, checkbox, hyperlink
from ilios.engines.converters.docx.notes import NoteKind, Notes
from ilios.engines.converters.docx.revisions import CHECKED, is_dropped, marks
from ilios.engines.converters.docx.source import Source, properties
from ilios.engines.converters.docx.styles import (
    PLAIN,
    ParagraphStyle,
    RunFormat,
    joined,
    read_format,
)
from ilios.engines.converters.docx.symbols import is_symbol_font, symbol, symbols
from ilios.engines.converters.docx.wordml import OFF, Element, M, R, W, local_name, value
from ilios.engines.converters.inline import Run

MAX_DEPTH = 60
"""Elements of a paragraph inside of one another; deeper ones are left out."""

_OWN_MARK = f"{W}customMarkFollows"
_BLANKS = str.maketrans({"\xa0": " ", "\n": " ", "\r": " ", "\u2028": "\n"})


class Box(NamedTuple):
    """Something that stands after its paragraph: the content of a text box, a chart, a diagram."""

    shown: drawings.Shown


Piece = Run | Display | Box
Handler = Callable[["Inlines", Element, str, int], None]
RunHandler = Callable[["Inlines", Element, RunFormat, str], None]


class Inlines:
    """Reads paragraphs of one part, one after another: a field may go over several."""

    def __init__(self, source: Source, part: str, notes: Notes | None, anchors: Anchors) -> None:
        self._source = source
        self._part = part
        self._notes = notes
        self._anchors = anchors
        self._fields = Fields()
        self._pieces: list[Piece] = []
        self._format = PLAIN
        self._bookmarks: list[str] = []
        self._original = source.changes == "original"

    def read(self, paragraph: Element, style: ParagraphStyle) -> tuple[list[Piece], list[str]]:
        """Return the pieces of a paragraph and the names of the bookmarks that begin in it."""
        self._format = style.format
        self._children(paragraph, "", 0)
        self._fields.end_paragraph()
        pieces, self._pieces = self._pieces, []
        bookmarks, self._bookmarks = self._bookmarks, []
        return pieces, bookmarks

    def bookmark(self, start: Element) -> None:
        """Record a bookmark that begins before the next text."""
        name = start.get(f"{W}name", "")
        if self._anchors.is_wanted(name):
            self._bookmarks.append(name)
            if anchor := self._anchors.place(name):
                self._pieces.append(Run(anchor, markup=True))

    def _children(self, parent: Element, link: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._source.leave_out("content_left_out", "text nested too deeply")
            return
        for child in parent:
            name = local_name(child)
            if name == "r":
                if child.tag == f"{W}r":
                    self._run(child, link)
                continue
            handle = self._HANDLERS.get(name)
            if handle is not None:
                handle(self, child, link, depth + 1)

    def _hyperlink(self, element: Element, link: str, depth: int) -> None:
        related = self._source.target(self._part, element.get(f"{R}id", ""))
        address = related.target if related and related.external else ""
        anchor = element.get(f"{W}anchor") or element.get(f"{W}docLocation") or ""
        self._children(element, f"{address}#{anchor}" if anchor else address or link, depth)

    def _simple_field(self, element: Element, link: str, depth: int) -> None:
        target = hyperlink(element.get(f"{W}instr", ""))
        self._children(element, target or link, depth)

    def _control(self, element: Element, link: str, depth: int) -> None:
        content = element.find(f"{W}sdtContent")
        if content is not None:
            self._children(content, link, depth)

    def _change(self, element: Element, link: str, depth: int) -> None:
        if is_dropped(element, self._source.changes):
            return
        opening, closing = marks(element, self._source.changes)
        if opening:
            before = len(self._pieces)
            self._children(element, link, depth)
            if len(self._pieces) > before:
                self._pieces.insert(before, Run(opening, markup=True))
                self._pieces.append(Run(closing, markup=True))
        else:
            self._children(element, link, depth)

    def _bookmark(self, element: Element, link: str, depth: int) -> None:
        del link, depth
        self.bookmark(element)

    def _equation(self, element: Element, link: str, depth: int) -> None:
        del link, depth
        text = latex(element)
        if text and self._fields.is_visible:
            last = self._pieces[-1] if self._pieces else None
            touching = isinstance(last, Run) and last.markup and last.text.endswith("$")
            self._pieces.append(Run(f"{' ' if touching else ''}${text}$", markup=True))

    def _equations(self, element: Element, link: str, depth: int) -> None:
        del link, depth
        for one in element.iter(f"{M}oMath"):
            if text := latex(one):
                self._pieces.append(Display(f"$${text}$$"))

    def _run(self, run: Element, link: str) -> None:
        self._source.tick()
        own = properties(run, "rPr", original=self._original)
        shape = self._format
        if own is not None and len(own):
            character = value(own, "rStyle")
            if character:
                shape = joined(shape, self._source.styles.character(character))
            shape = joined(shape, read_format(own))
        checked = run.get(CHECKED)
        if checked is not None:
            last = self._pieces[-1] if self._pieces else None
            apart = isinstance(last, Run) and not last.text[-1:].isspace()
            self._add(Run(" " * apart + checkbox(ticked=checked == "1"), markup=True))
            return
        for child in run:
            handle = self._RUN_HANDLERS.get(local_name(child))
            if handle is not None:
                handle(self, child, shape, link)
            if child.get(_OWN_MARK, "0") not in OFF:
                return  # the mark that follows is given by the reference

    def _text(self, element: Element, shape: RunFormat, link: str) -> None:
        text = element.text
        if text:
            self._write(text.translate(_BLANKS), shape, link)

    def _write(self, text: str, shape: RunFormat, link: str) -> None:
        if not self._fields.is_visible:
            self._fields.instruct(text)
            return
        if shape.hidden:
            return
        code = shape.is_monospaced and not self._source.styles.usually_monospaced
        if shape.font and is_symbol_font(shape.font):
            text = symbols(shape.font, text)
        self._add(
            Run(
                text.upper() if shape.caps else text,
                bold=bool(shape.bold),
                italic=bool(shape.italic),
                strike=bool(shape.strike),
                subscript=shape.vertical == "subscript",
                superscript=shape.vertical == "superscript",
                code=code,
                link=link or self._fields.link,
            )
        )

    def _add(self, run: Run) -> None:
        if run.text and self._fields.is_visible:
            self._fields.mark_shown()
            self._pieces.append(run)

    def _instruction(self, element: Element, shape: RunFormat, link: str) -> None:
        del shape, link
        self._fields.instruct(element.text or "")

    def _field(self, element: Element, shape: RunFormat, link: str) -> None:
        text = self._fields.change(element)
        if text and not shape.hidden:
            markup = text in (checkbox(ticked=True), checkbox(ticked=False))
            self._pieces.append(Run(text, markup=markup, link=link))

    def _break(self, element: Element, shape: RunFormat, link: str) -> None:
        del element
        self._write("\n", shape, link)

    def _tab(self, element: Element, shape: RunFormat, link: str) -> None:
        del element
        self._write("\t", shape, link)

    def _hyphen(self, element: Element, shape: RunFormat, link: str) -> None:
        del element
        self._write("-", shape, link)

    def _symbol(self, element: Element, shape: RunFormat, link: str) -> None:
        try:
            code = int(element.get(f"{W}char", ""), 16)
        except ValueError:
            return
        font = element.get(f"{W}font", "")
        text = symbol(font, code)
        if text is None:
            self._source.leave_out("content_left_out", f"signs of the font {font}")
        else:
            self._write(text, shape if not shape.font else joined(shape, RunFormat(font="")), link)

    def _note(self, element: Element, shape: RunFormat, link: str) -> None:
        del shape, link
        kind: NoteKind = "footnote" if local_name(element).startswith("foot") else "endnote"
        if self._notes is not None:
            self._add(Run(self._notes.reference(kind, element.get(f"{W}id", "")), markup=True))

    def _comment(self, element: Element, shape: RunFormat, link: str) -> None:
        del shape, link
        if self._notes is not None and self._source.reading.comments:
            self._add(Run(self._notes.reference("comment", element.get(f"{W}id", "")), markup=True))

    def _ruby(self, element: Element, shape: RunFormat, link: str) -> None:
        del shape
        base, above = element.find(f"{W}rubyBase"), element.find(f"{W}rt")
        if base is not None:
            self._children(base, link, 1)
        reading = "" if above is None else "".join(one.text or "" for one in above.iter(f"{W}t"))
        if reading.strip():
            self._add(Run(f"({reading})", link=link))

    def _drawing(self, element: Element, shape: RunFormat, link: str) -> None:
        if shape.hidden or not self._fields.is_visible:
            return
        self._fields.mark_shown()
        preview = local_name(element) == "object"
        for shown in drawings.contents(element):
            if shown.kind == "picture":
                related = self._source.target(self._part, shown.relation)
                part = related.target if related and not related.external else None
                if text := self._source.pictures.place(part, shown.text, preview=preview):
                    self._pieces.append(Run(text, markup=True, link=link))
            else:
                self._pieces.append(Box(shown))

    _HANDLERS: ClassVar[dict[str, Handler]] = {
        "hyperlink": _hyperlink,
        "fldSimple": _simple_field,
        "sdt": _control,
        "ins": _change,
        "del": _change,
        "moveFrom": _change,
        "moveTo": _change,
        "smartTag": _children,
        "customXml": _children,
        "dir": _children,
        "bdo": _children,
        "subDoc": _children,
        "bookmarkStart": _bookmark,
        "oMath": _equation,
        "oMathPara": _equations,
    }
    _RUN_HANDLERS: ClassVar[dict[str, RunHandler]] = {
        "t": _text,
        "delText": _text,
        "instrText": _instruction,
        "delInstrText": _instruction,
        "fldChar": _field,
        "br": _break,
        "cr": _break,
        "tab": _tab,
        "ptab": _tab,
        "noBreakHyphen": _hyphen,
        "sym": _symbol,
        "footnoteReference": _note,
        "endnoteReference": _note,
        "commentReference": _comment,
        "ruby": _ruby,
        "drawing": _drawing,
        "pict": _drawing,
        "object": _drawing,
    }
