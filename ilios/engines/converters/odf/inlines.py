"""Text within a paragraph of an OpenDocument file."""

import re
from collections.abc import Callable
from typing import Any

from msgspec import structs

from ilios.engines.converters import inline, markdown
from ilios.engines.converters.inline import Run
from ilios.engines.converters.left_out_links import LeftOutLinks
from ilios.engines.converters.odf.changes import Changes
from ilios.engines.converters.odf.names import attribute, child, count, tag
from ilios.engines.converters.odf.package import Package
from ilios.engines.converters.odf.pictures import Pictures
from ilios.engines.converters.odf.styles import PLAIN, Styles, TextStyle
from ilios.engines.converters.web.mathml import latex

MAX_DEPTH = 40
"""Elements of a paragraph inside of each other; what is deeper is plain text."""

MAX_BLANKS = 200
MAX_LABEL = 20  # characters
CODE_STYLES = frozenset({"Source Text", "Teletype", "User Entry", "Example"})
NOT_SHOWN = frozenset(
    {
        "text:bookmark-start",
        "text:bookmark-end",
        "text:hidden-text",
        "text:script",
        "text:tracked-changes",
        "office:annotation-end",
        "office:forms",
        "presentation:notes",
        "text:note-citation",
        "text:number",
        "draw:control",
    }
)
SHAPES = frozenset(
    {
        "draw:caption",
        "draw:circle",
        "draw:connector",
        "draw:custom-shape",
        "draw:ellipse",
        "draw:line",
        "draw:path",
        "draw:polygon",
        "draw:rect",
        "draw:regular-polygon",
    }
)
BLOCKS = frozenset({"table:table", "text:p", "text:h", "text:list"})
BOXES = SHAPES | {"draw:text-box"}
_BLANKS = re.compile(r"[ \t\r\n]+")

ReadBlocks = Callable[[Any, int], list[str]]


class InlineReader:
    """Reads paragraphs; ``blocks`` reads what stands in their notes and text boxes."""

    def __init__(
        self, package: Package, styles: Styles, changes: Changes, *, comments: bool
    ) -> None:
        self.pictures = Pictures()
        self.links = LeftOutLinks()
        self.notes: list[str] = []
        self.after: list[str] = []
        """Blocks that are anchored to paragraphs read so far, in their order."""

        self.blocks: ReadBlocks = lambda *_: []
        self._package = package
        self._styles = styles
        self._changes = changes
        self._comments = comments
        self._labels: set[str] = set()
        self._last_label = 0
        self._runs: list[Run] = []
        self._readers = self._readable()

    def paragraph(self, element: Any, base: TextStyle = PLAIN, depth: int = 0) -> str:
        """Return the Markdown of a paragraph; what is anchored to it is added to ``after``."""
        outer, self._runs = self._runs, []
        self._runs += self._changes.reopened()
        self._walk(element, base, "", depth)
        self._runs += self._changes.suspended()
        runs, self._runs = self._runs, outer
        if len(runs) == 1 and runs[0].markup and runs[0].text.startswith("$"):
            return f"${runs[0].text}$"
        return _without_empty_marks(inline.render(_trimmed(runs)))

    def anchored(self, element: Any, depth: int = 0) -> str:
        """Return the Markdown of an element that stands between paragraphs."""
        outer, self._runs = self._runs, []
        self._element(element, PLAIN, "", depth)
        runs, self._runs = self._runs, outer
        runs = [run for run in runs if run.text not in ("<ins>", "</ins>")]
        return inline.render(runs).strip()

    def source(self, element: Any) -> str:
        """Return the text of a line of code, with all its blanks."""
        outer, self._runs = self._runs, []
        self._walk(element, PLAIN, "", 0)
        runs, self._runs = self._runs, outer
        return "".join(run.text for run in runs)

    def _walk(self, element: Any, style: TextStyle, link: str, depth: int) -> None:
        self._text(element.text, style, link)
        for inside in element:
            self._element(inside, style, link, depth + 1)
            self._text(inside.tail, style, link)

    def _text(self, text: str | None, style: TextStyle, link: str) -> None:
        if not text or style.hidden or self._changes.hides:
            return
        text = _BLANKS.sub(" ", text)
        if text.startswith(" ") and self._ends_with_blank():
            text = text[1:]  # blanks collapse across elements (part 3, 6.1.2)
        self._runs.append(style.run(text, link))

    def _ends_with_blank(self) -> bool:
        return not self._runs or self._runs[-1].text.endswith((" ", "\n"))

    def _element(self, element: Any, style: TextStyle, link: str, depth: int) -> None:
        name = tag(element)
        if not name or name in NOT_SHOWN:
            return
        if depth > MAX_DEPTH:
            self._text(" ".join(element.itertext()), style, link)
            return
        if name in BLOCKS:
            self.after += self.blocks([element], depth)
        elif name in BOXES:
            self.after += self.blocks(element, depth)
        elif (read := self._readers.get(name)) is not None:
            read(element, style, link, depth)
        else:
            self._walk(element, style, link, depth)

    def _readable(self) -> dict[str, Callable[[Any, TextStyle, str, int], None]]:
        """Return what reads an element, by its name."""
        return {
            "text:span": self._span,
            "text:a": self._link,
            "text:s": self._white_space,
            "text:tab": self._white_space,
            "text:line-break": self._white_space,
            "text:ruby": self._ruby,
            "text:note": lambda element, _, __, depth: self._note(element, depth),
            "office:annotation": lambda element, *_: self._comment(element),
            "draw:frame": lambda element, _, __, depth: self._frame(element, depth),
            **dict.fromkeys(
                ("text:change-start", "text:change-end", "text:change"),
                lambda element, *_: self._change(element),
            ),
        }

    def _change(self, element: Any) -> None:
        self._runs += self._changes.mark(element, self._deleted)

    def _link(self, element: Any, style: TextStyle, link: str, depth: int) -> None:
        address = self.links.checked(attribute(element, "xlink:href"))
        self._walk(element, style, address or link, depth)

    def _white_space(self, element: Any, style: TextStyle, link: str, _: int) -> None:
        if style.hidden or self._changes.hides:
            return
        sign = {"text:tab": "\t", "text:line-break": "\n"}.get(tag(element), " ")
        text = sign * count(element, "text:c", MAX_BLANKS)
        self._runs.append(style.run(text, link))

    def _span(self, element: Any, style: TextStyle, link: str, depth: int) -> None:
        name = attribute(element, "text:style-name")
        own = self._styles.text(name).over(style)
        if CODE_STYLES.isdisjoint(self._styles.names(name, "text")):
            self._walk(element, own, link, depth)
            return
        before = len(self._runs)
        self._walk(element, PLAIN, link, depth)
        text = "".join(run.text for run in self._runs[before:])
        self._runs[before:] = [Run(text, code=True)]

    def _note(self, element: Any, depth: int) -> None:
        citation, body = child(element, "text:note-citation"), child(element, "text:note-body")
        if body is None or self._changes.hides:
            return
        shown = "".join("" if citation is None else citation.itertext()).strip()
        prefix = "e" if attribute(element, "text:note-class") == "endnote" else ""
        label = self._label(prefix, shown)
        place = len(self.notes)
        self.notes.append("")
        text = "\n\n".join(self.blocks(body, depth))
        self.notes[place] = f"[^{label}]: " + text.replace("\n", "\n    ").replace(
            "\n    \n", "\n\n"
        )
        self._runs.append(Run(f"[^{label}]", markup=True))

    def _label(self, prefix: str, shown: str = "") -> str:
        """Return the label of a note: the number it has, if no other has it."""
        plain = shown.isascii() and shown.isalnum() and len(shown) < MAX_LABEL
        label = f"{prefix}{shown}" if plain else ""
        if not label or label in self._labels:
            self._last_label += 1
            label = f"{prefix or 'n'}{self._last_label}"
        while label in self._labels:
            self._last_label += 1
            label = f"{prefix or 'n'}{self._last_label}"
        self._labels.add(label)
        return label

    def _comment(self, element: Any) -> None:
        if not self._comments:
            return
        author = markdown.one_line("".join(_texts(child(element, "dc:creator"))))
        paragraphs = [
            markdown.one_line("".join(one.itertext()))
            for one in element
            if tag(one) in ("text:p", "text:h", "text:list")
        ]
        if text := inline.escape(" ".join(paragraphs)):
            label = self._label("c")
            who = f"**{inline.escape(author)}**: " if author else ""
            self.notes.append(f"[^{label}]: {who}{text}")
            self._runs.append(Run(f"[^{label}]", markup=True))

    def _deleted(self, content: Any) -> str:
        """Return what stood where a deletion is."""
        outer, self._runs = self._runs, []
        for paragraph in content:
            if self._runs:
                self._runs.append(Run(" "))
            self._walk(paragraph, PLAIN, "", MAX_DEPTH // 2)
        runs, self._runs = self._runs, outer
        return inline.render(runs)

    def _ruby(self, element: Any, style: TextStyle, link: str, depth: int) -> None:
        for inside in element:
            if tag(inside) == "text:ruby-text":
                text = "".join(inside.itertext())
                self._runs += [style.run(f"({text})", link)] if text else []
            else:
                self._walk(inside, style, link, depth)

    def _frame(self, element: Any, depth: int) -> None:
        """Read the first content of a frame that can be read: further ones replace it."""
        names = {tag(inside): inside for inside in reversed(element)}
        alternative = " ".join(
            "".join(_texts(names.get(name))) for name in ("svg:title", "svg:desc")
        )
        if (box := names.get("draw:text-box")) is not None:
            self.after += self.blocks(box, depth)
        elif (table := names.get("table:table")) is not None:
            self.after += self.blocks([table], depth)
        elif (embedded := names.get("draw:object")) is not None and self._object(embedded, depth):
            return
        elif "draw:image" in names:
            self._image(element, alternative)

    def _image(self, frame: Any, alternative: str) -> None:
        images = [inside for inside in frame if tag(inside) == "draw:image"]
        data = None
        for image in images:
            data = self._package.picture(image)
            if data and not data.startswith((b"<", b"\x01\0\0\0", b"\xd7\xcd")):
                break  # not SVG, EMF or WMF, beside which others stand
        self._runs.append(Run(self.pictures.add(data, alternative), markup=True))

    def _object(self, element: Any, depth: int) -> bool:
        root = self._package.embedded(element)
        if root is None:
            return False
        if tag(root) == "math:math":
            formula = latex(root)
            self._runs += [Run(f"${formula}$", markup=True)] if formula else []
            return bool(formula)
        body = child(root, "office:body") if tag(root).startswith("office:") else None
        before = len(self.after)
        for inside in body if body is not None else ():
            self.after += self.blocks(inside, depth)
        return len(self.after) > before


def _texts(element: Any) -> Any:
    return () if element is None else element.itertext()


def _trimmed(runs: list[Run]) -> list[Run]:
    """Return runs whose tabs are blanks."""
    return [
        run
        if run.code or "\t" not in run.text
        else structs.replace(run, text=run.text.replace("\t", " "))
        for run in runs
    ]


def _without_empty_marks(text: str) -> str:
    return text.replace("<ins></ins>", "").replace("<del></del>", "")
