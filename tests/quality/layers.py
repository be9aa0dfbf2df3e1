"""Text layers that do not agree with what a page shows, and pages of which a part is cut away."""
# ruff: noqa: E501  the texts of the samples stand on lines of their own

from collections.abc import Iterator, Mapping
from itertools import islice

from PIL import Image

from tests.quality import pictures
from tests.quality.paper import A4, Paper, Sheet
from tests.quality.prose import paragraphs
from tests.quality.sample import Sample, of_pages

PAGE_DPI = 130


def samples() -> Iterator[Sample]:
    """Yield three variants of each kind."""
    for kind in (
        fonts_without_meaning, scanned_pages, bad_layers, good_layers, pictures_on_text, cut_sheets,
    ):  # fmt: skip
        yield from kind()


NOTICES = {
    "shifted": ("Notice to the owners of dogs", "The beach is closed from May to October."),
    "times": ("Hire of rowing boats", "Boats are let by the hour until sunset."),
    "signs": ("Sale of used sails", "All sails are dry and free of holes."),
}


def fonts_without_meaning() -> Iterator[Sample]:
    """What is seen is English; what the font maps it to is noise."""
    for (variant, lines), font in zip(
        NOTICES.items(), ("Helvetica", "Times", "Helvetica"), strict=True
    ):
        sheet = Sheet(A4)
        body = (
            *lines,
            *(part for text in islice(paragraphs("english", 4), 2) for part in text.split(". ")),
        )
        sheet.lines(72, 100, body, font, 14, 26)
        codes = range(32, 127)
        step, low = {"shifted": (7, 33), "times": (11, 35), "signs": (13, 0xF020)}[variant]
        meaning = {code: chr(low + (code * step + 5) % 90) for code in codes}
        expected = [f"contains~2: {line}" for line in lines]
        yield Sample(
            "font-without-meaning", variant, "pdf",
            Paper(sheet, meaning=meaning).write,
            (*expected, "warning: text_layer_untrusted"),
        )  # fmt: skip


SCANNED = {
    "letter": ("Harbour office, 12 June", "Dear Mrs Tidewell,", "the crane is out of order.", "Please send the two fitters", "before the end of the week."),
    "list": ("Stores of the lighthouse", "Lamp oil: 40 litres", "Spare glass: 3 pieces", "Rope: 120 metres", "Paint: 6 buckets"),
    "notice": ("Closing of the northern gate", "The gate is closed on Sunday.", "Carts use the southern gate.", "The bell rings at seven", "and again at nine."),
}  # fmt: skip
NOISE = ("Ha1b0ur 0ffjce, lZ Jnne", "Dcar Nrs T1dewc11, lhc", "crnne ls 0ut ol", "P1ea5e 5cnd thc lw0 fjllers", "hef0re tbe end 0f")  # fmt: skip


def _scan(lines: tuple[str, ...], size: int) -> Image.Image:
    page = Image.new("L", (int(A4[0] / 72 * PAGE_DPI), int(A4[1] / 72 * PAGE_DPI)), 255)
    page.paste(pictures.lines(lines, size), (90, 110))
    return page


def scanned_pages() -> Iterator[Sample]:
    """Pages that are one picture, upright and turned."""
    for (variant, lines), turns, size in zip(
        SCANNED.items(), ((0, 90), (180,), (270, 180)), (34, 30, 38), strict=True
    ):
        sheets = []
        for turn in turns:
            scan = _scan(lines, size).rotate(turn, expand=True)
            sheet = Sheet(A4 if turn in (0, 180) else (A4[1], A4[0]))
            sheet.picture(0, 0, sheet.width, sheet.height, scan)
            sheets.append(sheet)
        expected = [
            f"page {page} before~1: {' | '.join(lines)}" for page in range(1, len(turns) + 1)
        ]
        yield of_pages("scan-pdf", variant, sheets, *expected)


def _layered(kind: str, hidden: Mapping[str, tuple[str, ...]], *more: str) -> Iterator[Sample]:
    for (variant, lines), size in zip(SCANNED.items(), (34, 30, 38), strict=True):
        sheet = Sheet(A4)
        sheet.picture(0, 0, *A4, _scan(lines, size))
        step = pictures.LEADING * size * 72 / PAGE_DPI
        for place, line in enumerate(hidden[variant]):
            y = 110 * 72 / PAGE_DPI + step * place + 0.8 * size * 72 / PAGE_DPI
            sheet.text(90 * 72 / PAGE_DPI, y, line, "Courier", 10, hidden=True)
        expected = [f"contains~1: {line}" for line in lines]
        yield of_pages(kind, variant, [sheet], *expected, *more, clean=not more)


def bad_layers() -> Iterator[Sample]:
    """A scan with a hidden layer of poor recognition."""
    hidden = dict.fromkeys(SCANNED, NOISE)
    yield from _layered(
        "scan-bad-layer", hidden, "absent: lZ Jnne", "warning: text_layer_untrusted"
    )


def good_layers() -> Iterator[Sample]:
    """A scan with a hidden layer of good recognition, which needs no other."""
    yield from _layered("scan-good-layer", SCANNED)


def pictures_on_text() -> Iterator[Sample]:
    """A page of text with a picture of text."""
    for variant, lines, font in (
        ("notice", ("Beware of the tide", "Last boat at 18:40"), "Times"),
        ("receipt", ("Receipt 5512", "Two tickets 9.60"), "Helvetica"),
        ("german", ("Betreten verboten", "Steg gesperrt bis Mai"), "Helvetica"),
    ):
        sheet = Sheet(A4)
        texts = list(islice(paragraphs("english", 6), 3))
        y = 80.0
        for text in texts:
            y = sheet.paragraph(72, y, 440, text, font, 11)
        image = pictures.lines(lines, 44)
        width = 360.0
        sheet.picture(90, y + 10, width, width * image.height / image.width, image)
        expected = [f"contains: {text}" for text in (*texts, *lines)]
        yield of_pages("picture-with-text", variant, [sheet], *expected)


def cut_sheets() -> Iterator[Sample]:
    """A sheet of two pages, given twice, each time with one half cut away."""
    for variant, size, language in (
        ("two-halves", (842.0, 595.0), "english"),
        ("german", (1000.0, 600.0), "german"),
        ("upper-and-lower", (595.0, 842.0), "french"),
    ):
        half = (size[0] / 2, size[1]) if size[0] > size[1] else (size[0], size[1] / 2)
        texts = list(islice(paragraphs(language, 0), 6))
        crops = [
            (0.0, size[1] - half[1], half[0], size[1]),
            (size[0] - half[0], 0.0, size[0], half[1]),
        ]
        sheets = []
        for crop in crops:
            sheet = Sheet(size, crop=crop)
            for number, (left, bottom, _, top) in enumerate(crops):
                y = size[1] - top + 60
                for text in texts[3 * number : 3 * number + 3]:
                    y = sheet.paragraph(left + 40, y, half[0] - 80, text, "Times", 10.5)
                assert y < size[1] - bottom
            sheets.append(sheet)
        lines = [f"page 1 contains: {text}" for text in texts[:3]]
        lines += [f"page 1 absent: {text[:40]}" for text in texts[3:]]
        lines += [f"page 2 contains: {text}" for text in texts[3:]]
        lines += [f"page 2 absent: {text[:40]}" for text in texts[:3]]
        yield of_pages("sheet-cut", variant, sheets, *lines)
