"""Paragraphs, headings, lists and tables of an OpenDocument file as blocks of Markdown."""

from collections.abc import Callable, Iterable
from typing import Any

from ilios.engines.converters import inline, markdown
from ilios.engines.converters.list_levels import followed
from ilios.engines.converters.odf.inlines import InlineReader
from ilios.engines.converters.odf.lists import ListReader
from ilios.engines.converters.odf.names import attribute, child, count, tag
from ilios.engines.converters.odf.numbering import Counters
from ilios.engines.converters.odf.styles import MAX_LEVEL, PLAIN, Styles
from ilios.engines.converters.odf.tables import TableReader
from schemas.options import MergedCells

MAX_DEPTH = 60
"""Blocks inside of each other; what is deeper is plain text."""

MAX_HEADING = 6
NOT_SHOWN = frozenset(
    {
        "text:tracked-changes",
        "text:sequence-decls",
        "text:variable-decls",
        "text:user-field-decls",
        "text:dde-connection-decls",
        "text:alphabetical-index-auto-mark-file",
        "text:soft-page-break",
        "text:table-of-content-source",
        "text:illustration-index-source",
        "text:table-index-source",
        "text:object-index-source",
        "text:user-index-source",
        "text:alphabetical-index-source",
        "text:bibliography-source",
        "text:section-source",
        "text:number",
        "office:forms",
        "office:event-listeners",
        "presentation:notes",
        "svg:title",
        "svg:desc",
        "draw:enhanced-geometry",
        "draw:glue-point",
        "draw:contour-polygon",
        "draw:image",
        "draw:control",
        "table:title",
        "table:desc",
    }
)
TITLE, CODE = "Title", frozenset({"Preformatted Text", "HTML Preformatted"})
QUOTES = frozenset({"Quotations", "Quote", "Block Quotation"})


class BlockReader:
    """Reads the blocks of one document, in their order; ``heartbeat`` is called for each."""

    def __init__(
        self,
        inlines: InlineReader,
        styles: Styles,
        merged_cells: MergedCells | None,
        heartbeat: Callable[[], None],
    ) -> None:
        self._inlines = inlines
        self._styles = styles
        self._heartbeat = heartbeat
        self._outline = Counters()
        self._lists = ListReader(styles, self.blocks, self._paragraph, self._heading)
        self._tables = TableReader(merged_cells, self.blocks)
        self._readers = self._readable()
        inlines.blocks = self.blocks
        self._code: list[str] = []
        self._quote: list[str] = []

    @property
    def left_out(self) -> list[str]:
        """What there was too much of, as details of warnings."""
        return self._tables.left_out

    def blocks(self, elements: Iterable[Any], depth: int = 0) -> list[str]:
        """Return the blocks of elements, or of the children of one."""
        outer = self._code, self._quote, self._inlines.after
        self._code, self._quote, self._inlines.after = [], [], []
        found: list[str] = []
        for element in elements:
            self._heartbeat()
            self._block(element, found, depth + 1)
        self._end_code(found)
        self._end_quote(found)
        _add(found, self._inlines.after)
        self._code, self._quote, self._inlines.after = outer
        return found

    def _block(self, element: Any, found: list[str], depth: int) -> None:
        name = tag(element)
        if not name or name in NOT_SHOWN:
            return
        if name == "text:p" and self._styled_lines(element, found):
            self._add_anchored(found)
            return
        self._end_code(found)
        self._end_quote(found)
        if depth > MAX_DEPTH:
            found.append(inline.escape(markdown.one_line(" ".join(element.itertext()))))
            return
        _add(found, self._readers.get(name, self._other)(element, depth))
        self._add_anchored(found)

    def _readable(self) -> dict[str, Callable[[Any, int], list[str]]]:
        """Return what reads the blocks of an element, by its name."""
        anchored = dict.fromkeys(
            ("text:change-start", "text:change-end", "text:change", "office:annotation"),
            lambda element, depth: [self._inlines.anchored(element, depth)],
        )
        return {
            "text:p": lambda element, depth: [self._paragraph(element, depth)],
            "text:h": lambda element, depth: [self._numbered_heading(element, depth)],
            "text:list": self._lists.read,
            "text:numbered-paragraph": self._lists.numbered_paragraph,
            "table:table": self._tables.read,
            "text:section": self._section,
            "draw:frame": lambda element, depth: [self._inlines.anchored(element, depth)],
            "draw:a": lambda element, depth: [self._inlines.anchored(element, depth)],
            **anchored,
        }

    def _section(self, element: Any, depth: int) -> list[str]:
        hidden = attribute(element, "text:display") in ("none", "condition")
        return [] if hidden else self.blocks(element, depth)

    def _other(self, element: Any, depth: int) -> list[str]:
        """Return the blocks of an index, a shape, or an element of another program."""
        return self.blocks(element, depth)

    def _add_anchored(self, found: list[str]) -> None:
        _add(found, self._inlines.after)
        self._inlines.after.clear()

    def _styled_lines(self, element: Any, found: list[str]) -> bool:
        """Read a line of code or a paragraph of a quote, which neighbours may continue."""
        names = self._styles.names(attribute(element, "text:style-name"))
        if not CODE.isdisjoint(names):
            self._end_quote(found)
            self._code.append(self._inlines.source(element))
            return True
        if not QUOTES.isdisjoint(names):
            self._end_code(found)
            self._quote.append(self._paragraph(element))
            return True
        return False

    def _end_code(self, found: list[str]) -> None:
        if any(line.strip() for line in self._code):
            found.append(markdown.fenced("\n".join(self._code).strip("\n")))
        self._code = []

    def _end_quote(self, found: list[str]) -> None:
        if self._quote:
            found.append(markdown.quoted("\n\n".join(filter(None, self._quote))))
        self._quote = []

    def _paragraph(self, element: Any, depth: int = 0) -> str:
        name = attribute(element, "text:style-name")
        names = self._styles.names(name)
        if TITLE in names:
            return self._heading(element, 1, "", depth)
        if level := self._styles.outline_level(name):
            return self._heading(element, level, "", depth)
        heading = "Table Heading" in names
        base = PLAIN if heading else self._styles.text(name, "paragraph")
        return inline.escape_line_starts(self._inlines.paragraph(element, base, depth).strip())

    def _numbered_heading(self, element: Any, depth: int) -> str:
        level = count(element, "text:outline-level", MAX_LEVEL)
        settings = self._styles.outline.get(level)
        name = attribute(element, "text:style-name")
        label = ""
        header = attribute(element, "text:is-list-header") == "true"
        if settings and settings.format and not header and self._styles.list_style(name) != "":
            start = None
            if attribute(element, "text:restart-numbering") == "true":
                start = count(element, "text:start-value", 10**9, settings.start)
            self._outline.next(level, settings, start)
            label = self._outline.label(level, self._styles.outline)
        return self._heading(element, level, label, depth)

    def _heading(self, element: Any, level: int, label: str, depth: int) -> str:
        written = child(element, "text:number")
        if written is not None and "".join(written.itertext()).strip():
            label = "".join(written.itertext()).strip()
        text = markdown.one_line(self._inlines.paragraph(element, PLAIN, depth))
        if not text:
            return ""
        return f"{'#' * min(level, MAX_HEADING)} {f'{label} {text}'.strip()}"


def _add(found: list[str], blocks: Iterable[str]) -> None:
    """Add blocks, whose lists keep the numbers they begin with."""
    for block in blocks:
        if block.strip():
            found.append(followed(found[-1:], block, typed=False))
