"""DOCX files of random structure, with what a reader of each sees.

Every text is made of tokens that occur once, so that lost, doubled and moved ones show.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from tests.word_documents import docx, field, level, notes, numbering, p, run, style, table, tc, tr

FORMATS = ("lowerLetter", "upperRoman", "decimal", "decimalZero")
STYLED = ("<w:b/>", "<w:i/>", "<w:strike/>", '<w:vertAlign w:val="superscript"/>', "<w:b/><w:i/>")
_ROMAN = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
BY = 'w:id="1" w:author="A"'


class Fact(NamedTuple):
    """A line that the Markdown has, without marks of emphasis, and how its beginning looks."""

    start: str
    text: str


class Made(NamedTuple):
    """A document, the lines it shows in order, and texts that it does not show."""

    data: bytes
    facts: list[Fact]
    unseen: list[str]


class Maker:
    """Makes one document of a seed."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._count = 0
        self._facts: list[Fact] = []
        self._notes: dict[str, str] = {}
        self._note_facts: list[Fact] = []
        self._unseen: list[str] = []
        self._kinds = {number: self._dice.choice(FORMATS) for number in range(1, 4)}
        self._counts = {number: [0] * 3 for number in range(1, 5)}

    def make(self) -> Made:
        """Return the document."""
        body = [block for _ in range(self._dice.randint(3, 25)) for block in self._block()]
        lists = {n: self._levels(kind) for n, kind in self._kinds.items()}
        lists[4] = "".join(
            level(n, text=".".join(f"%{k + 1}" for k in range(n + 1))) for n in range(3)
        )
        headings = "".join(self._numbered_heading(n) for n in range(3))
        data = docx(
            *body,
            styles=headings,
            numbers=numbering(lists),
            parts=notes("footnotes", self._notes),
            related={
                "n1": ("footnotes", "footnotes.xml"),
                "u": ("hyperlink", "https://u.example/"),
            },
            main=self._dice.choice(["word/document.xml", "word/document2.xml"]),
        )
        return Made(data, self._facts + self._note_facts, self._unseen)

    def _levels(self, kind: str) -> str:
        return level(0) + level(1, kind, "%2)") + level(2, "bullet", "-")

    def _numbered_heading(self, n: int) -> str:
        inner = f'<w:pPr><w:numPr><w:ilvl w:val="{n}"/><w:numId w:val="4"/></w:numPr></w:pPr>'
        return style(f"Chapter {n}", f'<w:basedOn w:val="heading{n + 1}"/>{inner}')

    def _token(self) -> str:
        self._count += 1
        sounds = "ba ko du ri mu se ta lo".split()  # noqa: SIM905
        return "".join(self._dice.choice(sounds) for _ in range(3)) + f"x{self._count}"

    def _block(self) -> Iterator[str]:
        kinds = (self._paragraph, self._heading, self._list, self._table, self._box, self._code)
        made = list(self._dice.choices(kinds, (4, 2, 4, 2, 1, 1))[0]())
        if self._dice.random() < 0.15:
            inner = "".join(made)
            yield f"<w:sdt><w:sdtPr/><w:sdtContent>{inner}</w:sdtContent></w:sdt>"
        else:
            yield from made

    def _paragraph(self) -> Iterator[str]:
        content, text = self._text()
        if self._dice.random() < 0.1:
            number = str(len(self._notes) + 2)
            shown = self._token()
            self._notes[number] = p(shown)
            self._note_facts.append(Fact("", f": {shown}"))
            content += f'<w:r><w:footnoteReference w:id="{number}"/></w:r>'
        self._facts.append(Fact("", text))
        yield p(content)

    def _heading(self) -> Iterator[str]:
        content, text = self._text()
        depth = self._dice.randint(0, 2)
        if self._dice.random() < 0.5:
            yield p(content, style=f"heading{depth + 1}")
        else:
            label = self._counted(4, depth)
            text = f"{label} {text}"
            yield p(content, style=f"Chapter{depth}")
        self._facts.append(Fact(f"{'#' * (depth + 1)} ", text))

    def _counted(self, list_id: int, depth: int) -> str:
        """Count an item as Word does; returns the number of the headings' list."""
        counts = self._counts[list_id]
        counts[depth] += 1
        counts[depth + 1 :] = [0] * (2 - depth)
        return ".".join(str(one or 1) for one in counts[: depth + 1])

    def _list(self) -> Iterator[str]:
        list_id = self._dice.randint(1, 3)
        depth = 0
        for _ in range(self._dice.randint(1, 6)):
            depth = self._dice.randint(0, min(depth + 1, 2))
            content, text = self._text()
            self._counted(list_id, depth)
            count = self._counts[list_id][depth]
            kind = self._kinds[list_id]
            mark = "" if kind.startswith("decimal") else "- "  # Markdown itself has such numbers
            start = (f"{count}. ", f"{mark}{_formatted(count, kind)}) ", "- ")[depth]
            self._facts.append(Fact(start, text))
            yield p(content, number=(list_id, depth))

    def _table(self) -> Iterator[str]:
        width = self._dice.randint(2, 4)
        rows: list[str] = []
        for _ in range(self._dice.randint(1, 4)):
            before = self._dice.choice([0, 0, 0, 1]) if rows else 0
            cells, shown = [], [""] * before
            while len(shown) < width:
                may_span = rows and len(shown) + 2 <= width
                span = self._dice.choice([1, 1, 1, 2]) if may_span else 1
                content, text = self._text()
                if self._dice.random() < 0.1:
                    one, two = self._token(), self._token()
                    cells.append(tc(p(content), table(tr(one, two)), p(), span=span))
                    text = f"{text}<br>{one}, {two}"
                else:
                    cells.append(tc(p(content), span=span))
                shown += [text] + [""] * (span - 1)
            rows.append(tr(*cells, before=before))
            self._facts.append(Fact("| ", " | ".join(shown) + " |"))
        yield table(*rows)
        yield p()

    def _box(self) -> Iterator[str]:
        content, text = self._text()
        inner, boxed = self._text()
        self._facts += [Fact("", text), Fact("", boxed)]
        shape = f"<v:textbox><w:txbxContent>{p(inner)}</w:txbxContent></v:textbox>"
        yield p(content, f"<w:r><w:pict><v:shape>{shape}</v:shape></w:pict></w:r>")

    def _code(self) -> Iterator[str]:
        lines = [f"{' ' * self._dice.randint(0, 4)}{self._token()} = *_[" for _ in range(3)]
        self._facts += [Fact("```", ""), *(Fact("", line) for line in lines), Fact("```", "")]
        yield from (p(line, style="SourceCode") for line in lines)
        yield p()
        yield from self._paragraph()

    def _text(self) -> tuple[str, str]:
        """Return runs and the text that they show."""
        pieces, shown = [], []
        for _ in range(self._dice.randint(1, 5)):
            token = self._token()
            shown.append(token)
            pieces.append(self._wrapped(token) + self._invisible())
        return run(" ").join(pieces), " ".join(shown)

    def _wrapped(self, token: str) -> str:
        cut = self._dice.randint(1, len(token) - 1)
        plain = run(token[:cut]) + '<w:proofErr w:type="spellStart"/>' + run(token[cut:])
        styled = run(token, self._dice.choice(STYLED))
        return self._dice.choice(
            [
                run(token),
                plain,
                styled,
                f"<w:ins {BY}>{plain}</w:ins>",
                f"<w:smartTag>{run(token)}</w:smartTag>",
                f"<w:sdt><w:sdtContent>{run(token)}</w:sdtContent></w:sdt>",
                f'<w:fldSimple w:instr="SEQ A">{run(token)}</w:fldSimple>',
                field("REF a", plain),
                field(f"IF {field('REF b', run('never'))} = 1", styled),
                f'<w:hyperlink r:id="u">{plain}</w:hyperlink>',
            ]
        )

    def _invisible(self) -> str:
        if self._dice.random() < 0.8:
            return ""
        token = self._token()
        self._unseen.append(token)
        deleted = f"<w:r><w:delText>{token}</w:delText></w:r>"
        return self._dice.choice(
            [
                run(token, "<w:vanish/>"),
                f"<w:del {BY}>{deleted}</w:del>",
                f'<w:r><w:instrText>{token}</w:instrText></w:r><w:bookmarkEnd w:id="0"/>',
            ]
        )


def _formatted(number: int, kind: str) -> str:
    """Return a number below 27 in one of ``FORMATS``, as one counts by hand."""
    match kind:
        case "lowerLetter":
            return "?abcdefghijklmnopqrstuvwxyz"[number]
        case "decimalZero":
            return f"0{number}"[-2:]
        case "upperRoman":
            tens, ones = divmod(number, 10)
            return "X" * tens + _ROMAN[ones]
    return str(number)
