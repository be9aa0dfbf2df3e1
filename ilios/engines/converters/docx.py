"""DOCX to Markdown, with its equations (OMML) as LaTeX. It has no fixed pages: it becomes one."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from xml.etree import ElementTree as ET
from zipfile import BadZipFile, ZipFile

import mammoth
from markdownify import MarkdownConverter

from actors.engines import Unconvertible
from ilios.engines.converters import archives, markdown
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, Pages, Reading, markdown_pages, model_name, selected_indices

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BODY = "word/document.xml"
_MARK = re.compile("\ue000([0-9]{1,6})\ue001")

STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => h2:fresh
"""
MAX_SPAN = 200
"""Columns or rows one cell may cover; a file may claim any number."""

REPEATED_CHARS = 40
"""A merged cell with no more text is repeated in every cell it covers, a longer one is not: a
heading over three columns belongs to each of them, a paragraph need not be read three times."""

MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
MAX_EQUATION_DEPTH = 60
"""Deeper nesting is dropped, to stay below Python's recursion limit."""

SYMBOLS = {
    "\u2211": r"\sum", "\u220f": r"\prod", "\u222b": r"\int", "\u222c": r"\iint",
    "\u222d": r"\iiint", "\u222e": r"\oint", "\u22c3": r"\bigcup", "\u22c2": r"\bigcap",
    "\u22c0": r"\bigwedge", "\u22c1": r"\bigvee",
}  # fmt: skip
"""Operators with limits."""

LETTERS = {  # the escapes are letters that look like Latin ones
    "\u03b1": r"\alpha", "β": r"\beta", "\u03b3": r"\gamma", "δ": r"\delta", "ε": r"\epsilon",
    "ϵ": r"\epsilon", "θ": r"\theta", "λ": r"\lambda", "μ": r"\mu", "π": r"\pi",
    "\u03c1": r"\rho", "\u03c3": r"\sigma", "τ": r"\tau", "φ": r"\phi", "ω": r"\omega",
    "Γ": r"\Gamma", "Δ": r"\Delta", "Ω": r"\Omega", "∞": r"\infty", "\u00d7": r"\times",
    "⋅": r"\cdot", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "±": r"\pm", "∈": r"\in",
    "∩": r"\cap", "\u222a": r"\cup", "→": r"\to", "∂": r"\partial", "≈": r"\approx",
    "…": r"\ldots", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#",
}  # fmt: skip
FUNCTIONS = {"sin", "cos", "tan", "log", "ln", "exp", "lim", "max", "min", "sup", "inf", "det"}


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a DOCX; see :class:`ilios.engines.converters.registry.Converter`."""
    archives.check_archive(path, BODY, "DOCX")
    del limits  # it is one page, and the size of the archive is checked
    selected_indices(reading.ranges, 1)
    progress(0, 1)
    try:
        with _equations_replaced(path) as (file, equations):
            html = mammoth.convert_to_html(
                file,
                style_map=STYLES,
                # Images become their description: never base64 in the text.
                convert_image=mammoth.images.img_element(lambda _: {"src": ""}),
                external_file_access=False,
            ).value
    except (BadZipFile, KeyError, ValueError, AttributeError, SyntaxError) as error:
        raise Unconvertible(
            "corrupt", "The DOCX file is damaged: its text cannot be read."
        ) from error
    text = _Writer(heading_style="ATX", bullets="-").convert(html)
    # Last, or they would have been escaped as text.
    text = _MARK.sub(lambda mark: "".join(equations[int(mark[1]) :][:1]), text)
    progress(1, 1)
    return Pages(markdown_pages([0], [markdown.clean(text)]), model_name("mammoth"))


@contextmanager
def _equations_replaced(path: Path) -> Iterator[tuple[IO[bytes], list[str]]]:
    """Open the file with a placeholder for every equation; yield it and the equations as LaTeX.

    The reader drops equations. A placeholder is a number between two private-use characters.
    """
    with ZipFile(path) as archive:
        body = archive.read(BODY)
        if b"oMath" not in body:
            with path.open("rb") as file:
                yield file, []
            return
        equations: list[str] = []
        tree = ET.fromstring(body)  # noqa: S314 in a confined process
        for parent in list(tree.iter()):
            for place, child in enumerate(parent):
                if child.tag in (f"{{{MATH}}}oMath", f"{{{MATH}}}oMathPara"):
                    parent[place] = _placeholder_run(child, equations)
        with NamedTemporaryFile() as copy:
            with ZipFile(copy, "w") as marked:
                for entry in archive.infolist():
                    if entry.filename != BODY:
                        marked.writestr(entry, archive.read(entry))
                marked.writestr(BODY, ET.tostring(tree))
            yield copy.file, equations


def _placeholder_run(equation: ET.Element, equations: list[str]) -> ET.Element:
    """Append an equation to the list and return the run of text in its place."""
    block = equation.tag.endswith("oMathPara")
    parts = list(equation.iter(f"{{{MATH}}}oMath")) if block else [equation]
    sign, between = ("$$", "\n\n") if block else ("$", " ")
    written = (latex(part) for part in parts)
    equations.append(between.join(f"{sign}{text}{sign}" for text in written if text))
    run = ET.Element(f"{{{WORD}}}r")
    text = ET.SubElement(run, f"{{{WORD}}}t")
    text.text = f"\ue000{len(equations) - 1}\ue001"
    return run


class _Writer(MarkdownConverter):
    """Writes merged cells of tables in all their places, and images as their description."""

    def convert_table(self, el: Any, text: str, parent_tags: set[str]) -> str:
        """Write a table; one inside a cell of another becomes plain text."""
        if "td" in parent_tags or "th" in parent_tags:
            return markdown.one_line(text.replace("|", " "))
        return f"\n\n{markdown.table(_grid(el, self))}\n\n"

    def convert_img(self, el: Any, text: str, parent_tags: set[str]) -> str:
        """Write an image as its description, or nothing when it has none."""
        del text, parent_tags
        described = markdown.one_line(str(el.get("alt") or ""))
        return f"![{described}]()" if described else ""


def _grid(table: Any, writer: Any) -> list[list[str]]:
    """Return a table's cells by row and column, merged ones in all their places."""
    cells: dict[tuple[int, int], str] = {}
    rows = [row for row in table.find_all("tr") if row.find_parent("table") is table]
    for y, row in enumerate(rows):
        x = 0
        for cell in row.find_all(["td", "th"], recursive=False):
            while (y, x) in cells:
                x += 1
            text = markdown.one_line(writer.process_tag(cell, parent_tags={"td"}).strip(" |\n"))
            more = text if len(text) <= REPEATED_CHARS else ""
            for down in range(_span(cell, "rowspan")):
                for right in range(_span(cell, "colspan")):
                    cells[y + down, x + right] = more if down or right else text
    width = max((x for _, x in cells), default=-1) + 1
    return [[cells.get((y, x), "") for x in range(width)] for y in range(len(rows))]


def _span(cell: Any, name: str) -> int:
    value = str(cell.get(name, "1"))
    return min(max(int(value), 1), MAX_SPAN) if value.isdecimal() else 1


def latex(node: ET.Element) -> str:
    """Return the LaTeX of an ``m:oMath`` element."""
    return " ".join(_MathNode(node, 0).text().split())


class _MathNode:
    """A part of an equation and its depth."""

    def __init__(self, node: ET.Element, depth: int) -> None:
        self._node = node
        self._depth = depth

    def text(self) -> str:
        name = self._node.tag.rpartition("}")[2]
        if self._depth > MAX_EQUATION_DEPTH or name.endswith("Pr"):
            return ""
        if name == "r":
            return _run("".join(text.text or "" for text in self._node.iter(f"{{{MATH}}}t")))
        if name in _RENDERERS:
            return _RENDERERS[name](self)
        return "".join(_MathNode(child, self._depth + 1).text() for child in self._node)

    def children(self, name: str) -> "list[_MathNode]":
        return [_MathNode(n, self._depth + 1) for n in self._node.findall(f"{{{MATH}}}{name}")]

    def child_text(self, name: str) -> str:
        return "".join(part.text() for part in self.children(name)[:1]).strip()

    def property_value(self, name: str, default: str) -> str:
        """Return the value of a property of the part, which may be empty."""
        found = self._node.find(f"*/{{{MATH}}}{name}")
        return default if found is None else found.get(f"{{{MATH}}}val", "")


def _run(text: str) -> str:
    if text.strip() in FUNCTIONS:
        return f"\\{text.strip()} "
    return "".join(f"{LETTERS[c]} " if c in LETTERS else c for c in text)


def _nary(part: _MathNode) -> str:
    sign = part.property_value("chr", "\u222b")
    low, high = part.child_text("sub"), part.child_text("sup")
    limits = (f"_{{{low}}}" if low else "") + (f"^{{{high}}}" if high else "")
    return f"{SYMBOLS.get(sign, sign)}{limits} {part.child_text('e')}"


def _delimited(part: _MathNode) -> str:
    begin, end = (
        {"": ".", "{": "\\{", "}": "\\}"}.get(sign, sign)
        for sign in (part.property_value("begChr", "("), part.property_value("endChr", ")"))
    )
    inner = ", ".join(piece.text().strip() for piece in part.children("e"))
    return f"\\left{begin}{inner}\\right{end}"


def _root(part: _MathNode) -> str:
    degree = part.child_text("deg")
    return (
        f"\\sqrt[{degree}]{{{part.child_text('e')}}}"
        if degree
        else f"\\sqrt{{{part.child_text('e')}}}"
    )


def _fraction(part: _MathNode) -> str:
    over = "binom" if part.property_value("type", "bar") == "noBar" else "frac"
    return f"\\{over}{{{part.child_text('num')}}}{{{part.child_text('den')}}}"


def _matrix(part: _MathNode) -> str:
    rows = (
        " & ".join(cell.text().strip() for cell in row.children("e")) for row in part.children("mr")
    )
    inner = " \\\\ ".join(rows)
    return f"\\begin{{matrix}}{inner}\\end{{matrix}}"


def _braced(part: _MathNode) -> str:
    brace = "overbrace" if part.property_value("pos", "bot") == "top" else "underbrace"
    return f"\\{brace}{{{part.child_text('e')}}}"


_RENDERERS: dict[str, Callable[[_MathNode], str]] = {
    "acc": lambda part: f"\\hat{{{part.child_text('e')}}}",
    "bar": lambda part: f"\\overline{{{part.child_text('e')}}}",
    "d": _delimited,
    "f": _fraction,
    "func": lambda part: f"{part.child_text('fName')} {part.child_text('e')}",
    "groupChr": _braced,
    "limLow": lambda part: f"{part.child_text('e')}_{{{part.child_text('lim')}}}",
    "limUpp": lambda part: f"{part.child_text('e')}^{{{part.child_text('lim')}}}",
    "m": _matrix,
    "nary": _nary,
    "rad": _root,
    "sSub": lambda part: f"{part.child_text('e')}_{{{part.child_text('sub')}}}",
    "sSubSup": lambda part: (
        f"{part.child_text('e')}_{{{part.child_text('sub')}}}^{{{part.child_text('sup')}}}"
    ),
    "sSup": lambda part: f"{part.child_text('e')}^{{{part.child_text('sup')}}}",
}
