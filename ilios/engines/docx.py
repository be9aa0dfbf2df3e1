"""DOCX to Markdown. A DOCX has no pages of its own: it becomes one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import mammoth
from markdownify import MarkdownConverter

from actors.ports import Unconvertible
from ilios.engines import archives, markdown
from ilios.engines.kinds import Written
from ilios.engines.limits import EngineLimits
from ilios.engines.versions import model

STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => h2:fresh
"""
MAX_SPAN = 200
"""Columns or rows one cell may cover; a file may claim any number."""

REPEATED_CHARS = 40
"""A merged cell with no more text stands in every cell it covers, a longer one only in the first:
a heading over three columns belongs to each of them, a paragraph need not be read three times."""


def convert(path: Path, limits: EngineLimits, progress: Callable[[int, int], None]) -> Written:
    """Convert a DOCX; see :class:`ilios.engines.kinds.Converter`."""
    archives.inspect(path, "word/document.xml", "DOCX")
    del limits  # One page, and the archive has bounds of its own.
    progress(0, 1)
    try:
        with path.open("rb") as file:
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
    progress(1, 1)
    return Written([markdown.clean(text)], model("mammoth"))


class _Writer(MarkdownConverter):
    """Writes tables with their merged cells in place, and images as their description."""

    def convert_table(self, el: Any, text: str, parent_tags: set[str]) -> str:
        """Write a table; one inside a cell of another stays plain text."""
        if "td" in parent_tags or "th" in parent_tags:
            return markdown.one_line(text.replace("|", " "))
        return f"\n\n{markdown.table(_grid(el, self))}\n\n"

    def convert_img(self, el: Any, text: str, parent_tags: set[str]) -> str:
        """Write an image as its description, or nothing when it has none."""
        del text, parent_tags
        described = markdown.one_line(str(el.get("alt") or ""))
        return f"![{described}]()" if described else ""


def _grid(table: Any, writer: Any) -> list[list[str]]:
    """Return a table's cells where they stand, the merged ones in all their places."""
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
