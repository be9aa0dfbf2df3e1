"""Typesetting: text printed twice, divided words, raised signs, turned margins, page sizes."""

from collections.abc import Iterator, Sequence
from itertools import islice

from tests.quality.paper import A4, Sheet, text_width
from tests.quality.prose import paragraphs
from tests.quality.sample import Sample, of_pages


def samples() -> Iterator[Sample]:
    """Yield three variants of each kind."""
    for kind in (printed_twice, hyphenation, raised_signs, margin_text, page_sizes):
        yield from kind()


def _paragraphs(count: int, start: int, language: str = "english") -> list[str]:
    return list(islice(paragraphs(language, start), count))


def _as_paragraphs(texts: Sequence[str]) -> list[str]:
    return [f"paragraph: {text}" for text in texts]


def printed_twice() -> Iterator[Sample]:
    """Text that is printed twice, a little apart, to look bold or shadowed."""
    for variant, shift, font in (
        ("bold", 0.3, "Helvetica"),
        ("shadow", 1.0, "Times"),
        ("same", 0.0, "Helvetica"),
    ):
        sheet = Sheet(A4)
        texts = _paragraphs(2, 4)
        for offset in (0.0, shift):
            sheet.text(70 + offset, 90 + offset, "Rules of the outer harbour", font, 16)
            sheet.paragraph(70 + offset, 130 + offset, 440, texts[0], font, 11)
        sheet.paragraph(70, 220, 440, texts[1], font, 11)
        lines = ["once: Rules of the outer harbour", *(f"once: {text}" for text in texts)]
        yield of_pages("printed-twice", variant, [sheet], *lines)


def hyphenation() -> Iterator[Sample]:
    """Long words divided at the ends of lines; a hyphen that belongs to a word stays."""
    for variant, lines, whole, font in (
        (
            "english",
            (
                "The commission asked for an exten-",
                "sive description of all instru-",
                "ments that the harbour owns.",
            ),
            "extensive description of all instruments that the harbour owns",
            "Times",
        ),
        (
            "german",
            (
                "Die Hafenverwaltung bittet alle Schiffs-",
                "eigner, ihre Versicherungs-",
                "bescheinigung vorzulegen.",
            ),
            "Schiffseigner, ihre Versicherungsbescheinigung vorzulegen",
            "Helvetica",
        ),
        (
            "compound",
            ("The well-known pilot wrote to the news-", "paper about the flat-bottomed barges."),
            "well-known pilot wrote to the newspaper about the flat-bottomed barges",
            "Times",
        ),
    ):
        sheet = Sheet(A4)
        text = _paragraphs(1, 2)[0]
        y = sheet.paragraph(70, 90, 440, text, font, 11)
        sheet.lines(70, y, lines, font, 11)
        yield of_pages("hyphenation", variant, [sheet], f"paragraph: {text}", f"contains: {whole}")


def raised_signs() -> Iterator[Sample]:
    """Small raised and lowered signs within a line."""
    for variant, parts, font in (
        (
            "square",
            (
                ("The yard has 1200 m", 0),
                ("2", 4),
                (" of floor and 90 m", 0),
                ("3", 4),
                (" of room.", 0),
            ),
            "Times",
        ),
        (
            "chemistry",
            (
                ("The gas is CO", 0),
                ("2", -3),
                (" and the water is H", 0),
                ("2", -3),
                ("O as ever.", 0),
            ),
            "Helvetica",
        ),
        (
            "reference",
            (("This was shown before", 0), ("14", 4), (" by two of the pilots.", 0)),
            "Times",
        ),
    ):
        sheet = Sheet(A4)
        texts = _paragraphs(2, 5)
        y, x = sheet.paragraph(70, 90, 440, texts[0], font, 11), 70.0
        for text, rise in parts:
            size = 11.0 if not rise else 7.0
            sheet.text(x, y - rise, text, font, size)
            x += text_width(text, font, size)
        sheet.paragraph(70, y + 24, 440, texts[1], font, 11)
        order = " | ".join(text.strip() for text, _ in parts)
        one = [part.strip() for part, rise in parts if not rise]
        yield of_pages(
            "raised-signs",
            variant,
            [sheet],
            f"before: {texts[0]} | {order} | {texts[1]}",
            *(f"not-heading: {text}" for text in one),
            *_as_paragraphs(texts),
        )


def margin_text() -> Iterator[Sample]:
    """A turned line in the margin of an upright page."""
    for variant, line, x, matrix, font in (
        ("left", "Copy 14 of the harbour office, 3 May 2019", 25.0, "0 1 -1 0", "Times"),
        ("right", "Printed on paper from the mill at Westing", 570.0, "0 -1 1 0", "Helvetica"),
        ("german", "Nur für den Dienstgebrauch, Blatt 9", 22.0, "0 1 -1 0", "Helvetica"),
    ):
        sheet = Sheet(A4)
        texts, y = _paragraphs(6, 1), 90.0
        for text in texts:
            y = sheet.paragraph(70, y, 440, text, font, 11)
        sheet.text(x, 600 if matrix.startswith("0 1") else 200, line, font, 14, matrix=matrix)
        order = f"before: {' | '.join(texts)}"
        yield of_pages(
            "margin-text", variant, [sheet], *_as_paragraphs(texts), order, f"contains: {line}"
        )


def page_sizes() -> Iterator[Sample]:
    """A ticket, a poster, a strip of a till."""
    for variant, size, font, letter, language in (
        ("ticket", (220.0, 150.0), "Helvetica", 6.0, "english"),
        ("poster", (2384.0, 3370.0), "Times", 48.0, "german"),
        ("strip", (170.0, 900.0), "Helvetica", 8.0, "french"),
    ):
        sheet = Sheet(size)
        texts = _paragraphs(2, 0, language)
        y = (
            sheet.lines(
                0.08 * size[0],
                0.08 * size[0] + 2 * letter,
                ["Harbour News"],
                f"{font}-Bold",
                1.6 * letter,
            )
            + letter
        )
        for text in texts:
            y = sheet.paragraph(0.08 * size[0], y, 0.84 * size[0], text, font, letter)
        assert y < size[1]
        yield of_pages(
            "page-sizes", variant, [sheet], "heading: Harbour News", *_as_paragraphs(texts)
        )
