"""Random spreadsheets, as XLSX and ODS, with all that is to come out of them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

from tests.spreadsheets import Worksheet, letters, ods, ods_cell, xlsx


class Cell(Struct, frozen=True):
    """A cell as a program stores it, and its text as it is shown."""

    kind: str
    value: str
    shown: str
    code: str = ""


class Area(Struct, frozen=True):
    """A merged area by its first cell and its size."""

    row: int
    column: int
    rows: int
    columns: int


class Truth(Struct):
    """A sheet with all that is to come out of it."""

    name: str
    state: str = "visible"
    cells: dict[tuple[int, int], Cell] = {}
    areas: list[Area] = []
    hidden_rows: set[int] = set()
    hidden_columns: set[int] = set()


WORDS = ["alpha", "beta", "gamma|delta", "eps_ilon", "*zeta*", "<eta>", "[theta](x)", "`iota`"]
WORDS += ["~~kappa~~", "10%", "\u03bb", "Ж"]


def draw_sheets(dice: random.Random) -> list[Truth]:
    """Return random sheets; each text of a cell is there once."""
    return [_draw_sheet(dice, number) for number in range(dice.randint(1, 4))]


def _draw_sheet(dice: random.Random, number: int) -> Truth:
    sheet = Truth(f"Sheet {number} {dice.choice(WORDS)}")
    sheet.state = dice.choice(["visible", "visible", "hidden", "veryHidden"])
    rows, columns = dice.randint(1, 14), dice.randint(1, 7)
    top, left = dice.randint(0, 5), dice.randint(0, 3)
    for row in range(top, top + rows):
        if dice.random() < 0.15:
            continue  # an empty row divides tables
        for column in range(left, left + columns):
            if dice.random() < 0.85:
                sheet.cells[row, column] = _draw_cell(dice, f"{number}x{row}x{column}")
    for _ in range(dice.randint(0, 3)):
        _draw_area(dice, sheet)
    if sheet.cells and dice.random() < 0.3:
        sheet.hidden_rows.add(dice.choice(sorted(sheet.cells))[0])
        sheet.hidden_columns.add(dice.choice(sorted(sheet.cells))[1])
    if any(area.row in sheet.hidden_rows for area in sheet.areas):
        sheet.hidden_rows.clear()
    if sheet.areas:
        sheet.hidden_columns.clear()
    return sheet


def _draw_area(dice: random.Random, sheet: Truth) -> None:
    """Merge a filled cell with those around it, whose texts vanish as in a program."""
    if not sheet.cells:
        return
    row, column = dice.choice(sorted(sheet.cells))
    area = Area(row, column, dice.randint(1, 3), dice.randint(1, 3))
    covered = _covered(area)
    taken = {place for other in sheet.areas for place in _covered(other)}
    if len(covered) < 2 or taken & covered:
        return
    for place in covered - {(row, column)}:
        sheet.cells.pop(place, None)
    sheet.areas.append(area)


def _covered(area: Area) -> set[tuple[int, int]]:
    return {
        (area.row + down, area.column + right)
        for down in range(area.rows)
        for right in range(area.columns)
    }


def _draw_cell(dice: random.Random, mark: str) -> Cell:
    number = dice.randint(-99_999, 99_999)
    day = date(1901, 1, 1) + timedelta(abs(number) % 70_000)
    serial = (day - date(1899, 12, 30)).days
    error = dice.choice(["#N/A", "#DIV/0!", "#REF!"])
    values = [
        Cell("n", str(number), str(number)),
        Cell("n", str(number), f"{number:,}", "#,##0"),
        Cell("n", repr(number / 1000), f"{number / 10:.1f}%", "0.0%"),
        Cell("n", repr(number / 100), f"{number / 100:,.2f} €", '#,##0.00 "€"'),
        Cell("n", str(serial), day.strftime("%d.%m.%Y"), "dd.mm.yyyy"),
        Cell("b", str(number % 2), "TRUE" if number % 2 else "FALSE"),
        Cell("e", error, error),
    ]
    if dice.random() < 0.75:
        return dice.choice(values)
    words = [dice.choice(WORDS) for _ in range(dice.choice([1, 2, 12]))]
    text = " ".join([mark, *words])
    return Cell(dice.choice(["s", "inlineStr", "str"]), text, text)


def truth_xlsx(sheets: Sequence[Truth], dice: random.Random) -> bytes:
    """Return the sheets as an XLSX."""
    strings: list[str] = []
    codes: list[str] = []
    made = {}
    for sheet in sheets:
        rows = []
        for row in sorted({row for row, _ in sheet.cells}):
            places = sorted(place for place in sheet.cells if place[0] == row)
            cells = [_xlsx_cell(sheet.cells[place], place, strings, codes) for place in places]
            hidden = ' hidden="1"' if row in sheet.hidden_rows else ""
            rows.append(f'<row r="{row + 1}"{hidden}>{"".join(cells)}</row>')
        if dice.random() < 0.2:
            dice.shuffle(rows)  # the order is by the numbers of rows
        areas = "".join(
            f'<mergeCell ref="{letters(a.column)}{a.row + 1}:'
            f'{letters(a.column + a.columns - 1)}{a.row + a.rows}"/>'
            for a in sheet.areas
        )
        columns = "".join(
            f'<col min="{column + 1}" max="{column + 1}" hidden="1"/>'
            for column in sorted(sheet.hidden_columns)
        )
        made[sheet.name] = Worksheet(
            "".join(rows),
            before=f"<cols>{columns}</cols>" if columns else "",
            behind=f"<mergeCells>{areas}</mergeCells>" if areas else "",
            state=sheet.state,
        )
    texts = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
    return xlsx(made, codes=codes, strings=texts)


def _xlsx_cell(cell: Cell, place: tuple[int, int], strings: list[str], codes: list[str]) -> str:
    style = 0
    if cell.code:
        if cell.code not in codes:
            codes.append(cell.code)
        style = codes.index(cell.code) + 1
    start = f'<c r="{letters(place[1])}{place[0] + 1}" s="{style}" t="{cell.kind}">'
    if cell.kind == "inlineStr":
        return f"{start}<is><t>{escape(cell.value)}</t></is></c>"
    value = cell.value
    if cell.kind == "s":
        strings.append(value)
        value = str(len(strings) - 1)
    formula = "<f>1+1</f>" if cell.kind == "str" else ""
    return f"{start}{formula}<v>{escape(value)}</v></c>"


def truth_ods(sheets: Sequence[Truth]) -> bytes:
    """Return the sheets as an ODS, with repeated rows and cells."""
    hidden = '<style:style style:name="h" style:family="table">'
    hidden += '<style:table-properties table:display="false"/></style:style>'
    return ods("".join(map(_ods_table, sheets)), styles=hidden)


def _ods_table(sheet: Truth) -> str:
    areas = {(area.row, area.column): area for area in sheet.areas}
    covered = {place for area in sheet.areas for place in _covered(area)} - areas.keys()
    height = max((row for row, _ in sheet.cells.keys() | covered), default=-1) + 1
    width = max((column for _, column in sheet.cells.keys() | covered), default=-1) + 1
    rows = []
    for row in range(height):
        cells = []
        for column in range(width):
            place = row, column
            if place in covered:
                cells.append("<table:covered-table-cell/>")
            elif place not in sheet.cells:
                cells.append('<table:table-cell table:number-columns-repeated="1"/>')
            else:
                area = areas.get(place)
                spans = ""
                if area is not None:
                    spans = f'table:number-columns-spanned="{area.columns}" '
                    spans += f'table:number-rows-spanned="{area.rows}"'
                cells.append(ods_cell(sheet.cells[place].shown, spans))
        collapsed = ' table:visibility="collapse"' if row in sheet.hidden_rows else ""
        rows.append(f"<table:table-row{collapsed}>{''.join(cells)}</table:table-row>")
    rows.append('<table:table-row table:number-rows-repeated="1048000"><table:table-cell '
                'table:number-columns-repeated="16384"/></table:table-row>')  # fmt: skip
    columns = "".join(
        '<table:table-column table:visibility="collapse"/>'
        if column in sheet.hidden_columns
        else "<table:table-column/>"
        for column in range(width)
    )
    style = "" if sheet.state == "visible" else ' table:style-name="h"'
    start = f"<table:table table:name={quoteattr(sheet.name)}{style}>"
    return f"{start}{columns}{''.join(rows)}</table:table>"


def expected_tables(sheet: Truth, repeated_chars: int) -> list[list[list[str]]]:
    """Return the tables that a reader sees on a sheet, as rows of texts."""
    shown = {place: cell.shown for place, cell in sheet.cells.items()}
    rows_with_text = {row for row, _ in shown}
    tops: set[int] = set()
    width = max((column for _, column in shown), default=-1) + 1
    left = min((column for _, column in shown), default=0)
    for area in sheet.areas:
        text = shown[area.row, area.column]
        rows = rows_with_text & set(range(area.row, area.row + area.rows))
        if len(rows) == 1 and area.column <= left and area.column + area.columns >= width:
            continue  # a title over all columns
        for row, column in _covered(area):
            if len(text) <= repeated_chars and row in rows_with_text and column < width:
                shown[row, column] = text
                tops |= {area.row} if column > area.column else set()
    visible = {
        (row, column): text
        for (row, column), text in shown.items()
        if row not in sheet.hidden_rows and column not in sheet.hidden_columns
    }
    tables: list[list[int]] = []
    for row in range(max((row for row, _ in visible), default=-1) + 1):
        if any(place[0] == row for place in visible):
            if not tables or not tables[-1]:
                tables.append([])
            tables[-1].append(row)
        elif row not in sheet.hidden_rows and tables and tables[-1]:
            # A row of which only hidden columns have a text is empty to a reader.
            tables.append([])
    singles = {
        row
        for row in rows_with_text
        if len(texts := [text for place, text in visible.items() if place[0] == row]) == 1
        or (row in tops and len(set(texts)) == 1)
    }
    divided = [part for rows in tables if rows for part in _divided(visible, rows, singles)]
    return [
        [[next(text for place, text in visible.items() if place[0] == rows[0])]]
        if len(rows) == 1 and rows[0] in singles
        else _as_rows(visible, rows, sheet.hidden_columns)
        for rows in divided
    ]


def _divided(
    visible: Mapping[tuple[int, int], str], rows: list[int], singles: set[int]
) -> Iterator[list[int]]:
    """Yield each row with one cell above a table of three columns or more, and the table."""
    if not singles.issuperset(rows) and len({at for row, at in visible if row in rows}) > 2:
        while rows[0] in singles:
            yield [rows[0]]
            rows = rows[1:]
    yield rows


def _as_rows(
    visible: Mapping[tuple[int, int], str], rows: Sequence[int], hidden: set[int]
) -> list[list[str]]:
    used = {column for row, column in visible if row in rows}
    columns = []
    for column in range(min(used), max(used) + 1):
        if column in used:
            columns.append(column)
        elif column not in hidden and columns[-1] >= 0:
            columns.append(-1)
    return [[visible.get((row, column), "") for column in columns] for row in rows]
