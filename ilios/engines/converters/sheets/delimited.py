"""Text files of values (CSV, TSV) to Markdown: one page of tables (RFC 4180 and its relatives)."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Literal

from msgspec import Struct

from actors.engines import Unconvertible
from actors.text_sniffing import wide_encoding
from ilios.engines.converters.encodings import guess
from ilios.engines.converters.sheets.cell_text import cell_text
from ilios.engines.converters.sheets.cells import MAX_COLUMN, MAX_ROW, Room, Sheet
from ilios.engines.converters.sheets.layout import SheetWriter, sheet_page
from ilios.engines.converters.sheets.pictures import Pictures
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, Pages, Reading, selected_indices
from schemas.warnings import PageWarning, page_warning

MODEL = "ilios-sheets-1"
KIND = "CSV"

SAMPLE_CHARS = 64 * 1024
SAMPLE_ROWS = 500
DELIMITERS = "\t;|,"
"""In order of preference among equals: commas are also in texts and numbers."""

MAX_FIELD_CHARS = 1024 * 1024
"""A longer field begins with a quote that does not end it."""

PROGRESS_ROWS = 5_000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECIMAL = re.compile(r"(?<=\d),(?=\d)")
_CHUNK_BYTES = 1024 * 1024


class Dialect(Struct, frozen=True):
    """How the values of a line are divided; ``skip`` lines state that, as Excel writes it."""

    delimiter: str
    quoted: bool = True
    skip: int = 0


class Encoding(Struct, frozen=True):
    """The encoding of a text, and whether it does not show in the text."""

    name: str
    guessed: bool = False


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a text of values; see :class:`ilios.engines.converters.registry.Converter`."""
    selected_indices(reading.ranges, 1)

    def heartbeat() -> None:
        progress(0, 1)

    heartbeat()
    encoding = find_encoding(path, heartbeat)
    with path.open(encoding=encoding.name, errors="replace", newline="") as file:
        sample = file.read(SAMPLE_CHARS)
    if "\0" in sample:
        raise Unconvertible("corrupt", f"The {KIND} file is damaged: it has binary content.")
    dialect = find_dialect(sample, whole=len(sample) < SAMPLE_CHARS)
    room = Room(limits.max_output_bytes)
    try:
        sheet = _read(path, encoding, dialect, room, heartbeat)
    except csv.Error:
        plain = Dialect(dialect.delimiter, quoted=False, skip=dialect.skip)
        room = Room(limits.max_output_bytes)
        sheet = _read(path, encoding, plain, room, heartbeat)
    writer = SheetWriter(room, reading.merged_cells, heartbeat)
    warnings: tuple[PageWarning, ...] = ()
    if encoding.guessed:
        warnings = (page_warning("encoding_guessed", encoding.name),)
    page = sheet_page(0, sheet, writer, Pictures(), warnings)
    progress(1, 1)
    return Pages([page], MODEL)


def find_encoding(path: Path, heartbeat: Callable[[], None]) -> Encoding:
    """Return the encoding of a text: by its byte order mark, as UTF-8, or by a guess."""
    with path.open("rb") as file:
        start = file.read(len(codecs.BOM_UTF32_LE) * 256)
        for bom, name in _BOMS:
            if start.startswith(bom):
                return Encoding(name)
        if (wide := wide_encoding(start)) is not None:
            return Encoding(wide)
        file.seek(0)
        if _is_utf8(file, heartbeat):
            return Encoding("utf-8")
        file.seek(0)
        return Encoding(guess(file.read(SAMPLE_CHARS)), guessed=True)


def _is_utf8(file: IO[bytes], heartbeat: Callable[[], None]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(_CHUNK_BYTES):
            decoder.decode(chunk)
            heartbeat()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def find_dialect(sample: str, *, whole: bool) -> Dialect:
    """Return the dialect of the beginning of a text; ``whole`` if that is all of it.

    The delimiter is the one that divides most lines into the same number of values.
    """
    first, _, rest = sample.partition("\n")
    stated = first.strip().strip('"')
    if len(stated) == len("sep=,") and stated.lower().startswith("sep="):
        return Dialect(stated[-1], _quotes_end(rest, stated[-1], whole=whole), 1)
    lines = sample if whole else sample[: sample.rfind("\n") + 1] or sample
    scores = {delimiter: _score(lines, delimiter) for delimiter in DELIMITERS}
    delimiter = _best(scores, lines)
    return Dialect(delimiter, _quotes_end(lines, delimiter, whole=whole))


def _best(scores: Mapping[str, tuple[float, int]], lines: str) -> str:
    share, values = best = max(scores.values())
    if not share:
        return ","
    if scores[","] == best and 2 * len(_DECIMAL.findall(lines)) > lines.count(","):
        # With decimal commas, a line has at most one value more by commas than by its delimiter.
        others = (one for one in DELIMITERS if scores[one] >= (share, values - 1) and one != ",")
        return next((one for one in others if scores[one][1] > 1), ",")
    return next(one for one in DELIMITERS if scores[one] == best)


def _score(lines: str, delimiter: str) -> tuple[float, int]:
    """Return the share of lines with the most frequent number of values, and that number."""
    counts: Counter[int] = Counter()
    try:
        for number, row in enumerate(
            csv.reader(lines.splitlines(keepends=True), delimiter=delimiter)
        ):
            if number >= SAMPLE_ROWS:
                break
            if row:
                counts[len(row)] += 1
    except csv.Error:
        return 0.0, 0
    if not counts:
        return 0.0, 0
    rows = sum(counts.values())
    divided = {values: count for values, count in counts.items() if values > 1}
    if not divided:
        return 0.0, 0
    values, count = max(divided.items(), key=lambda one: (one[1], one[0]))
    return round(count / rows, 1), values


def _quotes_end(lines: str, delimiter: str, *, whole: bool) -> bool:
    """Whether the quotes of a text are those of values: none is open at its end."""
    if '"' not in lines:
        return True
    try:
        for _ in csv.reader(lines.splitlines(keepends=True), delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        # Of a part of a text, the last quote may end behind it.
        return not (whole and "unexpected end" in str(error))
    return True


def _read(
    path: Path, encoding: Encoding, dialect: Dialect, room: Room, heartbeat: Callable[[], None]
) -> Sheet:
    """Return the values of a text.

    :raises csv.Error: its quotes are not those of values.
    """
    csv.field_size_limit(MAX_FIELD_CHARS)
    sheet = Sheet("", "visible", room)
    with path.open(encoding=encoding.name, errors="replace", newline="") as file:
        lines: Iterable[str] = _lines(file)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
        rows = csv.reader(lines, delimiter=dialect.delimiter, quoting=quoting)
        number = -dialect.skip
        width = empty = 0
        for row in rows:
            if number % PROGRESS_ROWS == 0:
                heartbeat()
            if not any(row):
                empty += 1
            elif empty:
                # Empty lines divide only what has other columns: a title, a table, another one.
                number -= empty if len(row) == width else 0
                empty = 0
            width = len(row) if any(row) else width
            if number < 0:
                pass
            elif number >= MAX_ROW or not sheet.has_room:
                sheet.left_out["rows"] += any(row)
            else:
                _add(sheet, number, row)
            number += 1
    return sheet


def _add(sheet: Sheet, number: int, row: list[str]) -> None:
    if len(row) > MAX_COLUMN:
        sheet.left_out["cells beyond the last column"] += len(row) - MAX_COLUMN
        del row[MAX_COLUMN:]
    texts = {column: cell_text(text) for column, text in enumerate(row) if text}
    sheet.put_row(number, {column: text for column, text in texts.items() if text})


def _lines(file: IO[str]) -> Iterator[str]:
    """Yield lines of a bounded length: one without an end would fill the memory."""
    while line := file.readline(MAX_FIELD_CHARS):
        yield line
