"""What is drawn on a worksheet: charts, text boxes and pictures, from top to bottom."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from ilios.engines.converters import markdown
from ilios.engines.converters.charts import chart_tables
from ilios.engines.converters.inline import Run, escape_line_starts, render
from ilios.engines.converters.opc import Package, Relationship, UnreadablePart
from ilios.engines.converters.sheets.cells import Sheet
from ilios.engines.converters.sheets.pictures import Pictures
from ilios.engines.converters.sheets.xlsx_charts import ChartFiller
from ilios.engines.converters.sheets.xml_stream import is_on, local_name, natural

OFFICE = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
MAX_ANCHORS = 5_000
MAX_GROUP_DEPTH = 20
MAX_PARAGRAPHS = 5_000


class _Place(Struct, frozen=True, order=True):
    row: int
    column: int


class DrawingReader:
    """Adds what is drawn to sheets."""

    def __init__(
        self, package: Package, filler: ChartFiller, heartbeat: Callable[[], None]
    ) -> None:
        self._package = package
        self._filler = filler
        self._charts: set[str] = set()
        self._heartbeat = heartbeat

    def read(self, part: str, sheet: Sheet, pictures: Pictures) -> None:
        """Add the objects of a drawing below the cells.

        :raises UnreadablePart: the drawing itself cannot be read.
        """
        root = self._package.xml(part)
        related = self._package.relationships(part)
        anchors = [one for one in root if local_name(one).endswith("Anchor")]
        if len(anchors) > MAX_ANCHORS:
            sheet.left_out["drawn objects"] += len(anchors) - MAX_ANCHORS
        for anchor in sorted(anchors[:MAX_ANCHORS], key=_place):
            self._heartbeat()
            for shape in _shapes(anchor, 0):
                text = self._shape(shape, related, sheet, pictures)
                if text:
                    sheet.below.append(text)

    def _shape(
        self, shape: Any, related: Mapping[str, Relationship], sheet: Sheet, pictures: Pictures
    ) -> str:
        properties = next(shape.iter("{*}cNvPr"), None)
        if properties is not None and is_on(properties.get("hidden")):
            return ""
        match local_name(shape):
            case "sp":
                return _text_box(shape)
            case "pic":
                return self._picture(shape, properties, related, sheet, pictures)
            case "graphicFrame":
                return self._frame(shape, related, sheet)
        return ""

    def _frame(self, shape: Any, related: Mapping[str, Relationship], sheet: Sheet) -> str:
        for data in shape.iter("{*}graphicData"):
            for one in data:
                target = related.get(one.get(f"{OFFICE}id", ""))
                if local_name(one) == "chart" and target is not None:
                    return self._chart(target.target, sheet)
        sheet.left_out["diagrams"] += 1
        return ""

    def _chart(self, part: str, sheet: Sheet) -> str:
        if part in self._charts:  # each chart has a part of its own
            sheet.left_out["repeated charts"] += 1
            return ""
        self._charts.add(part)
        try:
            root = self._package.xml(part)
            self._filler.fill(root)
            chart = chart_tables(root)
        except UnreadablePart:
            sheet.unreadable.append("a chart")
            return ""
        if chart.left_out:
            sheet.also_left_out.append(chart.left_out)
        return chart.markdown

    def _picture(
        self,
        shape: Any,
        properties: Any,
        related: Mapping[str, Relationship],
        sheet: Sheet,
        pictures: Pictures,
    ) -> str:
        described = "" if properties is None else properties.get("descr") or ""
        blip = next(shape.iter("{*}blip"), None)
        target = related.get(blip.get(f"{OFFICE}embed", "")) if blip is not None else None
        part = target.target if target is not None and not target.external else ""

        def read() -> bytes:
            try:
                return self._package.read(part) if part else b""
            except UnreadablePart:
                sheet.unreadable.append("a picture")
                return b""

        return pictures.add(part, read, described, sheet)


def _place(anchor: Any) -> _Place:
    for one in anchor:
        if local_name(one) == "from":
            numbers = {local_name(child): natural(child.text) for child in one}
            return _Place(numbers.get("row", 0), numbers.get("col", 0))
    return _Place(0, 0)


def _shapes(parent: Any, depth: int) -> Iterator[Any]:
    """Yield the shapes of an anchor, with those of groups in their places."""
    for one in parent:
        name = local_name(one)
        if name == "grpSp" and depth < MAX_GROUP_DEPTH:
            yield from _shapes(one, depth + 1)
        elif name in ("sp", "pic", "graphicFrame"):
            yield one


def _text_box(shape: Any) -> str:
    paragraphs = []
    for body in shape:
        if local_name(body) == "txBody":
            found = [one for one in body if local_name(one) == "p"]
            paragraphs += [_paragraph(one) for one in found[:MAX_PARAGRAPHS]]
    return "\n\n".join(filter(None, paragraphs))


def _paragraph(paragraph: Any) -> str:
    runs = []
    for one in paragraph:
        match local_name(one):
            case "r" | "fld":
                text = "".join(child.text or "" for child in one if local_name(child) == "t")
                style = next((child for child in one if local_name(child) == "rPr"), None)
                raised = natural(style.get("baseline")) if style is not None else 0
                runs.append(
                    Run(
                        text,
                        bold=style is not None and is_on(style.get("b")),
                        italic=style is not None and is_on(style.get("i")),
                        superscript=raised > 0,
                        subscript=style is not None and style.get("baseline", "").startswith("-"),
                    )
                )
            case "br":
                runs.append(Run(" "))
    return escape_line_starts(markdown.one_line(render(runs)))
