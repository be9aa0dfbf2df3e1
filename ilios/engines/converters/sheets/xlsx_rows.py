"""Cells of a worksheet (ECMA-376-1, 18.3.1) with their values as they are shown."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ilios.engines.converters.sheets.cell_formats import CellFormat
from ilios.engines.converters.sheets.cell_text import cell_link, cell_text, runs_text
from ilios.engines.converters.sheets.cells import (
    MAX_COLUMN,
    MAX_ROW,
    Merge,
    Sheet,
    column_name,
    column_number,
)
from ilios.engines.converters.sheets.xml_stream import is_on, local_name, natural

MAX_SHOWN = 50_000
"""Shown values that are remembered for each format, as most come again."""

_REFERENCE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")
_LINK_FORMULA = re.compile(r'\s*HYPERLINK\(\s*"([^"]{1,2000})"', re.IGNORECASE)
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  cells have no time zone


class RowReader:
    """Adds the cells of rows to a sheet.

    :param strings: the shared strings as Markdown.
    :param formats: the format of each style of cells.
    """

    def __init__(self, sheet: Sheet, strings: Sequence[str], formats: Sequence[CellFormat]) -> None:
        self._sheet = sheet
        self._strings = strings
        self._formats = formats or (CellFormat("General"),)
        self._shown: list[dict[str, str]] = [{} for _ in self._formats]
        self._columns: dict[str, int] = {}
        self._next_row = 0

    def add(self, row: Any) -> None:
        """Add the cells of a ``row`` element."""
        number = natural(row.get("r"), self._next_row + 1) - 1
        number = max(number, 0)
        self._next_row = number + 1
        if is_on(row.get("hidden")):
            self._sheet.hidden_rows.add(number, number)
        cells: dict[int, str] = {}
        column = -1
        for cell in row:
            get = cell.get
            reference = get("r")
            column = column + 1 if reference is None else self._column(reference)
            count = len(cell)
            if not count:
                continue
            child = cell[0]
            tag = child.tag  # that of a reference to an entity is no text
            # Most cells are numbers and shared strings.
            if count == 1 and isinstance(tag, str) and tag.endswith("}v"):
                kind, value = get("t"), child.text
                text = "" if value is None else self._value(get("s"), kind, value)
            else:
                text = self._text(cell, number, column)
            if text:
                if column < MAX_COLUMN:
                    cells[column] = text
                else:
                    self._sheet.put(number, column, text)
        self._sheet.put_row(number, cells)

    def _column(self, reference: str) -> int:
        letters = reference.rstrip("0123456789")
        column = self._columns.get(letters)
        if column is None:
            column = column_number(letters.strip("$"))
            if len(self._columns) < MAX_COLUMN:
                self._columns[letters] = column
        return column

    def _text(self, cell: Any, row: int, column: int) -> str:
        value = formula = inline = None
        for child in cell:
            tag = child.tag
            if tag.__class__ is not str:
                continue
            if tag.endswith("}v"):
                value = child.text
            elif tag.endswith("}f"):
                formula = child
            elif tag.endswith("}is"):
                inline = child
        kind = cell.get("t")
        text = "" if value is None else self._value(cell.get("s"), kind, value)
        if inline is not None:
            text = shared_string(inline)
        if formula is None:
            return text
        if value is None and inline is None and kind != "str":
            self._sheet.lacks_result(f"{column_name(column)}{row + 1}")
            return cell_text(f"={formula.text}") if formula.text else ""
        if text and formula.text and (link := _LINK_FORMULA.match(formula.text)):
            return cell_link(text, link[1], self._sheet.links)
        return text

    def _value(self, style_text: str | None, kind: str | None, value: str) -> str:
        style = natural(style_text) if style_text else 0
        if style >= len(self._formats):
            style = 0
        if kind is None or kind == "n":
            shown = self._shown[style]
            text = shown.get(value)
            return self._number(style, value) if text is None else text
        shape = self._formats[style]
        match kind:
            case "s":
                at = natural(value.strip(), len(self._strings))
                text = self._strings[at] if at < len(self._strings) else ""
                return text if shape.shows_texts_as_they_are else shape.show_text(text)
            case "b":
                return "TRUE" if is_on(value.strip()) else "FALSE"
            case "d":
                return _iso_date(value.strip(), shape)
            case "e":
                return cell_text(value)
        return cell_text(shape.show_text(value))

    def _number(self, style: int, value: str) -> str:
        try:
            text = cell_text(self._formats[style].show(float(value)))
        except ValueError:
            text = cell_text(value)
        if len(self._shown[style]) < MAX_SHOWN:
            self._shown[style][value] = text
        return text


def _iso_date(value: str, shape: CellFormat) -> str:
    try:
        moment = datetime.fromisoformat(value.removesuffix("Z"))
    except ValueError:
        return cell_text(value)
    if not shape.is_date:
        return cell_text(value)
    days = (moment.replace(tzinfo=None) - _EPOCH).total_seconds() / 86_400
    return cell_text(shape.show_days(days))


def parse_area(reference: str) -> Merge | None:
    """Return the area of a reference such as ``A1`` or ``A1:C3``; None if it is none."""
    first, _, last = reference.partition(":")
    start = _REFERENCE.fullmatch(first)
    end = _REFERENCE.fullmatch(last or first)
    if start is None or end is None:
        return None
    rows = sorted((int(start[2]) - 1, int(end[2]) - 1))
    columns = sorted((column_number(start[1]), column_number(end[1])))
    if rows[0] < 0 or rows[0] >= MAX_ROW or columns[0] >= MAX_COLUMN:
        return None
    return Merge(rows[0], columns[0], min(rows[1], MAX_ROW - 1), min(columns[1], MAX_COLUMN - 1))


def add_columns(sheet: Sheet, element: Any) -> None:
    """Add the columns of a ``col`` element if they are hidden."""
    first, last = natural(element.get("min")), natural(element.get("max"))
    hidden = is_on(element.get("hidden")) or element.get("width") == "0"
    if hidden and 1 <= first <= last:
        sheet.hidden_columns.add(first - 1, min(last, MAX_COLUMN) - 1)


def shared_string(element: Any) -> str:
    """Return a shared string as Markdown."""
    if len(element) == 1 and local_name(element[0]) == "t":
        return cell_text(element[0].text or "")
    return runs_text(element)
