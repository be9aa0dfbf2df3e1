"""The walk over the elements of a page, from its tree to blocks.

It goes from element to element without recursion, so that no nesting is too deep for it.
"""

import re
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urljoin

from lxml import etree

from ilios.engines.converters.blocks import MAX_DEPTH, Block, Code, Markup, Paragraph, Rule
from ilios.engines.converters.inline import safe_link
from ilios.engines.converters.web import forms, mathml
from ilios.engines.converters.web.frames import (
    CellFrame,
    Frame,
    ItemFrame,
    ListFrame,
    QuoteFrame,
    TableFrame,
)
from ilios.engines.converters.web.paragraphs import Inlines
from ilios.engines.converters.web.tables import SpanBudget, close_table
from schemas.options import MergedCells

_DROPPED = frozenset({
    "script", "style", "template", "noscript", "datalist", "rp", "iframe", "object", "embed",
    "video", "audio", "canvas", "param", "head", "frameset", "applet", "meta", "link",
    "source", "track", "map", "colgroup", "col", "noframes", "noembed",
})  # fmt: skip
_BLOCKS = frozenset({
    "address", "article", "aside", "body", "center", "dd", "details", "dialog", "dir", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4",
    "h5", "h6", "header", "hgroup", "hr", "html", "legend", "li", "main", "menu", "nav", "ol",
    "optgroup", "p", "pre", "search", "section", "summary", "table", "tbody", "td", "tfoot",
    "th", "thead", "tr", "ul", "caption", "blockquote",
})  # fmt: skip
_BOLD: dict[str, object] = {"bold": True}
_ITALIC: dict[str, object] = {"italic": True}
_STRUCK: dict[str, object] = {"strike": True}
_CODE: dict[str, object] = {"code": True}
_STYLES: dict[str, dict[str, object]] = {
    "b": _BOLD, "strong": _BOLD, "summary": _BOLD, "dt": _BOLD,
    "i": _ITALIC, "em": _ITALIC, "cite": _ITALIC, "dfn": _ITALIC, "var": _ITALIC,
    "s": _STRUCK, "strike": _STRUCK, "del": _STRUCK,
    "code": _CODE, "kbd": _CODE, "samp": _CODE, "tt": _CODE,
    "sub": {"subscript": True}, "sup": {"superscript": True},
}  # fmt: skip
_AROUND = {"q": ("\u201c", "\u201d"), "rt": ("(", ")")}
_HIDDEN_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE
)
_LANGUAGE = re.compile(r"(?:language-|lang-|highlight-source-|brush:\s*)([A-Za-z0-9+#_.-]{1,30})")
_HEADING = re.compile(r"h([1-6])")
_XLINK = "{http://www.w3.org/1999/xlink}href"
_EPUB_TYPE = "{http://www.idpf.org/2007/ops}type"
_PROGRESS_EVERY = 2000  # elements


class Surroundings(Protocol):
    """What a page needs of the document around it."""

    def picture(self, source: str, alt: str) -> str:
        """Return the Markdown of a picture."""
        ...

    def link(self, target: str) -> str:
        """Return the address of a link, empty for one that is only text."""
        ...

    def note(self, element: Any, /) -> str | None:
        """Return the mark of a note in place of a link, or None for any other link."""
        ...

    def note_label(self, element: Any, /) -> str:
        """Return the label of the note that ``element`` is, or an empty text."""
        ...


class WithoutNotes:
    """Surroundings in which no link leads to a note."""

    def note(self, _element: Any, /) -> str | None:
        """Leave every link as it is."""
        return None

    def note_label(self, _element: Any, /) -> str:
        """Find no note."""
        return ""


def name_of(element: Any) -> str:
    """Return the name of an element in lower case, without its namespace."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def blocks_of(
    root: Any,
    surroundings: Surroundings,
    merged: MergedCells | None,
    heartbeat: Callable[[], None],
) -> list[Block]:
    """Return the blocks of a page."""
    walk = _Walk(root, surroundings, merged)
    walker = etree.iterwalk(root, events=("start", "end"))
    for number, (event, element) in enumerate(walker):
        if number % _PROGRESS_EVERY == 0:
            heartbeat()
        if event == "start":
            if walk.start(element):
                walker.skip_subtree()
        else:
            walk.end(element)
    return walk.finish()


class _Walk:
    """The state of the walk: open frames, the paragraph so far, what to undo at an end."""

    def __init__(self, root: Any, surroundings: Surroundings, merged: MergedCells | None) -> None:
        self._root = root
        self._surroundings = surroundings
        self._merged = merged
        self._inlines = Inlines()
        self._frames: list[Frame] = [Frame(root)]
        self._skipped: Any = None
        self._pushed: set[Any] = set()
        self._level = 0
        self._budget = SpanBudget()

    def start(self, element: Any) -> bool:
        """Begin an element; returns whether what is in it is not to be walked over."""
        name = name_of(element)
        if name in _DROPPED or _is_hidden(element):
            self._skipped = element
            return True
        if name in _BLOCKS:
            self._flush()
            self._start_block(name, element)
        if (label := self._surroundings.note_label(element)) and self._has_room():
            self._flush()
            self._frames.append(NoteFrame(element, label))
        if self._replace(name, element):
            self._skipped = element
            return True
        self._start_style(name, element)
        self._inlines.text(element.text)
        return False

    def end(self, element: Any) -> None:
        """End an element, and go on with the text behind it."""
        name = name_of(element)
        if element is self._skipped:
            self._skipped = None
        else:
            if name in _AROUND:
                self._inlines.text(_AROUND[name][1])
            if element in self._pushed:
                self._pushed.discard(element)
                self._inlines.pop()
        if name in _BLOCKS:
            self._flush()
        while len(self._frames) > 1 and self._frames[-1].element is element:
            self._flush()
            self._close_frame()
        if _HEADING.fullmatch(name):
            self._level = 0
        if element is not self._root:
            self._inlines.text(element.tail)

    def finish(self) -> list[Block]:
        """Return the blocks of the page."""
        self._flush()
        while len(self._frames) > 1:
            self._close_frame()
        return self._frames[0].blocks

    def _start_block(self, name: str, element: Any) -> None:
        if heading := _HEADING.fullmatch(name):
            self._level = int(heading[1])
        elif name == "hr":
            self._frames[-1].add(Rule())
        elif name == "tr":
            if isinstance(self._frames[-1], TableFrame):
                self._frames[-1].begin_row(name_of(element.getparent()))
        elif name in ("td", "th"):
            if isinstance(self._frames[-1], TableFrame):
                self._frames.append(CellFrame(element))
        elif self._has_room():
            self._open_frame(name, element)

    def _open_frame(self, name: str, element: Any) -> None:
        if name in ("ul", "menu", "dir"):
            self._frames.append(ListFrame(element, ordered=False))
        elif name == "ol":
            self._frames.append(ListFrame(element, ordered=True))
        elif name in ("li", "dd"):
            if name == "dd" and name_of(self._frames[-1].element) == "dd":
                self._close_frame()  # one whose end is left out, as is allowed
            self._frames.append(ItemFrame(element))
        elif name == "blockquote":
            self._frames.append(QuoteFrame(element))
        elif name == "table":
            self._frames.append(TableFrame(element))

    def _has_room(self) -> bool:
        return len(self._frames) <= 2 * MAX_DEPTH  # a list and its item are two

    def _start_style(self, name: str, element: Any) -> None:
        style = _STYLES.get(name)
        if name == "a":
            address = self._surroundings.link(element.get("href") or "")
            style = {"link": address} if address else None
        if style:
            self._inlines.push(**style)
            self._pushed.add(element)
        if name in _AROUND:
            self._inlines.text(_AROUND[name][0])

    def _replace(self, name: str, element: Any) -> bool:
        """Add an element as something else than what is in it; whether it was one of those."""
        match name:
            case "br":
                self._inlines.line_break()
            case "hr" | "wbr":
                pass
            case "img" | "image":
                source = element.get("src") or ""
                self._inlines.markup(self._surroundings.picture(source, element.get("alt") or ""))
            case "input" | "select" | "textarea":
                forms.add_field(name, element, self._inlines)
            case "pre" | "listing" | "xmp" | "plaintext":
                self._frames[-1].add(Code(_lines_of(element).strip("\n"), _language(element)))
            case "math":
                self._equation(element)
            case "svg":
                self._drawing(element)
            case "a" if (mark := self._surroundings.note(element)) is not None:
                self._inlines.markup(mark)
            case _:
                return False
        return True

    def _equation(self, element: Any) -> None:
        text = mathml.latex(element)
        if text and mathml.is_display(element):
            self._flush()
            self._frames[-1].add(Markup(f"$${text}$$"))
        elif text:
            self._inlines.markup(f"${text}$")

    def _drawing(self, element: Any) -> None:
        """Add the texts and the pictures in a drawing."""
        for part in element.iter():
            if name_of(part) == "text":
                self._inlines.text("".join(part.itertext()))
                self._inlines.separate()
            elif name_of(part) == "image":
                source = part.get(_XLINK) or part.get("href") or part.get("xlink:href") or ""
                self._inlines.markup(self._surroundings.picture(source, ""))

    def _flush(self) -> None:
        runs = self._inlines.take()
        if runs:
            self._frames[-1].add(Paragraph(runs, self._level))

    def _close_frame(self) -> None:
        frame = self._frames.pop()
        if isinstance(frame, TableFrame):
            for block in close_table(frame, self._merged, self._budget):
                self._frames[-1].add(block)
        else:
            frame.close_into(self._frames[-1])


class NoteFrame(ItemFrame):
    """A note with its label."""

    def __init__(self, element: Any, label: str) -> None:
        super().__init__(element)
        self._label = label

    def close_into(self, parent: Frame) -> None:
        match self.blocks:
            case [Paragraph(runs, 0), *rest]:
                marked = Inlines()
                marked.markup(self._label)
                self.blocks = [Paragraph((*marked.take(), *runs)), *rest]
        if isinstance(parent, ItemFrame) and not parent.blocks:
            parent.is_note = True
        Frame.close_into(self, parent)


def base_address(root: Any) -> str:
    """Return the address that relative links of a page begin at, if it declares one."""
    for base in root.iter("base"):
        if href := (base.get("href") or "").strip():
            return href if safe_link(href) else ""
    return ""


def resolve(base: str, target: str) -> str:
    """Return the address of a link of a page; empty for a place in the page itself."""
    target = target.strip()
    if not target or target.startswith("#"):
        return ""
    try:
        return urljoin(base, target) if base else target
    except ValueError:  # an address without its bracket
        return ""


def epub_types(element: Any) -> list[str]:
    """Return the values of ``epub:type`` and ``role`` of an element."""
    types = element.get(_EPUB_TYPE) or element.get("epub:type") or ""
    return f"{types} {element.get('role') or ''}".lower().split()


def _is_hidden(element: Any) -> bool:
    if element.get("hidden") is not None:
        return True
    style = element.get("style")
    return bool(style and _HIDDEN_STYLE.search(style))


def _lines_of(element: Any) -> str:
    for line_break in element.iter("br", "{*}br"):
        line_break.text = "\n"
    return "".join(element.itertext())


def _language(element: Any) -> str:
    for candidate in (element, *element.iterchildren()):
        if found := _LANGUAGE.search(candidate.get("class") or ""):
            return found[1]
    return ""
