"""Pages in other scripts and directions: right to left, top to bottom, turned, upside down."""
# ruff: noqa: E501, RUF001  the texts of the samples stand on lines of their own

from collections.abc import Iterator
from itertools import islice

from tests.quality.paper import A4, OURS, Sheet, text_width
from tests.quality.prose import paragraphs
from tests.quality.sample import Sample, of_pages


def samples() -> Iterator[Sample]:
    """Yield three variants of each kind."""
    for kind in (right_to_left, vertical, other_alphabets, rotated_pages, turned_content):
        yield from kind()


RIGHT_TO_LEFT = {
    "hebrew": (
        "הספינה יצאה מן הנמל לפני פתיחת השוק",
        "בשנת 1912 נבנה המגדל החדש",
        "החברה Tidewell קנתה את הסירה",
        "המפתח תלוי ליד הדלת",
    ),
    "arabic": (
        "غادرت السفينة الميناء قبل شروق الشمس",
        "في عام 1934 بني البرج الجديد",
        "اشترت شركة Marlow ذلك المركب",
        "المفتاح معلق قرب الباب",
    ),
    "persian": (
        "کشتی پیش از باز شدن بازار رفت",
        "در سال 1950 برج تازه ساخته شد",
        "شرکت Quill قایق را خرید",
        "کلید کنار در آویزان است",
    ),
}  # fmt: skip


def right_to_left() -> Iterator[Sample]:
    """Lines whose letters stand from the right, with Latin words and numbers in their own order."""
    for (variant, lines), size in zip(RIGHT_TO_LEFT.items(), (14.0, 13.0, 12.0), strict=True):
        sheet, y = Sheet(A4), 100.0
        for line in lines:
            x = 520.0
            for word in line.split():
                width = text_width(word, OURS, size)
                x -= width
                shown = word if word.isascii() else word[::-1]
                sheet.text(x, y, shown, OURS, size)
                x -= text_width(" ", OURS, size)
            y += 2.2 * size
        expected = [f"contains: {line}" for line in lines]
        yield of_pages("right-to-left", variant, [sheet], *expected, f"before: {' | '.join(lines)}")


VERTICAL = {
    "short": ("夜の海に灯りが四つ見えた", "船長は古い地図をひろげた", "波はしずかに寄せていた"),
    "small": ("島の学校は丘の上にある", "子どもたちは歩いて通う", "冬には風がつよく吹く", "春になると花がさく"),
    "large": ("魚は朝のうちに売れる", "残りは燻して町へ送る"),
}  # fmt: skip


def vertical() -> Iterator[Sample]:
    """Columns from right to left, each from top to bottom, sign by sign."""
    for (variant, columns), size in zip(VERTICAL.items(), (15.0, 11.0, 20.0), strict=True):
        sheet = Sheet((420, 595))
        for number, column in enumerate(columns):
            for place, sign in enumerate(column):
                sheet.text(350 - 1.8 * size * number, 80 + 1.1 * size * place, sign, OURS, size)
        expected = [f"contains: {column}" for column in columns]
        order = f"before: {' | '.join(columns)}"
        yield of_pages("vertical-japanese", variant, [sheet], *expected, order)


ALPHABETS = {
    "russian": ("Договор найма склада", "Склад сдаётся на один год с первого мая. Плата вносится каждый месяц до десятого числа."),
    "greek": ("Σύμβαση ενοικίασης", "Η αποθήκη ενοικιάζεται για δύο χρόνια. Το μίσθωμα πληρώνεται κάθε μήνα στο λιμάνι."),
    "ukrainian": ("Правила порту", "Човни стають на якір біля східної стіни. Ключ від воріт висить у сторожа."),
}  # fmt: skip


def other_alphabets() -> Iterator[Sample]:
    for variant, (head, text) in ALPHABETS.items():
        sheet = Sheet(A4)
        sheet.text(70, 90, head, OURS, 18)
        sheet.paragraph(70, 130, 440, text, OURS, 11)
        sheet.paragraph(70, 180, 440, next(paragraphs("english", 2)), "Helvetica", 11)
        yield of_pages("alphabets", variant, [sheet], f"heading: {head}", f"contains: {text}")


def _page(turn: int, rotate: int, size: tuple[float, float], start: int) -> tuple[Sheet, str]:
    sheet = Sheet(size, turn=turn, rotate=rotate)
    texts = list(islice(paragraphs("english", start), 4))
    y = 90.0
    for text in texts:
        y = sheet.paragraph(60, y, size[0] - 120, text, "Helvetica", 11)
    return sheet, f"before: {' | '.join(texts)}"


def rotated_pages() -> Iterator[Sample]:
    """Pages whose content is turned and which a viewer turns back."""
    for variant, turns, size in (
        ("quarter", (90,), (842, 595)),
        ("half", (180,), A4),
        ("three-quarters", (270,), (700, 500)),
        ("mixed", (0, 90, 180, 270), A4),
    ):
        pages = [_page(turn, turn, size, 2 * place) for place, turn in enumerate(turns)]
        order = [f"page {place} {line}" for place, (_, line) in enumerate(pages, 1)]
        yield of_pages("page-rotated", variant, [sheet for sheet, _ in pages], *order)


def turned_content() -> Iterator[Sample]:
    """Pages whose content is turned although a viewer shows them as they are."""
    for variant, turns, size in (
        ("upside-down", (180,), A4),
        ("sideways", (90,), (612, 792)),
        ("one-of-three", (0, 180, 270), A4),
    ):
        pages = [_page(turn, 0, size, 3 + 2 * place) for place, turn in enumerate(turns)]
        order = [f"page {place} {line}" for place, (_, line) in enumerate(pages, 1)]
        yield of_pages("content-turned", variant, [sheet for sheet, _ in pages], *order)
