"""DOCX to Markdown. A DOCX has no fixed pages: it becomes one."""

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
from ilios.engines.converters.equations import MATH, latex
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import Pages, Ranges, model_name, selected_indices

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


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], ranges: Ranges = ()
) -> Pages:
    """Convert a DOCX; see :class:`ilios.engines.converters.registry.Converter`."""
    archives.check_archive(path, BODY, "DOCX")
    del limits  # it is one page, and the size of the archive is checked
    selected_indices(ranges, 1)
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
    return Pages([markdown.clean(text)], model_name("mammoth"))


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
