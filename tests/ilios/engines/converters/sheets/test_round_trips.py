"""Random spreadsheets of which all that is to come out is a matter of record."""

import csv
import io
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ilios.engines.converters.grid import REPEATED_CHARS
from ilios.engines.converters.sheets import delimited, ods, xlsx
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import Pages
from tests import random_sheets
from tests.random_sheets import Truth

_BAR = re.compile(r"(?<!\\)\|")
_ESCAPE = re.compile(r"\\([\\`*_|~<\[#>+=.)-])")
QUICK, ALL = range(30), range(30, 300)


def ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


def plain(cell: str) -> str:
    return _ESCAPE.sub(r"\1", cell.strip())


def tables_of(text: str) -> list[list[list[str]]]:
    """Return the tables of a page as rows of plain texts; a paragraph is a table of one cell."""
    tables = []
    for block in text.split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("|"):
            del lines[1]
            tables.append([[plain(cell) for cell in _BAR.split(line)[1:-1]] for line in lines])
        else:
            tables.append([[plain(block)]])
    return tables


def check(pages: Pages, sheets: list[Truth]) -> None:
    assert len(pages.pages) == len(sheets)
    for page, sheet in zip(pages.pages, sheets, strict=True):
        heading, *tables = tables_of(page.result.markdown)
        very_hidden = sheet.state == "veryHidden"
        mark = {"visible": "", "hidden": " (hidden)"}.get(sheet.state, " (very hidden)")
        assert heading[0][0].removeprefix("# ") in (
            sheet.name + mark,
            *([f"{sheet.name} (hidden)"] if very_hidden else []),  # ODS has one state only
        )
        assert tables == random_sheets.expected_tables(sheet, REPEATED_CHARS)


def xlsx_round_trip(seed: int, path: Path) -> None:
    dice = random.Random(f"xlsx {seed}")
    sheets = random_sheets.draw_sheets(dice)
    path.write_bytes(random_sheets.truth_xlsx(sheets, dice))
    check(xlsx.convert(path, EngineLimits(), ignore), sheets)


def ods_round_trip(seed: int, path: Path) -> None:
    sheets = random_sheets.draw_sheets(random.Random(f"ods {seed}"))
    path.write_bytes(random_sheets.truth_ods(sheets))
    check(ods.convert(path, EngineLimits(), ignore), sheets)


def csv_round_trip(seed: int, path: Path) -> None:
    dice = random.Random(f"csv {seed}")
    columns = dice.randint(2, 6)
    words = [*random_sheets.WORDS, "one, two", "semi;colon", 'a "quoted" one', "12,5", "é"]
    rows = [
        [f"{row}x{column} {dice.choice(words)}" for column in range(columns)]
        for row in range(dice.randint(2, 20))
    ]
    out = io.StringIO()
    end = dice.choice(["\r\n", "\n"])
    csv.writer(out, delimiter=dice.choice(",;\t|"), lineterminator=end).writerows(rows)
    encoding = dice.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
    path.write_bytes(out.getvalue().encode(encoding))
    (page,) = delimited.convert(path, EngineLimits(), ignore).pages
    assert tables_of(page.result.markdown) == [rows]
    assert not page.result.warnings


TRIPS = [xlsx_round_trip, ods_round_trip, csv_round_trip]


@pytest.mark.parametrize("trip", TRIPS)
def test_what_is_in_a_spreadsheet_comes_out_once_and_in_order(
    trip: Callable[[int, Path], None], tmp_path: Path
) -> None:
    for seed in QUICK:
        trip(seed, tmp_path / "document")


@pytest.mark.long
@pytest.mark.parametrize("trip", TRIPS)
def test_what_is_in_300_spreadsheets_comes_out(
    trip: Callable[[int, Path], None], tmp_path: Path
) -> None:
    for seed in ALL:
        trip(seed, tmp_path / "document")
