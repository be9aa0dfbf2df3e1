"""OpenDocument spreadsheets to Markdown (ISO/IEC 26300-3, 9): each sheet is a page.

The texts of cells are in the file as they are shown.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ilios.engines.converters.sheets.cells import Room, Sheet, State
from ilios.engines.converters.sheets.layout import SheetWriter, sheet_page
from ilios.engines.converters.sheets.ods_file import (
    KIND,
    SpreadsheetFile,
    damaged,
    open_spreadsheet,
)
from ilios.engines.converters.sheets.ods_objects import ObjectReader
from ilios.engines.converters.sheets.ods_rows import RowReader
from ilios.engines.converters.sheets.ods_text import attribute
from ilios.engines.converters.sheets.pictures import Pictures
from ilios.engines.converters.sheets.xml_stream import UnreadableXml, events, local_name
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
MAX_STYLES = 100_000

_NAMES = (
    *("style", "table", "table-row-group", "table-column-group", "table-column", "table-row"),
    "shapes",
)


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a spreadsheet; see :class:`ilios.engines.converters.registry.Converter`."""
    with open_spreadsheet(path) as file:
        progress(0, 1)
        count = _count(file, lambda: progress(0, 1))
        selected = selected_indices(reading.ranges, count)
        check_page_limit(KIND, "sheets", count, len(selected), limits.max_pages)
        reader = _Reader(file, Room(limits.max_output_bytes), progress, reading, selected)
        return Pages(list(reader.pages()), MODEL)


def count_pages(path: Path) -> int:
    """Return how many sheets a spreadsheet has.

    :raises Unconvertible: it is damaged or protected.
    """
    with open_spreadsheet(path) as file:
        return _count(file, lambda: None)


def _count(file: SpreadsheetFile, heartbeat: Callable[[], None]) -> int:
    count = 0
    try:
        with file.content() as stream:
            for event, element in events(stream, ("table", "table-row"), heartbeat):
                count += event == "start" and _is_sheet(element)
    except UnreadableXml as error:
        if not count:
            raise damaged() from error
    if not count:
        raise damaged()
    return count


def _is_sheet(element: Any) -> bool:
    """Whether an element is a sheet, and no table within one or of a former version."""
    parent = element.getparent()
    return (
        local_name(element) == "table"
        and parent is not None
        and local_name(parent) == "spreadsheet"
    )


class _Reader:
    """Reads the selected sheets in one pass."""

    def __init__(
        self,
        file: SpreadsheetFile,
        room: Room,
        progress: Callable[[int, int], None],
        reading: Reading,
        selected: Sequence[int],
    ) -> None:
        self._file = file
        self._room = room
        self._progress = progress
        self._comments = reading.comments
        self._selected = list(selected)
        self._done = 0
        self._writer = SheetWriter(room, reading.merged_cells, self._heartbeat)
        self._hidden_styles: set[str] = set()
        self._raised: dict[str, str] = {}

    def _heartbeat(self) -> None:
        self._progress(self._done, len(self._selected))

    def pages(self) -> Iterator[ConvertedPage]:
        """Yield the pages; one that is cut off by damage has a warning."""
        wanted = set(self._selected)
        index = -1
        rows: RowReader | None = None
        pictures = Pictures()
        try:
            with self._file.content() as stream:
                for event, element in events(stream, _NAMES, self._heartbeat):
                    if _is_sheet(element):
                        index += event == "start"
                        if event == "end" and rows is not None:
                            yield self._page(index, rows, pictures)
                        rows = None
                        if event == "start" and index in wanted:
                            pictures = Pictures()
                            rows = self._begin(element, pictures)
                    elif rows is not None:
                        rows.take(event, element)
                    elif event == "end" and local_name(element) == "style":
                        self._add_style(element)
        except UnreadableXml:
            if rows is None:
                raise damaged() from None
            last = max(rows.sheet.rows, default=-1) + 1
            rows.sheet.unreadable.append(f"the sheet after row {last}" if last else "the sheet")
            yield self._page(index, rows, pictures)

    def _begin(self, element: Any, pictures: Pictures) -> RowReader:
        hidden = attribute(element, "style-name") in self._hidden_styles
        state: State = "hidden" if hidden or attribute(element, "display") == "false" else "visible"
        sheet = Sheet(attribute(element, "name")[:255], state, self._room)
        objects = ObjectReader(self._file, sheet, pictures, self._raised)
        return RowReader(sheet, objects, self._raised, comments=self._comments)

    def _page(self, index: int, rows: RowReader, pictures: Pictures) -> ConvertedPage:
        rows.finish()
        page = sheet_page(index, rows.sheet, self._writer, pictures)
        self._done += 1
        self._heartbeat()
        return page

    def _add_style(self, element: Any) -> None:
        name = attribute(element, "name")
        if len(self._raised) + len(self._hidden_styles) > MAX_STYLES:
            return
        for properties in element:
            if attribute(properties, "display") == "false":
                self._hidden_styles.add(name)
            position = attribute(properties, "text-position").partition(" ")[0]
            if position == "super" or (position[:1].isdigit() and position not in ("0%", "0")):
                self._raised[name] = "super"
            elif position.startswith(("sub", "-")):
                self._raised[name] = "sub"
