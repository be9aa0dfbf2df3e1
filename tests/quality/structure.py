"""Pages of text with structure: headings, columns, running heads, lists, captions, code, notes."""

from collections.abc import Iterator
from itertools import islice

from tests.quality.paper import A4, OURS, Sheet, text_width
from tests.quality.prose import paragraphs
from tests.quality.sample import Sample, of_pages

LETTER = (612, 792)
A5 = (420, 595)


def samples() -> Iterator[Sample]:
    """Yield three variants of each kind."""
    for kind in (
        headings_by_size,
        headings_in_bold,
        headings_in_italics,
        headings_numbered,
        columns,
        columns_under_title,
        running_heads,
        numbered_content,
        bullet_lists,
        nested_lists,
        captions_beside,
        code,
        footnotes,
        formulas,
    ):
        yield from kind()


def _sections(
    sheet: Sheet,
    heads: tuple[str, ...],
    font: tuple[str, float],
    body: tuple[str, float],
    language: str,
) -> list[str]:
    """Fill a page with headings, each above two paragraphs; returns these."""
    texts, written = paragraphs(language), []
    y, left, width = 80.0, 70.0, sheet.width - 140
    for head in heads:
        sheet.text(left, y, head, *font)
        y += 1.6 * font[1]
        for text in islice(texts, 2):
            y = sheet.paragraph(left, y, width, text, *body)
            written.append(text)
        y += body[1]
    return written


def _headed(
    kind: str,
    variant: str,
    heads: tuple[str, ...],
    font: tuple[str, float],
    body: tuple[str, float],
    language: str = "english",
) -> Sample:
    sheet = Sheet(A4)
    texts = _sections(sheet, heads, font, body, language)
    lines = [f"heading: {head}" for head in heads]
    lines += [f"paragraph: {text}" for text in texts]
    return of_pages(kind, variant, [sheet], *lines, "tables: 0")


def headings_by_size() -> Iterator[Sample]:
    kind = "headings-by-size"
    heads = ("Arrival of the fleet", "Repairs in winter", "Dues and fees")
    yield _headed(kind, "helvetica", heads, ("Helvetica", 18), ("Helvetica", 11))
    yield _headed(kind, "slightly-larger", heads[::-1], ("Times", 13.5), ("Times", 11))
    german = ("Ankunft der Flotte", "Gebühren", "Ausbesserung im Winter")
    yield _headed(kind, "german", german, ("Times", 16), ("Times", 10), "german")


def headings_in_bold() -> Iterator[Sample]:
    kind = "headings-bold"
    heads = ("The outer wall", "The inner basin", "The lamp")
    yield _headed(kind, "helvetica", heads, ("Helvetica-Bold", 11), ("Helvetica", 11))
    yield _headed(kind, "times", heads[::-1], ("Times-Bold", 10), ("Times", 10))
    french = ("La jetée", "Le bassin", "La lampe du port")
    yield _headed(kind, "french", french, ("Helvetica-Bold", 9.5), ("Helvetica", 9.5), "french")


def headings_in_italics() -> Iterator[Sample]:
    kind = "headings-italic"
    heads = ("On the keeping of nets", "On the mending of ropes", "On tar")
    yield _headed(kind, "times", heads, ("Times-Italic", 11), ("Times", 11))
    yield _headed(kind, "helvetica", heads[::-1], ("Helvetica-Oblique", 10), ("Helvetica", 10))
    german = ("Von den Netzen", "Von den Tauen", "Vom Teer")
    yield _headed(kind, "german", german, ("Times-Italic", 12), ("Times", 12), "german")


def headings_numbered() -> Iterator[Sample]:
    kind = "headings-numbered"
    heads = ("1 Introduction", "2 Method of counting", "3 Results")
    yield _headed(kind, "plain-numbers", heads, ("Helvetica-Bold", 12), ("Helvetica", 11))
    deep = ("2.1 Tides", "2.2 Winds", "2.3 Currents")
    yield _headed(kind, "two-levels", deep, ("Times-Bold", 11), ("Times", 11))
    roman = ("I. Lage", "II. Gebäude", "III. Verwaltung")
    yield _headed(kind, "roman", roman, ("Times-Bold", 12), ("Times", 10.5), "german")


def columns() -> Iterator[Sample]:
    for count, variant, font, size, language in (
        (2, "two-helvetica", "Helvetica", LETTER, "english"),
        (2, "two-german-narrow-gap", "Times", A4, "german"),
        (3, "three", "Helvetica", (842, 595), "english"),
    ):
        gap = 12.0 if "narrow" in variant else 24.0
        yield _in_columns(
            "columns", variant, Sheet(size), font, count=count, gap=gap, language=language
        )


def columns_under_title() -> Iterator[Sample]:
    title = "Report on the state of the harbour and its buildings"
    for variant, font, size, language in (
        ("two", "Times", A4, "english"),
        ("two-french", "Helvetica", LETTER, "french"),
        ("three", "Times", (842, 595), "english"),
    ):
        count = 3 if variant == "three" else 2
        yield _in_columns(
            "columns-title",
            variant,
            Sheet(size),
            font,
            count=count,
            gap=20,
            language=language,
            title=title,
        )


def _in_columns(
    kind: str,
    variant: str,
    sheet: Sheet,
    font: str,
    *,
    count: int,
    gap: float,
    language: str,
    title: str = "",
) -> Sample:
    left, top = 54.0, 70.0
    width = (sheet.width - 2 * left - (count - 1) * gap) / count
    if title:
        sheet.text(left, top, title, f"{font}-Bold", 17)
        top += 34
    texts, order = paragraphs(language), []
    for column in range(count):
        y = top
        while y < sheet.height - 130:
            text = next(texts)
            order.append(text)
            y = sheet.paragraph(left + column * (width + gap), y, width, text, font, 9.5)
    expected = [f"paragraph: {text}" for text in order]
    expected += [f"before: {' | '.join(order)}", "tables: 0"]
    if title:
        expected += [f"heading: {title}", f"before: {title} | {order[0]}"]
    return of_pages(kind, variant, [sheet], *expected)


def _filled(size: tuple[float, float], start: int, language: str, font: str) -> tuple[Sheet, str]:
    """Return a page of three paragraphs, and the first of them."""
    sheet = Sheet(size)
    texts = list(islice(paragraphs(language, start), 3))
    y = 110.0
    for text in texts:
        y = sheet.paragraph(60, y, size[0] - 120, text, font, 11)
    return sheet, texts[0]


def running_heads() -> Iterator[Sample]:
    for variant, head, foot, size, language, font in (
        ("page-numbers", "Harbour Almanac", "{page}", A4, "english", "Times"),
        ("of-pages", "Hafenordnung der Stadt", "Seite {page} von 5", A5, "german", "Helvetica"),
        ("dashes", "Annuaire du port", "- {page} -", LETTER, "french", "Times"),
    ):
        sheets, lines = [], []
        for page in range(1, 6):
            sheet, first = _filled(size, 3 * page, language, font)
            middle = (size[0] - text_width(head, font, 9)) / 2
            sheet.text(middle, 40, head, font, 9)
            sheet.text(size[0] / 2 - 20, size[1] - 36, foot.format(page=page), font, 9)
            sheets.append(sheet)
            lines += [
                f"page {page} header: {head}",
                f"page {page} footer: {foot.format(page=page)}",
                f"page {page} paragraph: {first}",
            ]
        yield of_pages("running-heads", variant, sheets, *lines)


def numbered_content() -> Iterator[Sample]:
    """Lines at one place that differ in a number of their own, or in a name: content."""
    for variant, line, values, y, size in (
        ("invoice", "Invoice {}", ("17", "18", "21"), 60.0, 14.0),
        ("berth", "Berth {} of the northern mole", ("A4", "B9", "C2"), 50.0, 11.0),
        ("total", "Total due: {} EUR", ("120.50", "98.00", "310.75"), 800.0, 11.0),
    ):
        sheets, lines = [], []
        for page, value in enumerate(values, 1):
            sheet, first = _filled(A4, 3 * page, "english", "Helvetica")
            text = line.format(value)
            sheet.text(60, y, text, "Helvetica", size)
            sheets.append(sheet)
            lines += [f"page {page} content: {text}", f"page {page} paragraph: {first}"]
        yield of_pages("numbered-content", variant, sheets, *lines)


ENTRIES = ("two coils of rope", "a lantern with spare glass", "chalk for the slate", "oil")


def bullet_lists() -> Iterator[Sample]:
    """Signs of the private use area, as symbol fonts give them, and boxes to tick."""
    for variant, sign, font, size in (
        ("private-use", "\uf0b7", "Helvetica", 11.0),
        ("private-use-arrow", "\uf0d8", "Times", 10.0),
        ("boxes", "\u2751", "Helvetica", 12.0),
    ):
        sheet = Sheet(A4)
        texts = paragraphs("english", 5)
        above, below = next(texts), next(texts)
        y = sheet.paragraph(60, 90, 470, above, font, size)
        for entry in ENTRIES:
            sheet.text(72, y, sign, OURS, size)
            sheet.text(90, y, entry, font, size)
            y += 1.6 * size
        sheet.paragraph(60, y + size, 470, below, font, size)
        lines = [f"item: {entry}" for entry in ENTRIES]
        lines += [f"paragraph: {above}", f"paragraph: {below}"]
        absent = () if variant == "boxes" else (f"absent: {sign}",)
        yield of_pages("lists-bullets", variant, [sheet], *lines, *absent, "tables: 0")


def nested_lists() -> Iterator[Sample]:
    outer, inner = ("On the quay", "In the shed"), ("the long hook", "the short hook")
    for variant, signs, font in (
        ("bullets", ("\u2022", "\u2013"), "Helvetica"),
        ("numbers", ("{}.", "{})"), "Times"),
        ("letters", ("{}.", "\u2022"), "Helvetica"),
    ):
        sheet = Sheet(A4)
        texts = paragraphs("english", 2)
        y = sheet.paragraph(60, 90, 470, next(texts), font, 11)
        lines = []
        for number, entry in enumerate(outer, 1):
            sheet.text(72, y, signs[0].format(number), font, 11)
            sheet.text(92, y, entry, font, 11)
            y += 17
            for deep, thing in enumerate(inner, 1):
                sheet.text(104, y, signs[1].format(deep), font, 11)
                sheet.text(124, y, f"{thing} {number}", font, 11)
                y += 17
                lines.append(f"nested: {thing} {number}")
            lines.append(f"item: {entry}")
        sheet.paragraph(60, y + 12, 470, next(texts), font, 11)
        yield of_pages("lists-nested", variant, [sheet], *lines, "tables: 0")


def captions_beside() -> Iterator[Sample]:
    """Two captions close beside each other, under two drawings."""
    pairs = (
        ("(a) The old lamp with its round lens, as it stood until the storm took it down.",
         "(b) The new lamp, which turns once in ten seconds and is seen from the cape."),
        ("(a) Schnitt durch den Turm von Osten, mit der Treppe und dem Lager für das Öl.",
         "(b) Grundriss des dritten Stockwerks, in dem der Wärter mit seiner Familie wohnt."),
        ("(c) Barque à une voile, telle que les pêcheurs la construisaient avant la guerre.",
         "(d) Barque à moteur, plus courte, dont la cale est fermée par deux panneaux."),
    )  # fmt: skip
    for (one, other), (variant, font, gap) in zip(
        pairs,
        (("close", "Times", 8), ("german", "Helvetica", 10), ("french", "Times", 14)),
        strict=True,
    ):
        sheet = Sheet(A4)
        texts = paragraphs("english", 1)
        y = sheet.paragraph(60, 80, 475, next(texts), font, 11)
        sheet.box(80, y, 110, 70)
        sheet.box(260, y, 110, 70)
        y += 86
        sheet.paragraph(70, y, 150, one, font, 9)
        sheet.paragraph(220 + gap, y, 150, other, font, 9)
        last = next(texts)
        sheet.paragraph(60, y + 80, 475, last, font, 11)
        lines = (f"contains: {one}", f"contains: {other}", f"before: {one} | {other} | {last}")
        yield of_pages("captions-beside", variant, [sheet], *lines, "tables: 0")


LISTINGS = {
    "python": ("def count(crates):", "    total = 0", "    for crate in crates:",
               "        total += crate.weight", "    return total"),
    "c": ("int depth(int tide) {", "    if (tide > 3) {", "        return tide - 3;", "    }",
          "    return 0;", "}"),
    "configuration": ("harbour:", "  berths:", "    - north", "    - south", "  dues: 12"),
}  # fmt: skip


def code() -> Iterator[Sample]:
    for (variant, listing), size in zip(LISTINGS.items(), (10.0, 9.0, 11.0), strict=True):
        sheet = Sheet(A4)
        texts = paragraphs("english", 4)
        y = sheet.paragraph(60, 90, 470, next(texts), "Times", 11)
        for line in listing:
            indent = len(line) - len(line.lstrip())
            sheet.text(72 + indent * 0.6 * size, y, line.lstrip(), "Courier", size)
            y += 1.3 * size
        sheet.paragraph(60, y + 12, 470, next(texts), "Times", 11)
        lines = [f"code: {line}" for line in listing]
        yield of_pages("code", variant, [sheet], *lines, "tables: 0")


def footnotes() -> Iterator[Sample]:
    for variant, sign, font, note in (
        ("number", "1", "Times", "The slate is kept in the museum of the town."),
        ("star", "*", "Helvetica", "Measured at spring tide, in calm weather."),
        ("german", "2", "Times", "Nach dem Protokoll der Sitzung vom Mai."),
    ):
        sheet = Sheet(A4)
        texts = list(islice(paragraphs("german" if variant == "german" else "english", 3), 3))
        y = 90.0
        for text in texts:
            y = sheet.paragraph(60, y, 470, text, font, 11)
        sheet.rule(60, 740, 180, 740)
        sheet.text(60, 752, sign, font, 6)
        sheet.text(66, 756, note, font, 8.5)
        yield of_pages(
            "footnotes", variant, [sheet], f"contains: {note}", f"before: {texts[-1]} | {note}",
            f"not-heading: {note}", "tables: 0",
        )  # fmt: skip


def formulas() -> Iterator[Sample]:
    for variant, formula, number, font in (
        ("sum", ("x = a + b", "y = c - d", "z = x y"), "(1)", "Times-Italic"),
        ("fraction", ("v = s / t", "p = F / A"), "(2.3)", "Times-Italic"),
        ("german", ("E = m c", "F = m a", "W = F s"), "(4)", "Times"),
    ):
        sheet = Sheet(A4)
        texts = paragraphs("german" if variant == "german" else "english", 6)
        y = sheet.paragraph(60, 90, 470, next(texts), "Times", 11)
        for line in formula:
            sheet.text(240, y + 4, line, font, 11)
            sheet.text(500, y + 4, number, "Times", 11)
            y += 24
        sheet.paragraph(60, y + 8, 470, next(texts), "Times", 11)
        lines = [f"contains: {line}" for line in formula]
        lines += [f"not-heading: {line}" for line in formula]
        yield of_pages("formulas", variant, [sheet], *lines, "tables: 0")
