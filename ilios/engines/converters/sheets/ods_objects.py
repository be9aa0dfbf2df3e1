"""Objects of a sheet of an OpenDocument spreadsheet: charts, text boxes and pictures."""

import base64
import posixpath
from collections.abc import Iterator
from typing import Any

from ilios.engines.converters import markdown
from ilios.engines.converters.inline import escape_line_starts
from ilios.engines.converters.sheets.cells import Sheet
from ilios.engines.converters.sheets.ods_file import CONTENT, SpreadsheetFile
from ilios.engines.converters.sheets.ods_text import attribute, paragraphs_text
from ilios.engines.converters.sheets.pictures import Pictures
from ilios.engines.converters.sheets.xml_stream import local_name
from ilios.engines.converters.xml_trees import parse_xml

MAX_OBJECTS = 5_000
MAX_DEPTH = 20
MAX_CHART_CELLS = 50_000
_SHAPES = frozenset(
    {"custom-shape", "rect", "ellipse", "circle", "line", "polygon", "polyline", "path", "caption"}
    | {"connector", "text-box"}
)


class ObjectReader:
    """Collects the objects of a sheet as Markdown in ``texts``."""

    def __init__(
        self, file: SpreadsheetFile, sheet: Sheet, pictures: Pictures, raised: dict[str, str]
    ) -> None:
        self._file = file
        self._sheet = sheet
        self._pictures = pictures
        self._raised = raised
        self.texts: list[str] = []
        self._charts = {CONTENT}

    def add(self, parent: Any, depth: int = 0) -> None:
        """Add the objects in an element."""
        for one in parent:
            name = local_name(one)
            if name not in ("frame", "g", "a") and name not in _SHAPES:
                continue
            if len(self.texts) >= MAX_OBJECTS or depth > MAX_DEPTH:
                self._sheet.left_out["drawn objects"] += 1
            elif name in ("g", "a"):
                self.add(one, depth + 1)
            elif text := self._frame(one) if name == "frame" else self._shape(one):
                self.texts.append(text)

    def _frame(self, frame: Any) -> str:
        found = {local_name(one): one for one in reversed(frame)}
        titles = (found.get("desc"), found.get("title"))
        described = next((one.text for one in titles if one is not None and one.text), "")
        if "text-box" in found:
            return self._shape(found["text-box"])
        if "object" in found:
            return self._chart(attribute(found["object"], "href"))
        if "image" in found:
            target = attribute(found["image"], "href")
            inline = _inline(found["image"])
            return self._pictures.add(
                "" if inline else target,
                lambda: inline or self._read(target, "a picture"),
                described,
                self._sheet,
            )
        return ""

    def _shape(self, shape: Any) -> str:
        return escape_line_starts(paragraphs_text(shape, self._raised, self._sheet.links))

    def _read(self, target: str, what: str) -> bytes:
        data = self._file.read(posixpath.normpath(target))
        if data is None:
            self._sheet.unreadable.append(what)
        return data or b""

    def _chart(self, target: str) -> str:
        name = posixpath.normpath(f"{target}/content.xml")
        data = b"" if name in self._charts else self._read(name, "a chart")
        self._charts.add(name)  # each object has a part of its own
        root = parse_xml(data)
        table = None if root is None else next(root.iter("{*}table"), None)
        if root is None or table is None:
            self._sheet.left_out["embedded objects"] += 1
            return ""
        links = self._sheet.links
        title = next((paragraphs_text(one, {}, links) for one in root.iter("{*}title")), "")
        rows = list(self._chart_rows(table))
        return "\n\n".join(filter(None, [f"**{title}**" if title else "", markdown.table(rows)]))

    def _chart_rows(self, table: Any) -> Iterator[list[str]]:
        room = MAX_CHART_CELLS
        for row in table.iter("{*}table-row"):
            cells = [
                paragraphs_text(one, {}, self._sheet.links)
                for one in row
                if local_name(one) == "table-cell"
            ]
            room -= len(cells)
            if room < 0:
                self._sheet.left_out["rows of a chart"] += 1
            elif any(cells):
                yield [cell.replace("\\|", "|") for cell in cells]


def _inline(image: Any) -> bytes:
    """Return the bytes of a picture that is in the content itself."""
    for one in image:
        if local_name(one) == "binary-data":
            try:
                return base64.b64decode(one.text or "")
            except ValueError:
                return b""
    return b""
