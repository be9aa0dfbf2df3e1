"""Presentations of random structure whose Markdown is certain, from a seed."""

import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from tests.presentations import (
    CHART,
    DIAGRAM,
    DRAWING,
    Place,
    Relation,
    Slide,
    cell,
    chart,
    group,
    paragraph,
    presentation,
    run,
    runs,
    shape,
    smart_art,
    table,
    title,
)

WORDS = ("amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "jetty")
ROMAN = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")


class Deck(NamedTuple):
    """A presentation, and the Markdown of each of its slides."""

    data: bytes
    expected: list[str]


class Piece(NamedTuple):
    """A shape without its place, what it needs, and its Markdown."""

    shape: Callable[[Place], str]
    markdown: str
    relations: tuple[Relation, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()


class Author:
    """Writes one presentation; no text of it occurs twice."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._numbers = count(1)

    def deck(self) -> Deck:
        slides, expected = [], []
        for _ in range(self._dice.randint(1, 5)):
            slide, text = self._slide()
            slides.append(slide)
            expected.append(text)
        return Deck(presentation(*slides), expected)

    def _text(self) -> str:
        words = self._dice.choices(WORDS, k=self._dice.randint(1, 4))
        return " ".join([*words, str(next(self._numbers))])

    def _slide(self) -> tuple[Slide, str]:
        pieces = [self._piece() for _ in range(self._dice.randint(0, 5))]
        height = 380 / max(len(pieces), 1)
        placed = [
            piece.shape((40, 120 + height * row, 640, height - 10))
            for row, piece in enumerate(pieces)
        ]
        self._dice.shuffle(placed)
        blocks = []
        if self._dice.random() < 0.8:
            text = self._text()
            placed.insert(self._dice.randint(0, len(placed)), title(text))
            blocks.append(f"# {text}")
        hidden = self._dice.random() < 0.15
        blocks += ["*(hidden slide)*"] if hidden else []
        blocks += [piece.markdown for piece in pieces]
        notes = [self._text() for _ in range(self._dice.choice([0, 0, 1, 3]))]
        if notes:
            blocks.append("\n>\n".join(f"> {line}" for line in ["**Notes**", *notes]))
        related = [one for piece in pieces for one in piece.relations]
        parts = {name: part for piece in pieces for name, part in piece.parts}
        return Slide(placed, related, parts, notes, hidden), "\n\n".join(blocks)

    def _piece(self) -> Piece:
        makers = (self._box, self._list, self._table, self._chart, self._diagram, self._group)
        return self._dice.choice(makers)()

    def _box(self) -> Piece:
        texts = [self._text() for _ in range(self._dice.randint(1, 3))]
        styled, shown = [], []
        for text in texts:
            attributes, before, after = self._dice.choice(
                [
                    ("", "", ""),
                    ('b="1"', "**", "**"),
                    ('i="1"', "*", "*"),
                    ('baseline="30000"', "<sup>", "</sup>"),
                    ('strike="dblStrike"', "~~", "~~"),
                ]
            )
            styled.append(runs(run("So "), run(text, attributes)))
            shown.append(f"So {before}{text}{after}")
        return Piece(lambda place: shape(*styled, place=place), "\n\n".join(shown))

    def _list(self) -> Piece:
        """A list of one kind on each level; deeper levels interrupt no numbers."""
        kinds = [self._dice.choice(["bullet", "arabicPeriod", "romanLcPeriod"]) for _ in range(3)]
        starts = [self._dice.choice([1, 1, 3]) for _ in range(3)]
        written, lines = [], []
        numbers: list[int] = []
        widths: list[int] = []
        for _ in range(self._dice.randint(1, 8)):
            level = self._dice.randint(0, min(2, len(numbers)))
            del numbers[level + 1 :]
            if level == len(numbers):
                numbers.append(starts[level] - 1)
            numbers[level] += 1
            text, kind = self._text(), kinds[level]
            properties = '<a:buChar char="-"/>'
            mark = "-"
            if kind != "bullet":
                properties = f'<a:buAutoNum type="{kind}" startAt="{starts[level]}"/>'
                number = numbers[level]
                mark = f"{number}." if kind == "arabicPeriod" else f"- {ROMAN[number]}."
            written.append(paragraph(text, properties, f'lvl="{level}"'))
            del widths[level:]
            lines.append(f"{' ' * sum(widths)}{mark} {text}")
            widths.append(len(mark.split()[0]) + 1)
        return Piece(lambda place: shape(*written, place=place), "\n".join(lines))

    def _table(self) -> Piece:
        """A table cut into rectangles, of which each is one cell."""
        rows, columns = self._dice.randint(1, 5), self._dice.randint(1, 5)
        texts: dict[tuple[int, int], str] = {}
        made = []
        for y in range(rows):
            line = []
            for x in range(columns):
                if (y, x) in texts:
                    line.append(cell("", 'hMerge="1" vMerge="1"'))
                    continue
                across = 1
                while x + across < columns and (y, x + across) not in texts:
                    if self._dice.random() < 0.8:
                        break
                    across += 1
                down = self._dice.choice([1, 1, 1, min(2, rows - y)])
                text = self._text()
                for i in range(down):
                    texts.update({(y + i, x + j): text for j in range(across)})
                line.append(cell(text, f'gridSpan="{across}" rowSpan="{down}"'))
            made.append(line)
        grid = [[texts[y, x] for x in range(columns)] for y in range(rows)]
        return Piece(lambda place: table(*made, place=place), _markdown(grid))

    def _chart(self) -> Piece:
        number = next(self._numbers)
        names = [self._text() for _ in range(self._dice.randint(1, 3))]
        categories = [self._text() for _ in range(self._dice.randint(1, 4))]
        values = [[str(self._dice.randint(-99, 9999)) for _ in names] for _ in categories]
        kind = self._dice.choice(["barChart", "line3DChart", "areaChart", "doughnutChart"])
        drawn = "".join(
            f"<c:ser><c:tx>{_cache('str', [name])}</c:tx><c:cat>{_cache('str', categories)}</c:cat>"
            f"<c:val>{_cache('num', [row[place] for row in values])}</c:val></c:ser>"
            for place, name in enumerate(names)
        )
        area = f"<c:chart><c:plotArea><c:{kind}>{drawn}</c:{kind}></c:plotArea></c:chart>"
        part = f'<c:chartSpace xmlns:c="{CHART}">{area}</c:chartSpace>'
        related = Relation(f"c{number}", "chart", f"../charts/chart{number}.xml")
        grid = [["", *names], *([name, *row] for name, row in zip(categories, values, strict=True))]
        return Piece(
            lambda place: chart(f"c{number}", place),
            _markdown(grid),
            (related,),
            ((f"ppt/charts/chart{number}.xml", part),),
        )

    def _diagram(self) -> Piece:
        number = next(self._numbers)
        points, links, lines = ['<dgm:pt modelId="0" type="doc"/>'], [], []
        for top in range(self._dice.randint(1, 4)):
            below = [f"{top}.{inner}" for inner in range(self._dice.randint(0, 2))]
            for order, name in enumerate([f"{top}", *below]):
                text = self._text()
                words = f"<dgm:t><a:bodyPr/>{paragraph(text)}</dgm:t>"
                points.append(f'<dgm:pt modelId="p{name}">{words}</dgm:pt>')
                source, place = (f"p{top}", order) if name in below else ("0", top)
                links.append(f'<dgm:cxn srcId="{source}" destId="p{name}" srcOrd="{place}"/>')
                lines.append(f"{'  ' if name in below else ''}- {text}")
        self._dice.shuffle(links)
        part = (
            f'<dgm:dataModel xmlns:dgm="{DIAGRAM}" xmlns:a="{DRAWING}"><dgm:ptLst>'
            f"{''.join(points)}</dgm:ptLst><dgm:cxnLst>{''.join(links)}</dgm:cxnLst>"
            "</dgm:dataModel>"
        )
        related = Relation(f"d{number}", "diagramData", f"../diagrams/data{number}.xml")
        return Piece(
            lambda place: smart_art(f"d{number}", place),
            "\n".join(lines),
            (related,),
            ((f"ppt/diagrams/data{number}.xml", part),),
        )

    def _group(self) -> Piece:
        """A row of boxes in a group with coordinates of its own."""
        texts = [self._text() for _ in range(self._dice.randint(1, 4))]
        boxes = [
            shape(paragraph(text), place=(1000 * n, 0, 900, 500)) for n, text in enumerate(texts)
        ]
        self._dice.shuffle(boxes)
        return Piece(
            lambda place: group(*boxes, place=place, inner=(0, 0, 1000 * len(texts), 500)),
            "\n\n".join(texts),
        )


def decks(first: int, last: int) -> Iterator[tuple[int, Deck]]:
    """Yield the decks of these seeds."""
    for seed in range(first, last):
        yield seed, Author(seed).deck()


def _cache(kind: str, texts: list[str]) -> str:
    points = "".join(
        f'<c:pt idx="{place}"><c:v>{text}</c:v></c:pt>' for place, text in enumerate(texts)
    )
    return f"<c:{kind}Ref><c:{kind}Cache>{points}</c:{kind}Cache></c:{kind}Ref>"


def _markdown(grid: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in grid]
    lines.insert(1, "|" + " --- |" * len(grid[0]))
    return "\n".join(lines)
