"""Tables: closed, open, with upright rules only, with spanning headers, currency signs, turned."""
# ruff: noqa: E501  the texts of the samples stand on lines of their own

from collections.abc import Iterator, Sequence

from tests.quality.paper import A4, Sheet, text_width
from tests.quality.prose import paragraphs
from tests.quality.sample import Sample, of_pages

Rows = tuple[tuple[str, ...], ...]

FEES: Rows = (
    ("Berth", "Boat", "Fee"),
    ("N1", "Guillemot", "115"),
    ("N2", "Petrel", "140"),
    ("N3", "Cormorant", "95"),
    ("N4", "Plover", "160"),
)
CATCH: Rows = (
    ("Month", "Herring", "Cod", "Crab"),
    ("January", "310", "45", "7"),
    ("February", "290", "52", "9"),
    ("March", "415", "61", "12"),
    ("April", "508", "73", "20"),
    ("May", "633", "80", "31"),
)
LAGER: Rows = (
    ("Artikel", "Menge", "Ort"),
    ("Tauwerk", "40 m", "Halle 2"),
    ("Laternen", "12 Stück", "Turm"),
    ("Farbe", "9 Eimer", "Schuppen"),
)
TABLES = {"fees": FEES, "catch": CATCH, "german": LAGER}
FONTS = {"fees": ("Helvetica", 11.0), "catch": ("Times", 10.0), "german": ("Helvetica", 9.5)}


def samples() -> Iterator[Sample]:
    """Yield three variants of each kind."""
    for kind in (
        closed,
        unruled,
        upright,
        spanning_header,
        currency,
        continued,
        rules_above,
        turned,
    ):
        yield from kind()


def _places(rows: Rows, left: float, width: float) -> list[float]:
    count = len(rows[0])
    return [left + place * width / count for place in range(count + 1)]


def _cells(
    sheet: Sheet, rows: Rows, xs: Sequence[float], top: float, step: float, font: tuple[str, float]
) -> None:
    for number, row in enumerate(rows):
        for x, text in zip(xs, row, strict=False):
            sheet.text(x + 4, top + (number + 0.7) * step, text, *font)


def _between(
    sheet: Sheet, font: tuple[str, float], top: float, bottom: float, start: int
) -> tuple[str, ...]:
    """Write a sentence above and one below a table; returns the expectation of their order."""
    texts = paragraphs("english", start)
    above, below = next(texts), next(texts)
    sheet.paragraph(72, top, 450, above, *font)
    sheet.paragraph(72, bottom, 450, below, *font)
    return (f"contains: {above}", f"contains: {below}", "tables: 1")


def _expected(rows: Rows) -> tuple[str, ...]:
    return (*(f"row: {' | '.join(row)}" for row in rows), f"rows: {len(rows)}")


def _ruled(kind: str, start: int, *, across: str, upright_rules: bool) -> Iterator[Sample]:
    """Yield tables with rules: ``across`` is all, head (around the first row) or none."""
    for number, (variant, rows) in enumerate(TABLES.items()):
        font, sheet = FONTS[variant], Sheet(A4)
        step, top = 1.7 * font[1], 160.0 + 20 * number
        xs = _places(rows, 72, 300 + 50 * number)
        bottom = top + len(rows) * step
        _cells(sheet, rows, xs, top, step, font)
        ys = [top + place * step for place in range(len(rows) + 1)]
        for y in {"all": ys, "head": [top, top + step, bottom], "none": []}[across]:
            sheet.rule(xs[0], y, xs[-1], y)
        if upright_rules:
            for x in xs:
                sheet.rule(x, top, x, bottom)
        around = _between(sheet, font, 90, bottom + 40, start + number)
        yield of_pages(kind, variant, [sheet], *_expected(rows), *around)


def closed() -> Iterator[Sample]:
    return _ruled("table-closed", 0, across="all", upright_rules=True)


def unruled() -> Iterator[Sample]:
    return _ruled("table-open", 2, across="none", upright_rules=False)


def upright() -> Iterator[Sample]:
    return _ruled("table-upright-rules", 4, across="head", upright_rules=True)


def rules_above() -> Iterator[Sample]:
    return _ruled("table-head-rules", 6, across="head", upright_rules=False)


def spanning_header() -> Iterator[Sample]:
    """A header over two columns, repeated in each of them or standing in the first."""
    for number, (variant, spans, heads, body) in enumerate(
        (
            ("landings", ("Spring", "Autumn"), ("Port", "Cod", "Crab", "Eel", "Sole"),
             (("Northwick", "41", "17", "66", "29"), ("Easthaven", "38", "22", "70", "31"), ("Westing", "12", "9", "15", "8"))),
            ("german", ("Sommer", "Winter"), ("Ort", "Gäste", "Tage", "Besucher", "Nächte"),
             (("Nordhafen", "310", "4", "95", "2"), ("Osthafen", "280", "5", "71", "3"), ("Insel", "95", "7", "12", "6"))),
            ("ruled", ("North side", "South side"), ("Year", "Sail", "Steam", "Motor", "Oar"),
             (("1911", "55", "20", "41", "13"), ("1912", "52", "24", "39", "18"), ("1913", "47", "30", "36", "25"))),
        )
    ):  # fmt: skip
        font, sheet = ("Helvetica" if number else "Times", 10.0), Sheet(A4)
        rows: Rows = (heads, *body)
        xs, top, step = _places(rows, 72, 420), 150.0, 18.0
        for place, span in enumerate(spans):
            middle = (xs[1 + 2 * place] + xs[3 + 2 * place]) / 2
            sheet.text(middle - text_width(span, *font) / 2, top - 5, span, *font)
            sheet.rule(xs[1 + 2 * place] + 4, top, xs[3 + 2 * place] - 4, top)
        _cells(sheet, rows, xs, top, step, font)
        if variant == "ruled":
            bottom = top + len(rows) * step
            for y in (top - step, top, top + step, bottom):
                sheet.rule(xs[0], y, xs[-1], y)
            for x in (xs[0], xs[1], xs[3], xs[5]):
                sheet.rule(x, top - step, x, bottom)
        first, second = spans
        lines = [f"row: {' | '.join(row)}" for row in body]
        lines += [
            f"cell: {body[0][1]} | top_heading={first}",
            f"cell: {body[0][3]} | top_heading={second}",
        ]
        lines += [f"cell: {body[0][2]} | top_heading={heads[2]}", f"not-heading: {first}"]
        around = _between(sheet, font, 80, top + 120, number)
        yield of_pages("table-spanning-header", variant, [sheet], *lines, *around)


def currency() -> Iterator[Sample]:
    """A sign of a currency in a column of its own, as annual accounts have it."""
    for variant, sign, names, amounts in (
        ("dollar", "$", ("Dues", "Repairs", "Wages", "Total"), (("4,120", "3,980"), ("1,250", "990"), ("7,300", "7,105"), ("12,670", "12,075"))),
        ("pound", "£", ("Ropes", "Lamps", "Paint"), (("812", "790"), ("64", "71"), ("129", "118"))),
        ("euro", "€", ("Miete", "Strom", "Wasser"), (("9.600", "9.400"), ("2.310", "2.150"), ("480", "455"))),
    ):  # fmt: skip
        font, sheet = ("Times", 11.0), Sheet(A4)
        y, lines = 170.0, []
        for x, year in ((290, "2024"), (410, "2025")):
            sheet.text(x + 20, y - 20, year, *font)
        for name, (one, other) in zip(names, amounts, strict=True):
            sheet.text(72, y, name, *font)
            for x, amount in ((270, one), (390, other)):
                sheet.text(x, y, sign, *font)
                sheet.text(x + 70 - text_width(amount, *font), y, amount, *font)
            lines += [f"row~2: {name} | {sign}{one} | {sign}{other}"]
            y += 18
        around = _between(sheet, font, 80, y + 40, 7)
        yield of_pages("table-currency", variant, [sheet], *lines, *around)


def continued() -> Iterator[Sample]:
    """Cells of two lines."""
    for number, (variant, heads, body) in enumerate(
        (
            ("open", ("Task", "Who", "Day"), ((("Paint the rail of", "the upper stairs"), "Anna", "Monday"), (("Count the crates",), "Bert", "Tuesday"), (("Oil the hinges of", "both gates"), "Clara", "Friday"))),
            ("closed", ("Tool", "Shelf", "Owner"), ((("Hook with a handle", "of ash"), "4", "Tidewell"), (("Saw",), "2", "Marlow"), (("Bucket",), "1", "Quill"))),
            ("german", ("Aufgabe", "Wer", "Tag"), ((("Laternen putzen und", "Öl nachfüllen"), "Karl", "Montag"), (("Tor streichen",), "Ina", "Mittwoch"), (("Boden fegen",), "Udo", "Samstag"))),
        )
    ):  # fmt: skip
        font, sheet = ("Helvetica", 10.0), Sheet(A4)
        xs, y, lines = (72.0, 230.0, 340.0, 450.0), 160.0, []
        ys = [y]
        for x, head in zip(xs, heads, strict=False):
            sheet.text(x + 4, y + 13, head, "Helvetica-Bold", 10)
        y += 20
        ys.append(y)
        for wrapped, who, day in body:
            for x, text in ((xs[0], wrapped[0]), (xs[1], who), (xs[2], day)):
                sheet.text(x + 4, y + 12, text, *font)
            if len(wrapped) > 1:
                sheet.text(xs[0] + 4, y + 24, wrapped[1], *font)
            y += 20 if len(wrapped) == 1 else 32
            ys.append(y)
            lines.append(f"row: {' '.join(wrapped)} | {who} | {day}")
        if variant == "closed":
            for across in ys:
                sheet.rule(xs[0], across, xs[-1], across)
            for x in xs:
                sheet.rule(x, ys[0], x, ys[-1])
        around = _between(sheet, font, 80, y + 40, number)
        rows = f"rows: {len(body) + 1}"
        yield of_pages("table-continued-cell", variant, [sheet], *lines, rows, *around)


def turned() -> Iterator[Sample]:
    """A table that is turned on the page, under a line of upright text."""
    for (variant, rows), direction in zip(TABLES.items(), (1, -1, 1), strict=True):
        font, sheet = FONTS[variant], Sheet(A4)
        sheet.paragraph(72, 60, 450, next(paragraphs("english", 9)), *font)
        step, width = 1.8 * font[1], 110.0
        for number, row in enumerate(rows):
            for place, text in enumerate(row):
                x = 150 + number * step if direction > 0 else 350 - number * step
                y = 700 - place * width if direction > 0 else 250 + place * width
                matrix = "0 1 -1 0" if direction > 0 else "0 -1 1 0"
                sheet.text(x, y, text, *font, matrix=matrix)
        yield of_pages("table-turned", variant, [sheet], *_expected(rows))
