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

_TAG = re.compile(r"(?<!\\)<(?=/?[A-Za-z][^<>\n]*>|!--)")
"""Text that would be hidden as a tag."""


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


def _shown(text: str) -> str:
    return _TAG.sub(r"\<", text)


def _piece(block: Block) -> str:
    if block.table is not None:
        return _shown(markdown.table(block.table.rows))
    if block.kind == "figure":
        return block.text
    if block.kind == "code":
        return markdown.fenced(block.text)
    if block.kind == "heading":
        return f"{'#' * block.level} {_shown(markdown.one_line(block.text))}"
    text = _shown(block.text)
    text = _MISREAD.sub(r"\1\\\2", text)
    if block.kind == "quote":
        text = markdown.quoted(text)
    elif block.kind == "item":
        indent = "  " * block.level
        text = indent + lists.item_text(text).replace("\n", f"\n{indent}  ")
    return text
