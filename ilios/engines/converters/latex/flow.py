"""The blocks of a LaTeX text so far, and its open paragraph."""

import re

import msgspec

from ilios.engines.converters.blocks import Block, Paragraph
from ilios.engines.converters.inline import Run
from ilios.engines.converters.latex.characters import ligatures

_BLANKS = re.compile(r"[ \t\n]+")


class Flow:
    """Blocks, and the runs of the paragraph after them."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._runs: list[Run] = []

    def text(self, text: str, style: Run) -> None:
        """Add text of the source."""
        if text:
            shown = _BLANKS.sub(" ", text if style.code else ligatures(text))
            self._runs.append(msgspec.structs.replace(style, text=shown))

    def shown(self, text: str, style: Run) -> None:
        """Add characters that a command stands for."""
        if text:
            self._runs.append(msgspec.structs.replace(style, text=text))

    def markup(self, text: str, link: str = "") -> None:
        """Add Markdown as it is."""
        if text:
            self._runs.append(Run(text, markup=True, link=link))

    def add(self, block: Block) -> None:
        """End the paragraph, and add a block."""
        self.end_paragraph()
        self.blocks.append(block)

    def end_paragraph(self, level: int = 0) -> None:
        """End the paragraph; a ``level`` makes a heading of it."""
        runs, self._runs = tidy(self._runs), []
        if runs:
            self.blocks.append(Paragraph(runs, level))

    def take(self) -> list[Block]:
        """Return all blocks."""
        self.end_paragraph()
        return self.blocks


def tidy(runs: list[Run]) -> tuple[Run, ...]:
    """Return runs without blanks at the ends, doubled ones, and ones around line breaks."""
    tidied: list[Run] = []
    blank = True
    for run in runs:
        text = run.text
        if not run.markup and not run.code:
            text = re.sub(r" *\n *", "\n", re.sub(r" {2,}", " ", text))
            if blank:
                text = text.lstrip(" ")
        if not text:
            continue
        blank = not run.markup and text[-1] in " \n"
        tidied.append(msgspec.structs.replace(run, text=text))
    while tidied and not tidied[-1].markup and not tidied[-1].text.strip():
        tidied.pop()
    while tidied and not tidied[0].markup and not tidied[0].text.strip():
        del tidied[0]
    if tidied and not tidied[-1].markup:
        last = tidied[-1]
        tidied[-1] = msgspec.structs.replace(last, text=last.text.rstrip())
    return tuple(tidied)
