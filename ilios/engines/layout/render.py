"""Markdown of a page's blocks."""

import re
from collections.abc import Iterable

from ilios.engines.converters import markdown

from . import lists
from .blocks import Block

_MISREAD = re.compile(
    r"^(\s*)(#{1,6}(?=\s)|>|```|~~~|={3,}\s*$|-{3,}\s*$|\*{3,}\s*$|_{3,}\s*$)", re.MULTILINE
)
"""Starts of a line that Markdown would take for something else."""


def render(blocks: Iterable[Block]) -> str:
    """Return blocks as Markdown; the items of a list stand close together."""
    text = ""
    listed = False
    for block in blocks:
        piece = _piece(block)
        if not piece:
            continue
        close = listed and block.kind == "item"
        text += ("\n" if close else "\n\n") + piece
        listed = block.kind == "item"
    return markdown.clean(text.strip("\n"))


def _piece(block: Block) -> str:
    if block.table is not None:
        return markdown.table(block.table.rows)
    if block.kind == "code":
        fence = "````" if "```" in block.text else "```"
        return f"{fence}\n{block.text}\n{fence}"
    if block.kind == "heading":
        return f"{'#' * block.level} {markdown.one_line(block.text)}"
    text = _MISREAD.sub(r"\1\\\2", block.text)
    if block.kind == "item":
        indent = "  " * block.level
        return indent + lists.item_text(block.text).replace("\n", f"\n{indent}  ")
    return text
