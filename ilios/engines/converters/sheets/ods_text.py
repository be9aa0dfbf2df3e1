"""Texts of cells of an OpenDocument spreadsheet (ISO/IEC 26300-3, 6)."""

from typing import Any

from ilios.engines.converters import markdown
from ilios.engines.converters.inline import Run, render
from ilios.engines.converters.left_out_links import LeftOutLinks
from ilios.engines.converters.sheets.cell_text import cell_text, in_table
from ilios.engines.converters.sheets.xml_stream import local_name, natural

MAX_BLANKS = 1_000
MAX_DEPTH = 40
MAX_RUNS = 10_000
_NO_TEXT = frozenset({"annotation", "note", "script", "bookmark", "ruby-text"})


def attribute(element: Any, name: str) -> str:
    """Return an attribute by its local name; empty if there is none."""
    ending = f"}}{name}"
    return next((value for key, value in element.attrib.items() if key.endswith(ending)), "")


def paragraphs_text(parent: Any, raised: dict[str, str], links: LeftOutLinks) -> str:
    """Return the paragraphs of a cell or a text box as Markdown on one line.

    :param raised: names of styles that are ``super`` or ``sub``.
    :param links: counts those whose addresses may not stand in Markdown.
    """
    found = [one for one in parent if local_name(one) in ("p", "h")]
    if len(found) == 1 and not len(found[0]):
        return cell_text(found[0].text or "")
    runs: list[Run] = []
    for one in found:
        if runs:
            runs.append(Run("\n"))
        _collect(one, runs, Run("", link=""), raised, links)
    return in_table(markdown.clean(render(runs)))


def _collect(
    element: Any,
    runs: list[Run],
    style: Run,
    raised: dict[str, str],
    links: LeftOutLinks,
    depth: int = 0,
) -> None:
    if depth > MAX_DEPTH or len(runs) > MAX_RUNS:
        return
    _add(runs, element.text, style)
    for child in element:
        name = local_name(child)
        match name:
            case "s":
                blanks = min(natural(attribute(child, "c"), 1), MAX_BLANKS)
                _add(runs, " " * blanks, style)
            case "tab":
                _add(runs, " ", style)
            case "line-break":
                _add(runs, "\n", style)
            case "a":
                link = links.checked(attribute(child, "href"))
                _collect(child, runs, _restyled(style, link, ""), raised, links, depth + 1)
            case "span":
                place = raised.get(attribute(child, "style-name"), "")
                _collect(child, runs, _restyled(style, "", place), raised, links, depth + 1)
            case _ if name not in _NO_TEXT:
                _collect(child, runs, style, raised, links, depth + 1)
        _add(runs, child.tail, style)


def _add(runs: list[Run], text: str | None, style: Run) -> None:
    if text:
        runs.append(
            Run(text, subscript=style.subscript, superscript=style.superscript, link=style.link)
        )


def _restyled(style: Run, link: str, place: str) -> Run:
    return Run(
        "",
        subscript=style.subscript or place == "sub",
        superscript=style.superscript or place == "super",
        link=link or style.link,
    )
