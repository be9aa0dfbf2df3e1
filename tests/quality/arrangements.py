"""Arrangements of text on a page that are easily mistaken for others."""

from collections.abc import Iterator, Sequence
from itertools import islice

from tests.quality.paper import A4, Sheet, text_width, wrap
from tests.quality.prose import paragraphs
from tests.quality.sample import Sample, of_pages


def samples() -> Iterator[Sample]:
    """Yield three variants of each kind."""
    for kind in (
        contents, drawing_labels, table_in_column, bold_items, letters, empty_cells, framed_prose,
    ):  # fmt: skip
        yield from kind()


def _paragraphs(count: int, start: int, language: str = "english") -> list[str]:
    return list(islice(paragraphs(language, start), count))


def _as_paragraphs(texts: Sequence[str]) -> list[str]:
    return [f"paragraph: {text}" for text in texts]


def contents() -> Iterator[Sample]:
    """A table of contents with dots up to the page numbers."""
    for variant, title, entries, font in (
        (
            "plain",
            "Contents",
            (("Introduction", 3), ("The old harbour", 7), ("The new harbour", 15), ("Index", 40)),
            "Times",
        ),
        (
            "numbered",
            "Contents",
            (("1 Tides", 1), ("1.1 Spring tides", 4), ("1.2 Neap tides", 9), ("2 Winds", 12)),
            "Helvetica",
        ),
        (
            "german",
            "Inhalt",
            (("Vorwort", 5), ("Die Mole", 6), ("Das Zollhaus", 18), ("Anhang", 33)),
            "Times",
        ),
    ):
        sheet, y, lines = Sheet(A4), 140.0, []
        sheet.text(70, 90, title, f"{font}-Bold", 16)
        for text, page in entries:
            right = str(page)
            dots = int((430 - text_width(text, font, 11) - 20) / text_width(".", font, 11))
            sheet.text(70, y, f"{text} {'.' * dots}", font, 11)
            sheet.text(520 - text_width(right, font, 11), y, right, font, 11)
            lines += [f"contains: {text}", f"not-heading: {text}"]
            y += 18
        order = " | ".join(part for text, page in entries for part in (text, str(page)))
        yield of_pages(
            "contents", variant, [sheet], f"heading: {title}", *lines, f"before: {order}"
        )


def drawing_labels() -> Iterator[Sample]:
    """Labels of boxes in a drawing, which are neither headings nor a table."""
    for variant, labels, font in (
        ("flow", ("Arrival", "Inspection", "Berth", "Departure"), "Helvetica-Bold"),
        ("german", ("Anmeldung", "Prüfung", "Liegeplatz", "Abfahrt"), "Helvetica"),
        ("plan", ("Shed", "Crane", "Yard", "Gate"), "Times-Bold"),
    ):
        sheet = Sheet(A4)
        texts = _paragraphs(4, 3)
        y = sheet.paragraph(70, 90, 440, texts[0], "Times", 11)
        y = sheet.paragraph(70, y, 440, texts[1], "Times", 11) + 10
        for place, label in enumerate(labels):
            x, top = 80 + 140 * (place % 3) + 25 * (place // 3), y + 75 * (place // 3) + 9 * place
            sheet.box(x, top, 90, 34)
            sheet.text(x + 45 - text_width(label, font, 9) / 2, top + 20, label, font, 9)
            if place:
                sheet.rule(x - 40, top + 17, x, top + 17)
        y = sheet.paragraph(70, y + 150, 440, "Figure 1: The way of a vessel.", "Times", 9)
        y = sheet.paragraph(70, y, 440, texts[2], "Times", 11)
        sheet.paragraph(70, y, 440, texts[3], "Times", 11)
        lines = [f"not-heading: {label}" for label in labels]
        lines += [f"contains: {label}" for label in labels]
        yield of_pages(
            "drawing-labels", variant, [sheet], *lines, *_as_paragraphs(texts), "tables: 0"
        )


CELLS = (("Pier", "Depth"), ("North", "4.5"), ("South", "6.0"), ("West", "3.2"))


def table_in_column() -> Iterator[Sample]:
    """A table in one of two columns, with prose beside it."""
    for variant, column, ruled, font in (
        ("left-ruled", 0, True, "Times"),
        ("right-ruled", 1, True, "Helvetica"),
        ("right-open", 1, False, "Times"),
    ):
        sheet = Sheet(A4)
        texts = _paragraphs(12, 0)
        used: list[str] = []
        for place in (0, 1):
            x, y = 60.0 + 250 * place, 80.0
            for number in range(6):
                if place == column and number == 2:
                    top = y + 6
                    for row, cells in enumerate(CELLS):
                        for cell, text in enumerate(cells):
                            sheet.text(x + 8 + 100 * cell, top + 16 * row + 11, text, font, 9.5)
                    if ruled:
                        for row in range(len(CELLS) + 1):
                            sheet.rule(x, top + 16 * row, x + 200, top + 16 * row)
                        for edge in (0, 100, 200):
                            sheet.rule(x + edge, top, x + edge, top + 16 * len(CELLS))
                    y = top + 16 * len(CELLS) + 20
                text = texts[6 * place + number]
                used.append(text)
                y = sheet.paragraph(x, y, 225, text, font, 9.5)
        rows = [f"row: {' | '.join(cells)}" for cells in CELLS]
        yield of_pages(
            "table-in-column",
            variant,
            [sheet],
            *rows,
            "tables: 1",
            *_as_paragraphs(used),
            f"before: {' | '.join(used)}",
        )


def bold_items() -> Iterator[Sample]:
    """Items of a list in bold, which are no headings."""
    for variant, sign, items, font in (
        ("bullets", "\u2022", ("Close the gate", "Lower the flag", "Lock the shed"), "Helvetica"),
        ("numbers", "{}.", ("Check the rope", "Count the crates", "Sign the list"), "Times"),
        ("german", "\u2013", ("Tor schließen", "Licht löschen", "Schlüssel abgeben"), "Helvetica"),
    ):
        sheet = Sheet(A4)
        above, below = _paragraphs(2, 6)
        y = sheet.paragraph(70, 90, 440, above, font, 11)
        for number, item in enumerate(items, 1):
            sheet.text(80, y, sign.format(number), f"{font}-Bold", 11)
            sheet.text(98, y, item, f"{font}-Bold", 11)
            y += 17
        sheet.paragraph(70, y + 8, 440, below, font, 11)
        lines = [f"item: {item}" for item in items] + [f"not-heading: {item}" for item in items]
        yield of_pages("bold-items", variant, [sheet], *lines, *_as_paragraphs([above, below]))


def letters() -> Iterator[Sample]:
    """A letter: sender at the right, recipient at the left, date, salutation, text, greeting."""
    for variant, sender, recipient, date, text_start, language in (
        (
            "english",
            ("Harbour Office", "7 Quay Street", "Kelpmouth"),
            ("Mrs A. Tidewell", "2 Mill Lane", "Westing"),
            "12 June 2021",
            0,
            "english",
        ),
        (
            "german",
            ("Hafenamt Nordhafen", "Kaistraße 7", "26999 Nordhafen"),
            ("Herrn K. Möwe", "Mühlweg 2", "26998 Osthafen"),
            "3. Mai 2020",
            1,
            "german",
        ),
        (
            "french",
            ("Capitainerie", "7, quai du Nord", "Port-Louis"),
            ("M. J. Goéland", "2, rue du Moulin", "Saint-Malo"),
            "le 9 avril 2022",
            2,
            "french",
        ),
    ):
        sheet = Sheet(A4)
        sheet.lines(380, 70, sender, "Helvetica", 10)
        sheet.lines(70, 150, recipient, "Helvetica", 11)
        sheet.text(380, 240, date, "Helvetica", 11)
        texts, y = _paragraphs(2, text_start, language), 290.0
        for text in texts:
            y = sheet.paragraph(70, y, 450, text, "Helvetica", 11)
        parts = [*sender, *recipient, date, *texts]
        yield of_pages(
            "letters",
            variant,
            [sheet],
            *(f"once: {part}" for part in parts),
            f"before: {' | '.join(parts)}",
            "tables: 0",
            *_as_paragraphs(texts),
        )


def empty_cells() -> Iterator[Sample]:
    """Tables of which some cells are empty."""
    for variant, rows, ruled in (
        (
            "ruled",
            (
                ("Day", "Tide", "Wind"),
                ("Monday", "high", ""),
                ("Tuesday", "", "north"),
                ("Friday", "low", "west"),
            ),
            True,
        ),
        (
            "open",
            (
                ("Boat", "Built", "Sold", "Owner"),
                ("Plover", "1911", "1924", "Quill"),
                ("Petrel", "1915", "", "Marlow"),
                ("Gannet", "1921", "1930", "Reed"),
                ("Curlew", "1925", "", "Hythe"),
            ),
            False,
        ),
        (
            "german",
            (
                ("Gast", "Von", "Bis"),
                ("Möwe", "3.", "9."),
                ("Kranich", "", "12."),
                ("Reiher", "14.", ""),
            ),
            True,
        ),
    ):
        sheet = Sheet(A4)
        above, below = _paragraphs(2, 8)
        top = sheet.paragraph(70, 90, 440, above, "Helvetica", 10) + 8
        for y, row in enumerate(rows):
            for x, text in enumerate(row):
                if text:
                    sheet.text(76 + 100 * x, top + 18 * y + 12, text, "Helvetica", 10)
        bottom, width = top + 18 * len(rows), 100 * len(rows[0])
        if ruled:
            for y in range(len(rows) + 1):
                sheet.rule(70, top + 18 * y, 70 + width, top + 18 * y)
            for x in range(len(rows[0]) + 1):
                sheet.rule(70 + 100 * x, top, 70 + 100 * x, bottom)
        sheet.paragraph(70, bottom + 30, 440, below, "Helvetica", 10)
        yield of_pages(
            "table-empty-cells",
            variant,
            [sheet],
            *(f"row: {' | '.join(row)}" for row in rows),
            f"rows: {len(rows)}",
            *_as_paragraphs([above, below]),
        )


def framed_prose() -> Iterator[Sample]:
    """Prose in a frame, or in two frames side by side, which is no table."""
    for variant, frames, font in (
        ("one", 1, "Times"),
        ("two-beside", 2, "Helvetica"),
        ("german", 1, "Helvetica"),
    ):
        sheet = Sheet(A4)
        texts = _paragraphs(2 * frames + 1, 2, "german" if variant == "german" else "english")
        y = sheet.paragraph(70, 90, 440, texts[0], font, 11)
        width = 440 / frames - 12
        for frame in range(frames):
            x, inner = 70 + frame * (width + 24), y + 20
            for text in texts[1 + 2 * frame : 3 + 2 * frame]:
                inner = sheet.paragraph(x + 8, inner, width - 16, text, font, 10)
            assert len(wrap(text, width - 16, font, 10)) < 12
            sheet.box(x, y, width, inner - y)
        yield of_pages(
            "framed-prose",
            variant,
            [sheet],
            *_as_paragraphs(texts),
            f"before: {' | '.join(texts)}",
            "tables: 0",
        )
