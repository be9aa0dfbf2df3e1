"""Texts and presentations of random structure come out word for word, in order."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from ilios.engines.pages import Reading
from tests import opendocuments as odf
from tests.conversions import texts
from tests.read_markdown import numbers_shown, numbers_written

SEEDS = [pytest.param(seed, marks=[] if seed < 15 else [pytest.mark.long]) for seed in range(300)]
STYLES = (
    '<style:style style:name="up" style:family="text">'
    '<style:text-properties style:text-position="super 58%"/></style:style>'
    '<style:style style:name="bold" style:family="text">'
    '<style:text-properties fo:font-weight="bold"/></style:style>'
)
NAMED = (
    '<style:style style:name="Preformatted_20_Text" style:family="paragraph"/>'
    '<style:style style:name="Quotations" style:family="paragraph"/>'
)

Block = tuple[str, str]
"""XML and the Markdown it becomes."""


class Dice:
    """Random structures; every word occurs once."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._count = 0
        self._headings = [0] * 10
        self._last_number = 0
        self.notes: list[str] = []

    def word(self) -> str:
        self._count += 1
        letters = "".join(self.random.choices("abcdefghijklmnopqrstuvwxyzäöüéжщ日本", k=4))
        return f"{letters}{self._count}"

    def words(self, most: int = 6) -> str:
        return " ".join(self.word() for _ in range(self.random.randint(1, most)))

    def inline(self) -> Block:
        xml, markdown = [], []
        for _ in range(self.random.randint(1, 4)):
            word = self.word()
            match self.random.randrange(6):
                case 0:
                    xml.append(f'<text:span text:style-name="bold">{word}</text:span>')
                    markdown.append(f"**{word}**")
                case 1:
                    up = self.word()
                    xml.append(f'{word}<text:span text:style-name="up">{up}</text:span>')
                    markdown.append(f"{word}<sup>{up}</sup>")
                case 2:
                    xml.append(f'<text:a xlink:href="https://x.org/{word}">{word}</text:a>')
                    markdown.append(f"[{word}](https://x.org/{word})")
                case 3:
                    number, text = len(self.notes) + 1, self.words()
                    self.notes.append(f"[^{number}]: {text}")
                    xml.append(
                        f"{word}<text:note><text:note-citation>{number}</text:note-citation>"
                        f"<text:note-body><text:p>{text}</text:p></text:note-body></text:note>"
                    )
                    markdown.append(f"{word}[^{number}]")
                case _:
                    xml.append(word)
                    markdown.append(word)
        return " ".join(xml), " ".join(markdown)

    def heading(self) -> Block:
        level, text = self.random.randint(1, 3), self.words()
        self._headings[level] += 1
        self._headings[level + 1 :] = [0] * (9 - level)
        label = ".".join(str(max(one, 1)) for one in self._headings[1 : level + 1])
        return odf.heading(text, level), f"{'#' * level} {label} {text}"

    def paragraph(self) -> Block:
        xml, markdown = self.inline()
        return f"<text:p>{xml}</text:p>", markdown

    def styled(self) -> Block:
        lines = [self.words() for _ in range(self.random.randint(1, 3))]
        if self.random.random() < 0.5:
            xml = "".join(odf.paragraph(line, "Preformatted_20_Text") for line in lines)
            return xml, "\n".join(["```", *lines, "```"])
        xml = "".join(odf.paragraph(line, "Quotations") for line in lines)
        return xml, "\n>\n".join(f"> {line}" for line in lines)

    def list_of_items(self) -> Block:
        numbered = self.random.random() < 0.6
        goes_on = numbered and self._last_number > 0 and self.random.random() < 0.5
        first = self._last_number + 1 if goes_on else 1
        xml, lines, last = self._items(numbered, first, 1)
        if numbered:
            self._last_number = last
        more = 'text:continue-numbering="true"' if goes_on else ""
        style = "N" if numbered else "B"
        return f'<text:list text:style-name="{style}" {more}>{xml}</text:list>', "\n".join(lines)

    def _items(self, numbered: bool, first: int, level: int) -> tuple[str, list[str], int]:  # noqa: FBT001
        xml, lines = "", []
        count = self.random.randint(1, 4)
        for number in range(first, first + count):
            item, text = self.inline()
            marker = f"{number}. " if numbered else "- "
            lines.append(marker + text)
            item = f"<text:p>{item}</text:p>"
            if level < 4 and self.random.random() < 0.3:
                inner, below, _ = self._items(numbered, 1, level + 1)
                item += f"<text:list>{inner}</text:list>"
                lines += [" " * len(marker) + line for line in below]
            xml += f"<text:list-item>{item}</text:list-item>"
        return xml, lines, first + count - 1

    def table(self, *, repeats: bool) -> Block:
        rows, columns = self.random.randint(2, 5), self.random.randint(2, 5)
        taken: dict[tuple[int, int], str] = {}
        xml = ""
        for row in range(rows):
            xml += "<table:table-row>"
            for column in range(columns):
                if (row, column) in taken:
                    xml += "<table:covered-table-cell/>"
                    continue
                wide, high = self.random.randint(1, 2), self.random.randint(1, 2)
                covered = {(row + r, column + c) for r in range(high) for c in range(wide)}
                if any(r >= rows or c >= columns or (r, c) in taken for r, c in covered):
                    covered, wide, high = {(row, column)}, 1, 1
                text = self.words(2)
                taken |= dict.fromkeys(covered, text if repeats else "")
                taken[row, column] = text
                spans = f'table:number-columns-spanned="{wide}" table:number-rows-spanned="{high}"'
                xml += f"<table:table-cell {spans}><text:p>{text}</text:p></table:table-cell>"
            xml += "</table:table-row>"
        lines = [
            "| " + " | ".join(taken[row, column] for column in range(columns)) + " |"
            for row in range(rows)
        ]
        lines.insert(1, "|" + " --- |" * columns)
        return f"<table:table>{xml}</table:table>", "\n".join(lines)


def blocks(dice: Dice, count: int, *, repeats: bool) -> Iterator[Block]:
    """Yield blocks of which no two of one kind that would be joined follow each other."""
    last: Any = None
    for _ in range(count):
        makers = [dice.heading, dice.paragraph, dice.styled, dice.list_of_items]
        make = dice.random.choice([one for one in makers if one != last] + [None])
        last = make
        yield dice.table(repeats=repeats) if make is None else make()


def check(pages: list[str], expected: list[str]) -> None:
    assert [page.replace("<!-- -->\n\n", "") for page in pages] == expected
    for page in pages:
        assert numbers_shown(page) == numbers_written(page)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_text_comes_out_word_for_word(seed: int) -> None:
    dice = Dice(seed)
    repeats = dice.random.random() < 0.5
    made = list(blocks(dice, dice.random.randint(1, 25), repeats=repeats))
    data = odf.odt(*(xml for xml, _ in made), automatic=STYLES, styles=NAMED + odf.OUTLINE)
    expected = "\n\n".join([*(markdown for _, markdown in made), *dice.notes])
    reading = Reading(merged_cells="repeat" if repeats else "once")
    check(texts(data, reading), [expected.rstrip()])


@pytest.mark.parametrize("seed", SEEDS)
def test_slides_come_out_word_for_word(seed: int) -> None:
    dice = Dice(seed)
    slides, expected = [], []
    for _ in range(dice.random.randint(1, 8)):
        shapes, page = [], []
        title = dice.words()
        for _ in range(dice.random.randint(0, 4)):
            match dice.random.randrange(3):
                case 0:
                    xml, markdown = dice.paragraph()
                    shape = odf.frame(xml)
                case 1:
                    dice._last_number = 0
                    xml, markdown = dice.list_of_items()
                    shape = odf.frame(xml, "outline")
                case _:
                    xml, markdown = dice.table(repeats=True)
                    shape = f"<draw:frame>{xml}</draw:frame>"
            if dice.random.random() < 0.2:
                shape = f"<draw:g>{shape}</draw:g>"
            shapes.append(shape)
            page.append(markdown)
        shapes.insert(dice.random.randint(0, len(shapes)), odf.frame(odf.paragraph(title), "title"))
        page.insert(0, f"# {title}")
        hidden = dice.random.random() < 0.2
        if hidden:
            page.insert(0, "*(hidden slide)*")
        page += dice.notes
        dice.notes = []
        notes = dice.words() if dice.random.random() < 0.4 else ""
        if notes:
            page.append(f"> **Notes**\n>\n> {notes}")
        slides.append(odf.slide(*shapes, notes=notes, style="off" if hidden else ""))
        expected.append("\n\n".join(page))
    off = (
        '<style:style style:name="off" style:family="drawing-page">'
        '<style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
    )
    data = odf.odp(*slides, automatic=STYLES + off)
    check(texts(data, Reading(merged_cells="repeat")), expected)
