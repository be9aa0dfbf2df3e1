"""Graphic frames of a slide: tables, charts, SmartArt and embedded objects."""

from collections.abc import Iterator
from typing import Any

from ilios.engines.converters import markdown
from ilios.engines.converters.charts import chart_tables
from ilios.engines.converters.opc import Package, Relationship, UnreadablePart
from ilios.engines.converters.slides.names import A, R, local
from ilios.engines.converters.slides.notices import Notices
from ilios.engines.converters.slides.smartart import diagram
from ilios.engines.converters.slides.tables import table
from ilios.engines.converters.slides.text import Links, paragraphs
from schemas.options import MergedCells


class FrameWriter:
    """Writes the graphic frames of one slide."""

    def __init__(
        self,
        package: Package,
        relationships: dict[str, Relationship],
        links: Links,
        notices: Notices,
        merged_cells: MergedCells | None,
    ) -> None:
        self._package = package
        self._relationships = relationships
        self._links = links
        self._notices = notices
        self._merged_cells = merged_cells

    def write(self, frame: Any, name: str) -> str:
        """Return the content of a ``p:graphicFrame`` as Markdown.

        :raises UnreadablePart: a part with the content.
        """
        data = frame.find(f"{A}graphic/{A}graphicData")
        pieces = [] if data is None else list(self._contents(data, name))
        return "\n\n".join(filter(None, pieces))

    def _contents(self, data: Any, name: str) -> Iterator[str]:
        for child in data:
            match local(child):
                case "tbl":
                    yield self._table(child)
                case "chart":
                    yield self._chart(child)
                case "relIds":
                    text, more = diagram(data, self._package, self._relationships)
                    if more:
                        self._notices.left_out("points of a diagram")
                    yield text
                case "oleObj":
                    self._notices.attached(_object_name(child, name))
                case _:
                    bodies = (one for one in child.iter() if local(one) == "txBody")
                    for body in bodies:
                        yield paragraphs(body, self._links)

    def _table(self, element: Any) -> str:
        written = table(element, self._links, self._merged_cells)
        if written.rows_left_out:
            self._notices.left_out(f"{written.rows_left_out} rows of a table")
        return written.markdown

    def _chart(self, element: Any) -> str:
        found = self._relationships.get(element.get(f"{R}id", ""))
        if found is None or found.external:
            raise UnreadablePart("a chart")
        chart = chart_tables(self._package.xml(found.target))
        if chart.left_out:
            self._notices.left_out(chart.left_out)
        return "\n\n".join(filter(None, [chart.markdown, *self._drawn_over(found.target)]))

    def _drawn_over(self, chart: str) -> Iterator[str]:
        """Yield the texts of shapes that are drawn onto a chart."""
        for one in self._package.relationships(chart).values():
            if one.type == "chartUserShapes" and not one.external:
                drawing = self._package.xml(one.target)
                for body in [body for body in drawing.iter() if local(body) == "txBody"]:
                    yield paragraphs(body, self._links)


def _object_name(element: Any, name: str) -> str:
    """Return how an embedded object is named for its owner: by its kind and program."""
    names = [element.get("name") or name, element.get("progId", "")]
    kind, program = map(markdown.one_line, names)
    return f"{kind} ({program})" if kind and program else kind or program or "an object"
