"""Excel workbooks (XLSX, XLSM, XLTX) to Markdown: each sheet is a page.

Results of formulas are those that the program stored; nothing is calculated, and no macro is run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ilios.engines.converters.opc import Package, Relationship, UnreadablePart, open_package
from ilios.engines.converters.sheets.cell_text import cell_link
from ilios.engines.converters.sheets.cells import Room, Sheet
from ilios.engines.converters.sheets.layout import SheetWriter, sheet_page
from ilios.engines.converters.sheets.pictures import Pictures
from ilios.engines.converters.sheets.workbook import SheetEntry, Workbook
from ilios.engines.converters.sheets.xlsx_charts import ChartFiller, Rows
from ilios.engines.converters.sheets.xlsx_drawings import OFFICE, DrawingReader
from ilios.engines.converters.sheets.xlsx_notes import read_comments, read_people
from ilios.engines.converters.sheets.xlsx_rows import RowReader, add_columns, parse_area
from ilios.engines.converters.sheets.xml_stream import UnreadableXml, elements, local_name
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    ConvertedPage,
    Pages,
    Reading,
    check_page_limit,
    selected_indices,
)

MODEL = "ilios-sheets-1"
KIND = "XLSX"
MAX_CHART_SHEETS = 20
MAX_CHART_CELLS = 500_000
"""Sheets, and all their cells, that are read for charts on other sheets."""

MAX_LINKED_CELLS = 50_000
"""Cells of a sheet that are links."""

_ELEMENTS = ("row", "col", "mergeCell", "hyperlink", "drawing")


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a workbook; see :class:`ilios.engines.converters.registry.Converter`."""
    done = total = 0

    def heartbeat() -> None:
        progress(done, total)

    with open_package(path, KIND) as package:
        book = Workbook(package, heartbeat)
        sheets = book.sheets()
        selected = selected_indices(reading.ranges, len(sheets))
        check_page_limit(KIND, "sheets", len(sheets), len(selected), limits.max_pages)
        total = len(selected)
        heartbeat()
        reader = _SheetReader(book, package, reading, Room(limits.max_output_bytes), heartbeat)
        pages = []
        for index in selected:
            pages.append(reader.page(index, sheets[index]))
            done = len(pages)
            heartbeat()
    return Pages(pages, MODEL)


def count_pages(path: Path) -> int:
    """Return how many sheets a workbook has.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_package(path, KIND) as package:
        return len(Workbook(package, lambda: None).sheets())


class _SheetReader:
    """Reads the sheets of a workbook one after another."""

    def __init__(
        self,
        book: Workbook,
        package: Package,
        reading: Reading,
        room: Room,
        heartbeat: Callable[[], None],
    ) -> None:
        self._book = book
        self._package = package
        self._comments = reading.comments
        self._room = room
        self._heartbeat = heartbeat
        self._writer = SheetWriter(room, reading.merged_cells, heartbeat)
        self._drawings = DrawingReader(package, ChartFiller(self._rows_of), heartbeat)
        self._current: Sheet | None = None
        self._others: dict[str, Rows | None] = {}
        self._others_room = Room(0, MAX_CHART_CELLS)
        self._people: dict[str, str] = {}
        if reading.comments:
            self._people = read_people(package, book.part_of_kind("person"))

    def page(self, index: int, entry: SheetEntry) -> ConvertedPage:
        sheet = Sheet(entry.name, entry.state, self._room)
        pictures = Pictures()
        if entry.part is None:
            sheet.unreadable.append("the sheet")
        else:
            self._read(entry.part, sheet, pictures)
        sheet.unreadable += self._book.unreadable
        self._book.unreadable.clear()
        return sheet_page(index, sheet, self._writer, pictures)

    def _rows_of(self, name: str) -> Rows | None:
        """Return the cells of a sheet for a chart."""
        if self._current is not None and name == self._current.name:
            return self._current.rows
        if name not in self._others and len(self._others) < MAX_CHART_SHEETS:
            entries = (one for one in self._book.sheets() if one.name == name and one.part)
            self._others[name] = next(map(self._read_rows, entries), None)
        return self._others.get(name)

    def _read_rows(self, entry: SheetEntry) -> Rows:
        sheet = Sheet(entry.name, entry.state, self._others_room)
        rows = RowReader(sheet, self._book.strings, self._book.formats)
        try:
            with self._package.stream(entry.part or "") as stream:
                for element in elements(stream, ("row",), self._heartbeat):
                    rows.add(element)
                    if not sheet.has_room:
                        break
        except (UnreadableXml, UnreadablePart):
            pass  # the page of that sheet has the warning
        return sheet.rows

    def _read(self, part: str, sheet: Sheet, pictures: Pictures) -> None:
        self._current = sheet
        related = self._package.relationships(part)
        links: list[tuple[str, str]] = []
        drawings: list[str] = []
        try:
            rows = RowReader(sheet, self._book.strings, self._book.formats)
            with self._package.stream(part) as stream:
                for element in elements(stream, _ELEMENTS, self._heartbeat):
                    name = local_name(element)
                    if name == "row":
                        rows.add(element)
                    elif name not in ("hyperlink", "drawing"):
                        _add_area(sheet, element)
                    elif (target := related.get(_related_id(element))) is None:
                        continue
                    elif target.external:
                        links.append((element.get("ref", ""), target.target))
                    elif name == "drawing":
                        drawings.append(target.target)
        except (UnreadableXml, UnreadablePart):
            last = max(sheet.rows, default=-1) + 1
            sheet.unreadable.append(f"the sheet after row {last}" if last else "the sheet")
        _add_links(sheet, links)
        self._add_drawings(drawings, sheet, pictures)
        if self._comments:
            self._add_comments(related, sheet)

    def _add_drawings(self, drawings: list[str], sheet: Sheet, pictures: Pictures) -> None:
        for drawing in dict.fromkeys(drawings):
            try:
                self._drawings.read(drawing, sheet, pictures)
            except UnreadablePart:
                sheet.unreadable.append("drawings")

    def _add_comments(self, related: Mapping[str, Relationship], sheet: Sheet) -> None:
        try:
            comments = read_comments(self._package, related, self._people)
        except UnreadablePart:
            sheet.unreadable.append("comments")
            return
        if comments:
            sheet.below.append("\n".join(["**Comments**", "", *comments]))


def _related_id(element: Any) -> str:
    """Return the id of a relationship, in the namespace of strict or transitional documents."""
    names = (name for name in element.attrib if name.endswith("}id"))
    return str(element.get(next(names, f"{OFFICE}id"), ""))


def _add_area(sheet: Sheet, element: Any) -> None:
    if local_name(element) == "col":
        add_columns(sheet, element)
    elif (area := parse_area(element.get("ref", ""))) is not None:
        sheet.merge(area)


def _add_links(sheet: Sheet, links: list[tuple[str, str]]) -> None:
    room = MAX_LINKED_CELLS
    for reference, address in links:
        area = parse_area(reference)
        if area is None:
            continue
        for row in range(area.top, min(area.bottom, area.top + room) + 1):
            cells = sheet.rows.get(row, {})
            for column in range(area.left, area.right + 1):
                room -= 1
                if room < 0:
                    return
                if text := cells.get(column):
                    cells[column] = cell_link(text, address, sheet.links)
