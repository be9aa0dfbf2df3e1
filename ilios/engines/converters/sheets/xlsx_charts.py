"""Charts without copies of the cells they show are filled from the cells."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lxml import etree

from ilios.engines.converters.sheets.xlsx_rows import parse_area
from ilios.engines.converters.sheets.xml_stream import local_name

CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
MAX_POINTS = 100_000
"""Cells that the charts of a workbook are filled with."""

_REFERENCE = re.compile(r"(?:'((?:[^']|'')+)'|([^'!()]+))!([A-Za-z0-9$:]+)")

Rows = Mapping[int, Mapping[int, str]]
"""Cells as Markdown by row and column."""


class ChartFiller:
    """Fills charts with cells.

    :param rows_of: returns the cells of a sheet by its name; None if there is no such sheet.
    """

    def __init__(self, rows_of: Callable[[str], Rows | None]) -> None:
        self._rows_of = rows_of
        self._left = MAX_POINTS

    def fill(self, chart: Any) -> None:
        """Add points to the references to cells that have none."""
        for reference in list(chart.iter(f"{CHART}numRef", f"{CHART}strRef")):
            formula = next((one for one in reference if local_name(one) == "f"), None)
            if formula is None or next(reference.iter(f"{CHART}pt"), None) is not None:
                continue
            for cache in reference:
                if cache is not formula:
                    reference.remove(cache)
            cache = etree.SubElement(reference, f"{CHART}strCache")
            for place, text in self._texts(formula.text or ""):
                point = etree.SubElement(cache, f"{CHART}pt", idx=str(place))
                etree.SubElement(point, f"{CHART}v").text = text

    def _texts(self, formula: str) -> Iterator[tuple[int, str]]:
        """Yield the places and texts of the cells of one area."""
        found = _REFERENCE.fullmatch(formula.strip())
        area = parse_area(found[3].replace("$", "")) if found else None
        if found is None or area is None:
            return
        rows = self._rows_of((found[1] or found[2]).replace("''", "'"))
        width = area.right - area.left + 1
        for row in range(area.top, area.bottom + 1) if rows else ():
            cells = (rows or {}).get(row, {})
            for column in range(area.left, area.right + 1):
                if self._left <= 0:
                    return
                self._left -= 1
                if text := cells.get(column):
                    place = (row - area.top) * width + column - area.left
                    yield place, text.replace("\\|", "|")
