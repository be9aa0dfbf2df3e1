"""Texts of cells as Markdown that may stand in a table."""

import re
from typing import Any

from ilios.engines.converters import markdown
from ilios.engines.converters.inline import Run, escape, render, safe_link
from ilios.engines.converters.left_out_links import LeftOutLinks
from ilios.engines.converters.sheets.xml_stream import is_on, local_name

_PLAIN = re.compile(r"[\w .,:;%€$£/()+'\"=-]*")
_ENCODED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNDERSCORE = "_"

MAX_RUNS = 10_000
"""Pieces of one text with a style of their own; further ones are joined without it."""


def cell_text(text: str) -> str:
    """Return plain text as Markdown for a cell."""
    if text.isalnum():
        return text
    if _PLAIN.fullmatch(text) and _UNDERSCORE not in text:
        return markdown.one_line(text)
    return in_table(escape(markdown.clean(_decoded(text))))


def in_table(text: str) -> str:
    """Return Markdown as it may stand in a cell: on one line, without borders of cells."""
    lines = map(markdown.one_line, text.split("\n"))
    return "<br>".join(filter(None, lines)).replace("|", "\\|")


def cell_link(text: str, address: str, links: LeftOutLinks) -> str:
    """Return Markdown as a link; unchanged if the address is none to follow."""
    url = safe_link(links.checked(address)) if text else ""
    return f"[{text}]({in_table(url)})" if url and text else text


def runs_text(element: Any) -> str:
    """Return a text of runs (``is``, ``si`` and ``text`` of SpreadsheetML) as Markdown.

    Phonetic runs repeat the text in another script, and are left out.
    """
    runs: list[Run] = []
    further: list[str] = []
    for child in element:
        name = local_name(child)
        if name == "t":
            runs.append(Run(_decoded(child.text or "")))
        elif name == "r":
            text = _decoded("".join(one.text or "" for one in child if local_name(one) == "t"))
            if len(runs) < MAX_RUNS:
                runs.append(_run(text, next((p for p in child if local_name(p) == "rPr"), ())))
            else:
                further.append(text)
    runs.append(Run("".join(further)))
    return in_table(markdown.clean(render(runs)))


def _run(text: str, properties: Any) -> Run:
    on: dict[str, bool] = {}
    raised = ""
    for one in properties:
        name = local_name(one)
        if name in ("b", "i", "strike"):
            on[name] = is_on(one.get("val"), "1")
        elif name == "vertAlign":
            raised = one.get("val", "")
    return Run(
        text,
        bold=on.get("b", False),
        italic=on.get("i", False),
        strike=on.get("strike", False),
        subscript=raised == "subscript",
        superscript=raised == "superscript",
    )


def _decoded(text: str) -> str:
    """Return text without the escapes of characters that XML does not allow."""
    return _ENCODED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text
