"""Writers of drawn documents, one for each format of markup."""

import html
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests import documents
from tests.drawn_documents import Block, Code, Heading, Items, Line, Paragraph, Quote, Table

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="book/package.opf"/></rootfiles></container>'
)
ALL_KINDS = frozenset({"heading", "paragraph", "quote", "list", "table", "code"})
ALL_STYLES = frozenset({"b", "i", "c", "sub", "sup"})


class Format(NamedTuple):
    """A format: its content type, how it is written, and what it has."""

    content_type: str
    write: Callable[[Sequence[Block]], bytes]
    kinds: frozenset[str] = ALL_KINDS
    styles: frozenset[str] = ALL_STYLES


def html_line(line: Line) -> str:
    tags = {"b": "strong", "i": "em", "c": "code", "sub": "sub", "sup": "sup"}
    return "".join(
        f"<{tags[piece.style]}>{html.escape(piece.text)}</{tags[piece.style]}>"
        if piece.style
        else html.escape(piece.text)
        for piece in line
    )


def html_block(block: Block) -> str:
    match block:
        case Heading(level, line):
            return f"<h{level}>{html_line(line)}</h{level}>"
        case Paragraph(line):
            return f"<p>\n  {html_line(line)}\n</p>"
        case Quote(line):
            return f"<blockquote><p>{html_line(line)}</p></blockquote>"
        case Items():
            return _html_items(block)
        case Table(rows, _):
            written = "\n".join(
                f"<tr>{''.join(_html_cell(cell, 'td' if y else 'th') for cell in row)}</tr>"
                for y, row in enumerate(rows)
            )
            return f"<table><tbody>{written}</tbody></table>"
        case Code(language, text):
            name = f' class="language-{language}"' if language else ""
            return f"<pre><code{name}>{html.escape(text)}\n</code></pre>"


def _html_cell(cell: object, tag: str) -> str:
    line, columns, rows = cell  # type: ignore[misc]
    return f'<{tag} colspan="{columns}" rowspan="{rows}">{html_line(line)}</{tag}>'  # type: ignore[has-type]


def _html_items(items: Items) -> str:
    tag = "ul" if items.first is None else "ol"
    start = f' start="{items.first}"' if items.first not in (None, 1) else ""
    inner = "".join(
        f"<li>{html_line(item.line)}{_html_items(item.below) if item.below else ''}</li>\n"
        for item in items.items
    )
    return f"<{tag}{start}>\n{inner}</{tag}>"


def html_page(document: Sequence[Block]) -> bytes:
    body = "\n".join(map(html_block, document))
    return f"<!DOCTYPE html><html><head><meta charset=utf-8></head><body>{body}</body>".encode()


def epub(document: Sequence[Block]) -> bytes:
    """Write each block into a file of its own."""
    pages = {
        f"text/{number}.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
        f"<body>{html_block(block)}</body></html>"
        for number, block in enumerate(document)
    }
    return epub_of(pages)


def epub_of(pages: dict[str, str], **more: str | bytes) -> bytes:
    """Return an EPUB with pages in this order; ``more`` are items as ``name_ending``."""
    others = {name.replace("_", "."): content for name, content in more.items()}
    items = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(pages)
    )
    items += "".join(f'<item id="{name}" href="{name}" media-type="image/png"/>' for name in others)
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(pages)))
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "book/package.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    parts |= {f"book/{name}": content for name, content in {**pages, **others}.items()}
    return documents.zip_of(parts)


def notebook(document: Sequence[Block]) -> bytes:
    """Write headings and code as cells, all else as HTML that a cell has shown."""
    cells: list[dict[str, object]] = []
    for block in document:
        match block:
            case Code(_, text):
                cells.append({"cell_type": "code", "source": text.splitlines(keepends=True)})
            case _:
                shown = {"output_type": "display_data", "data": {"text/html": [html_block(block)]}}
                cells.append({"cell_type": "code", "source": [], "outputs": [shown]})
    metadata = {"language_info": {"name": "python"}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4}).encode()


def rtf_text(text: str) -> str:
    written = []
    for character in text:
        if character in "\\{}":
            written.append("\\" + character)
        elif ord(character) < 128:
            written.append(character)
        else:
            units = character.encode("utf-16-le")
            for at in range(0, len(units), 2):
                unit = int.from_bytes(units[at : at + 2], "little", signed=True)
                written.append(f"\\u{unit}?")
    return "".join(written)


def rtf_line(line: Line) -> str:
    controls = {"b": "b", "i": "i", "sub": "sub", "sup": "super"}
    return "".join(
        f"{{\\{controls[piece.style]} {rtf_text(piece.text)}}}"
        if piece.style
        else rtf_text(piece.text)
        for piece in line
    )


def rtf_block(block: Block) -> str:
    match block:
        case Heading(level, line):
            return f"\\pard\\plain\\s{level}\\b {rtf_line(line)}\\par\n"
        case Paragraph(line) | Quote(line):
            return f"\\pard\\plain {rtf_line(line)}\\par\n"
        case Items():
            return _rtf_items(block, 0)
        case Table():
            return _rtf_table(block)
    raise AssertionError(block)


def _rtf_items(items: Items, level: int) -> str:
    written = ""
    for place, item in enumerate(items.items):
        label = "\\'b7" if items.first is None else f"{items.first + place}."
        written += f"{{\\listtext\\pard\\plain {label}\\tab}}\\pard\\plain\\ls1\\ilvl{level} "
        written += f"{rtf_line(item.line)}\\par\n"
        if item.below is not None:
            written += _rtf_items(item.below, level + 1)
    return written


def _rtf_table(table: Table) -> str:
    written = ""
    below: dict[int, int] = {}
    for row in table.rows:
        definition, contents, x = "", "", 0
        cells = list(row)
        while cells or below.get(x):
            if below.get(x):
                below[x] -= 1
                definition += f"\\clvmrg\\cellx{1000 * (x + 1)}"
                contents += "\\pard\\plain\\intbl\\cell"
                x += 1
                continue
            cell = cells.pop(0)
            if cell.rows > 1:
                below[x] = cell.rows - 1
                definition += "\\clvmgf"
            x += cell.columns
            definition += f"\\cellx{1000 * x}"
            contents += f"\\pard\\plain\\intbl {rtf_line(cell.line)}\\cell"
        written += f"\\trowd{definition}\n{contents}\\row\n"
    return written + "\\pard\\plain\\par\n"


def rtf(document: Sequence[Block]) -> bytes:
    styles = "".join(f"{{\\s{n}\\outlinelevel{n - 1} heading {n};}}" for n in (2, 3, 4))
    head = f"{{\\rtf1\\ansi\\ansicpg1252\\uc1{{\\fonttbl{{\\f0 Arial;}}}}{{\\stylesheet{styles}}}\n"
    return (head + "".join(map(rtf_block, document)) + "}").encode("ascii")


def latex_text(text: str) -> str:
    signs = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
             "<": "\\textless{}", ">": "\\textgreater{}", "`": "{\\textasciigrave}", "[": "{[}",
             "“": "``", "”": "''", "—": "---"}  # fmt: skip
    return "".join(signs.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def latex_line(line: Line) -> str:
    commands = {"b": "textbf", "i": "emph", "c": "texttt", "sub": "textsubscript",
                "sup": "textsuperscript"}  # fmt: skip
    return "".join(
        f"\\{commands[piece.style]}{{{latex_text(piece.text)}}}"
        if piece.style
        else latex_text(piece.text)
        for piece in line
    )


def latex_block(block: Block) -> str:
    match block:
        case Heading(level, line):
            return f"\\{'sub' * (level - 2)}section{{{latex_line(line)}}}\n"
        case Paragraph(line):
            return f"{latex_line(line)}\n\n"
        case Quote(line):
            return f"\\begin{{quote}}\n{latex_line(line)}\n\\end{{quote}}\n"
        case Items():
            return _latex_items(block)
        case Table():
            return _latex_table(block)
        case Code(language, text):
            option = f"[language={language}]" if language else ""
            return f"\\begin{{lstlisting}}{option}\n{text}\n\\end{{lstlisting}}\n"


def _latex_items(items: Items) -> str:
    name = "itemize" if items.first is None else "enumerate"
    written = f"\\begin{{{name}}}\n"
    if items.first not in (None, 1):
        written += f"\\setcounter{{enumi}}{{{items.first - 1}}}\n"
    for item in items.items:
        written += f"  \\item {latex_line(item.line)}\n"
        if item.below is not None:
            written += _latex_items(item.below)
    return written + f"\\end{{{name}}}\n"


def _latex_table(table: Table) -> str:
    written = f"\\begin{{tabular}}{{{'l' * table.columns}}}\n\\hline\n"
    below: dict[int, int] = {}
    for row in table.rows:
        cells, shown, x = list(row), [], 0
        while cells or below.get(x):
            if below.get(x):
                below[x] -= 1
                shown.append("")
                x += 1
                continue
            cell = cells.pop(0)
            text = latex_line(cell.line)
            if cell.columns > 1:
                text = f"\\multicolumn{{{cell.columns}}}{{c}}{{{text}}}"
            elif cell.rows > 1:
                text = f"\\multirow{{{cell.rows}}}{{*}}{{{text}}}"
                below[x] = cell.rows - 1
            shown.append(text)
            x += cell.columns
        written += " & ".join(shown) + " \\\\ \\hline\n"
    return written + "\\end{tabular}\n\n"


def latex(document: Sequence[Block]) -> bytes:
    body = "".join(map(latex_block, document))
    return f"\\documentclass{{article}}\n\\begin{{document}}\n{body}\\end{{document}}\n".encode()


FORMATS = {
    "html": Format("text/html", html_page),
    "epub": Format("application/epub+zip", epub),
    "notebook": Format("application/x-ipynb+json", notebook, ALL_KINDS),
    "rtf": Format("application/rtf", rtf, ALL_KINDS - {"code", "quote"}, ALL_STYLES - {"c"}),
    "latex": Format("application/x-tex", latex),
}
