"""Rows of a sheet of an OpenDocument spreadsheet, whose equal rows and cells are there once."""

from typing import Any

from ilios.engines.converters.sheets.cell_formats import CellFormat
from ilios.engines.converters.sheets.cell_text import cell_text
from ilios.engines.converters.sheets.cells import (
    MAX_COLUMN,
    MAX_ROW,
    Merge,
    Sheet,
    column_name,
)
from ilios.engines.converters.sheets.ods_objects import ObjectReader
from ilios.engines.converters.sheets.ods_text import attribute, paragraphs_text
from ilios.engines.converters.sheets.xlsx_notes import MAX_COMMENTS, comment_item
from ilios.engines.converters.sheets.xml_stream import local_name

_ROW_GROUPS = frozenset({"table-row-group", "table-rows", "table-header-rows"})
_HIDDEN = ("collapse", "filter")
_GENERAL = CellFormat("General")


class RowReader:
    """Adds columns, rows and objects to a sheet."""

    def __init__(
        self, sheet: Sheet, objects: ObjectReader, raised: dict[str, str], *, comments: bool
    ) -> None:
        self.sheet = sheet
        self._objects = objects
        self._raised = raised
        self._wants_comments = comments
        self._comments: list[str] = []
        self._row = self._column = 0
        self._hidden_groups = 0

    def take(self, event: str, element: Any) -> None:
        """Add an element of the sheet when it starts or ends."""
        match local_name(element):
            case "table-row-group" | "table-column-group":
                if attribute(element, "display") == "false":
                    self._hidden_groups += 1 if event == "start" else -1
            case "table-column" if event == "end":
                self._add_column(element)
            case "table-row" if event == "end" and _is_of_sheet(element):
                self._add_row(element)
            case "shapes" if event == "end":
                self._objects.add(element)

    def finish(self) -> None:
        """Add what stands below the cells."""
        self.sheet.below += self._objects.texts
        if self._comments:
            self.sheet.below.append("\n".join(["**Comments**", "", *self._comments]))

    def _add_column(self, element: Any) -> None:
        count = _repeated(element, "number-columns-repeated")
        if self._hidden_groups or attribute(element, "visibility") in _HIDDEN:
            last = min(self._column + count, MAX_COLUMN) - 1
            if last >= self._column:
                self.sheet.hidden_columns.add(self._column, last)
        self._column = min(self._column + count, MAX_COLUMN)

    def _add_row(self, element: Any) -> None:
        count = _repeated(element, "number-rows-repeated")
        first = self._row
        self._row = min(first + count, MAX_ROW)
        hidden = self._hidden_groups or attribute(element, "visibility") in _HIDDEN
        if hidden and self._row > first:
            self.sheet.hidden_rows.add(first, self._row - 1)
        cells = self._cells(element, first)
        if not cells:
            return
        for row in range(first, self._row):
            if not self.sheet.has_room:
                self.sheet.left_out["rows"] += first + count - row
                return
            self.sheet.put_row(row, dict(cells) if count > 1 else cells)
        if first + count > MAX_ROW:
            self.sheet.left_out["rows beyond the last one"] += first + count - MAX_ROW

    def _cells(self, row: Any, number: int) -> dict[int, str]:
        cells: dict[int, str] = {}
        column = 0
        for cell in row:
            name = local_name(cell)
            if name not in ("table-cell", "covered-table-cell"):
                continue
            attributes = {key.rpartition("}")[2]: value for key, value in cell.attrib.items()}
            count = _number(attributes.get("number-columns-repeated", ""))
            if len(cell) or "value-type" in attributes or "formula" in attributes:
                # What a merged cell covers is not shown.
                text = self._text(cell, attributes, number, column)
                if text and name == "table-cell":
                    last = min(column + count, MAX_COLUMN)
                    cells.update(dict.fromkeys(range(column, last), text))
                    if column + count > MAX_COLUMN:
                        self.sheet.left_out["cells beyond the last column"] += column + count - last
            if "number-columns-spanned" in attributes or "number-rows-spanned" in attributes:
                right = column + _number(attributes.get("number-columns-spanned", "")) - 1
                bottom = number + _number(attributes.get("number-rows-spanned", "")) - 1
                if right > column or bottom > number:
                    self.sheet.merge(
                        Merge(number, column, min(bottom, MAX_ROW), min(right, MAX_COLUMN))
                    )
            column += count
            column = min(MAX_COLUMN, column)
        return cells

    def _text(self, cell: Any, attributes: dict[str, str], row: int, column: int) -> str:
        text = paragraphs_text(cell, self._raised, self.sheet.links) if len(cell) else ""
        if len(cell) > 1 or not text:
            self._add_objects(cell, f"{column_name(column)}{row + 1}")
        if text:
            return text
        kind = attributes.get("value-type", "")
        value = attributes.get(f"{kind}-value") or attributes.get("value", "")
        if value and kind in ("float", "percentage", "currency"):
            return _shown_value(kind, value, attributes.get("currency", ""))
        if value:
            return cell_text(value.upper() if kind == "boolean" else value)
        formula = attributes.get("formula", "")
        if formula and kind != "string":
            self.sheet.lacks_result(f"{column_name(column)}{row + 1}")
            return cell_text(formula.partition(":")[2] or formula)
        return ""

    def _add_objects(self, cell: Any, reference: str) -> None:
        for child in cell:
            if local_name(child) != "annotation":
                continue
            if self._wants_comments and len(self._comments) < MAX_COMMENTS:
                author = next((one.text or "" for one in child if _is_author(one)), "")
                text = paragraphs_text(child, self._raised, self.sheet.links)
                self._comments.append(comment_item(reference, author, text))
        self._objects.add(cell)


def _is_author(element: Any) -> bool:
    return local_name(element) == "creator"


def _is_of_sheet(row: Any) -> bool:
    """Whether a row is one of the sheet, and not of a table or chart on it."""
    parent = row.getparent()
    while parent is not None and local_name(parent) in _ROW_GROUPS:
        parent = parent.getparent()
    above = None if parent is None else parent.getparent()
    return above is not None and local_name(above) == "spreadsheet"


def _shown_value(kind: str, value: str, currency: str) -> str:
    """Return a value that has no shown text, as programs write it that are no spreadsheets."""
    try:
        number = float(value)
    except ValueError:
        return cell_text(value)
    if kind == "percentage":
        return f"{_GENERAL.show(number * 100)}%"
    return cell_text(f"{_GENERAL.show(number)} {currency}".strip())


def _repeated(element: Any, name: str) -> int:
    return _number(attribute(element, name))


def _number(value: str) -> int:
    """Return a count of cells, at least 1; one of more digits than any sheet needs is cut."""
    if not value.isdecimal() or not value.isascii():
        return 1
    return max(int(value[:10]), 1)
