"""Hostile HTML, EPUB, RTF, LaTeX, notebooks and texts. One function a kind.

Each takes the dice and the path of a file that no document may reach.
"""

import base64
import json
import random
from collections.abc import Callable
from itertools import pairwise

from tests import documents
from tests.drawn_documents import Drawing
from tests.hostile_offices import parts_of
from tests.markup_writers import CONTAINER, FORMATS, epub_of

MIB = 1024 * 1024
Maker = Callable[[random.Random, str], bytes]


def _page(body: str) -> bytes:
    return f"<!DOCTYPE html><html><body>{body}</body></html>".encode()


def html_nested(dice: random.Random, file: str) -> bytes:
    tags = ("div", "b", "blockquote", "ul><li", "table><tr><td", "pre", "a href=x", "dl><dd", "svg",
            "math><mrow", "details", "form", "select", "button", "font", "h1")  # fmt: skip
    tag, count = dice.choice(tags), dice.choice((50, 250, 300, 20_000))
    return _page(f"before {f'<{tag}>' * count}inside<p>after")


def html_spans(dice: random.Random, file: str) -> bytes:
    number = dice.choice((1000, 65_534, 2**31, 10**30))
    cells = f"<td colspan={number} rowspan={number}>x" * dice.choice((1, 50, 500))
    return _page(f"<table>{f'<tr>{cells}' * dice.choice((1, 20))}</table>")


def html_many(dice: random.Random, file: str) -> bytes:
    piece = dice.choice(("<p>a", "<li>b", "<tr><td>c", "<br>", "<input checked type=checkbox>",
                         "<option>d", "<img alt=e>", "<!-- f -->", "&amp;",
                         "<ol start=9><li>g</ol>",
                         "<b>h</b>", "<hr>", "<sup>i</sup>", "<td>j", "<dt>k<dd>l"))  # fmt: skip
    return _page(piece * dice.choice((1000, 30_000)))


def html_unclosed(dice: random.Random, file: str) -> bytes:
    piece = dice.choice(("<!--", "<", "<a href='", "<![CDATA[", "<?", "</", "<script>", "&#", "&",
                         "<textarea>", "<title>", "<p style='display:", "<svg><"))  # fmt: skip
    return _page("text " + piece * dice.choice((1, 20_000)))


def html_numbers(dice: random.Random, file: str) -> bytes:
    number = dice.choice(("-1", "0", "999999999", "9" * 5000, "1e9", "NaN", "\u0661"))
    kind = dice.choice("1aAiI")
    return _page(
        f"<ol start={number} type={kind}><li value={number}>a<li>b</ol>"
        f"<ol reversed><li>c</ol>&#{number};&#x110000;&#0;"
    )


def html_reaching_out(dice: random.Random, file: str) -> bytes:
    return (
        f'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY e SYSTEM "file://{file}">]>'
        f'<html><head><base href="file://{file}"><link rel=stylesheet href="file://{file}">'
        f'</head><body>&e;<img src="file://{file}" alt=x><iframe src="file://{file}"></iframe>'
        f'<object data="file://{file}"></object><script src="file://{file}"></script>'
        f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{file}" parse="text"/>'
        '<a href="javascript:alert(1)">a</a><a href=" java\nscript:alert(1)">b</a>'
        '<a href="data:text/html,x">c</a><a href="vbscript:x">d</a></body></html>'
    ).encode()


def html_encodings(dice: random.Random, file: str) -> bytes:
    name = dice.choice(("utf-7", "punycode", "base64", "unicode_escape", "utf-16", "rot13", "zlib",
                        "idna", "hz", "iso-2022-jp", "x" * 39, "cp037"))  # fmt: skip
    return f"<html><meta charset={name}>".encode() + b"+ADw-script-" + dice.randbytes(50_000)


def html_pictures(dice: random.Random, file: str) -> bytes:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(dice.choice((200, 2 * MIB)))).decode()
    tail = dice.choice(("", "=", "!", "%", "\n"))
    return _page(
        f'<img alt="[x](y" src="data:image/png;base64,{data}{tail}">' * dice.choice((1, 8))
    )


def _chapter(body: str) -> dict[str, str]:
    return {"a.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'}


def epub_entities(dice: random.Random, file: str) -> bytes:
    inner = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    doctype = dice.choice((
        f'<!DOCTYPE x [<!ENTITY e0 "lol">{inner}]>',
        f'<!DOCTYPE x [<!ENTITY e11 SYSTEM "file://{file}">]>',
        f'<!DOCTYPE x SYSTEM "file://{file}">',
    ))  # fmt: skip
    where = dice.choice(("page", "package", "container"))
    page = _chapter("&e11; text")["a.xhtml"]
    parts = {"META-INF/container.xml": CONTAINER, "book/a.xhtml": page}
    parts["book/package.opf"] = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
        '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/></spine></package>'
    )
    name = {"page": "book/a.xhtml", "package": "book/package.opf"}.get(where, next(iter(parts)))
    parts[name] = f"<?xml version='1.0'?>{doctype}{parts[name]}"
    return documents.zip_of(parts)


def epub_bomb(dice: random.Random, file: str) -> bytes:
    size = dice.choice((9, 60, 140)) * MIB
    return epub_of({"a.xhtml": " " * size} if dice.random() < 0.5 else {}, bomb_png=bytes(size))


def epub_spine(dice: random.Random, file: str) -> bytes:
    made = documents.zip_of
    kind = dice.choice(("missing", "many", "traversal", "loop", "none", "cut"))
    items = {
        "missing": '<item id="a" href="nowhere.xhtml" media-type="application/xhtml+xml"/>' * 5000,
        "traversal": '<item id="a" href="../../../../etc/passwd" media-type="text/html"/>',
        "cut": '<item id="a" href="',
    }.get(kind, '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>')
    if kind == "many":
        items = "".join(
            f'<item id="i{n}" href="x{n}.xhtml" media-type="text/html"/>' for n in range(20_000)
        )
    references = "".join(f'<itemref idref="i{n}"/>' for n in range(20_000))
    spine = "" if kind == "none" else '<itemref idref="a"/>' * 3000 + references
    package = f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>"
    return made(
        {"META-INF/container.xml": CONTAINER, "book/package.opf": package, "book/a.xhtml": ""}
    )


def epub_nested(dice: random.Random, file: str) -> bytes:
    return epub_of(_chapter(f"{'<div>' * dice.choice((250, 5000))}inside" + "<p>x" * 100))


def epub_protected(dice: random.Random, file: str) -> bytes:
    method = dice.choice(("http://www.w3.org/2001/04/xmlenc#aes256-cbc", "unknown", ""))
    encrypted = (
        f'<encryption xmlns:e="e"><e:EncryptedData><e:EncryptionMethod Algorithm="{method}"/>'
        '<e:CipherReference URI="book/a.xhtml"/></e:EncryptedData></encryption>'
    )
    whole = epub_of(_chapter("x"))
    parts = {**parts_of(whole), "META-INF/encryption.xml": encrypted}
    return documents.zip_of(parts)


def _rtf(body: str) -> bytes:
    return ("{\\rtf1\\ansi " + body + "}").encode("latin-1")


def rtf_groups(dice: random.Random, file: str) -> bytes:
    piece = dice.choice(("{", "}", "{\\b x", "{\\field{\\*\\fldinst ", "{\\footnote ", "{\\*\\x ",
                         "{\\listtext ", "{\\pict ", "{\\upr{", "{\\header ", "{\\sn ",
                         "{\\stylesheet{\\s1 ", "{\\fonttbl{\\f0 "))  # fmt: skip
    return _rtf(piece * dice.choice((100, 9_000, 40_000)) + "text")


def rtf_numbers(dice: random.Random, file: str) -> bytes:
    number = dice.choice(("-1", "0", "65536", "2147483647", "-9999999999"))
    controls = (
        "u",
        "uc",
        "bin",
        "f",
        "s",
        "ilvl",
        "outlinelevel",
        "cellx",
        "itap",
        "ansicpg",
        "trleft",
    )
    body = "".join(f"\\{dice.choice(controls)}{number} word\\par\n" for _ in range(2000))
    return _rtf(body)


def rtf_tables(dice: random.Random, file: str) -> bytes:
    cells = dice.choice((10, 1000, 20_000))
    edges = "".join(f"\\clvmgf\\cellx{dice.randint(0, 10**6)}" for _ in range(cells))
    piece = dice.choice(
        ("\\intbl x\\cell", "\\cell", "\\nestcell\\nestrow", "\\intbl\\itap9 y\\par")
    )
    return _rtf(f"\\trowd{edges}{piece * cells}\\row" * dice.choice((1, 5)))


def rtf_reaching_out(dice: random.Random, file: str) -> bytes:
    return _rtf(
        f'{{\\field{{\\*\\fldinst INCLUDETEXT "{file}"}}{{\\fldrslt shown}}}}'
        f'{{\\field{{\\*\\fldinst INCLUDEPICTURE "file://{file}"}}{{\\fldrslt}}}}'
        f"{{\\*\\template {file}}}"
        f'{{\\field{{\\*\\fldinst HYPERLINK "javascript:x"}}{{\\fldrslt y}}}}'
    )


def rtf_surrogates(dice: random.Random, file: str) -> bytes:
    return _rtf("".join(f"\\u{dice.randint(-32768, 65535)}?" for _ in range(30_000)))


def _latex(body: str) -> bytes:
    return f"\\documentclass{{a}}\\begin{{document}}{body}\\end{{document}}".encode()


def latex_nested(dice: random.Random, file: str) -> bytes:
    opening, closing = dice.choice((
        ("{", "}"), ("\\textbf{", "}"), ("\\begin{itemize}\\item ", "\\end{itemize}"),
        ("\\begin{tabular}{l}", "\\end{tabular}"), ("\\footnote{", "}"), ("$", ""), ("{", ""),
        ("\\begin{x}", ""), ("", "\\end{x}"), ("\\begin{quote}", "\\end{quote}"), ("\\item[", ""),
        ("\\section{", "}"), ("\\begin{verbatim}", ""), ("\\verb|", ""), ("\\cite[", ""),
    ))  # fmt: skip
    count = dice.choice((40, 900, 30_000))
    return _latex(f"{opening * count} inside {closing * count}")


def latex_macros(dice: random.Random, file: str) -> bytes:
    names = "abcdefghijklmnopq"
    doubling = "".join(
        f"\\newcommand{{\\z{one}}}{{\\z{two}\\z{two}}}" for one, two in pairwise(names)
    )
    kind = dice.choice((
        doubling + "\\za" * 20,
        "\\def\\a{\\a\\a}\\a",
        "\\newcommand{\\w}[1]{#1#1#1}" + "\\w{" * 40 + "x" + "}" * 40,
        "\\newcommand{\\v}[9]{#9#8#1}\\v" * 3000,
        "\\newcommand" * 20_000,
        "\\def\\" * 20_000,
    ))  # fmt: skip
    return _latex(kind)


def latex_reaching_out(dice: random.Random, file: str) -> bytes:
    return _latex(
        f"\\input{{{file}}}\\include{{{file}}}\\write18{{cat {file}}}\\lstinputlisting{{{file}}}"
        f"\\verbatiminput{{{file}}}\\includegraphics{{{file}}}\\openin5={file}"
        "\\href{javascript:alert(1)}{a}"
    )


def latex_tables(dice: random.Random, file: str) -> bytes:
    cell = dice.choice(("&", "\\\\", "\\multicolumn{99999}{c}{x}&", "\\multirow{99999}{*}{x}\\\\",
                        "\\multicolumn{2}{c}{" * 20, "\\hline"))  # fmt: skip
    return _latex(
        f"\\begin{{tabular}}{{ll}}{cell * dice.choice((10, 3000, 20_000))}\\end{{tabular}}"
    )


def _notebook(cells: object) -> bytes:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}).encode()


def notebook_types(dice: random.Random, file: str) -> bytes:
    values: tuple[object, ...] = (
        None,
        0,
        -1.5,
        True,
        "x",
        [],
        {},
        [[1]],
        [{"a": 1}],
        {"source": []},
        "\ud800",
        "\0",
    )

    def value() -> object:
        return dice.choice(values)

    cells = [
        {
            "cell_type": dice.choice(("code", "markdown", "raw", "heading", None, 5)),
            "source": value(), "level": value(), "attachments": value(), "language": value(),
            "outputs": dice.choice((value(), [{
                "output_type": dice.choice(("stream", "error", "display_data", 7)),
                "text": value(), "traceback": dice.choice((value(), ["a"], [[]])),
                "data": dice.choice((value(), {kind: value() for kind in (
                    "text/html", "image/png", "text/plain", "text/latex", "application/json")})),
            }])),
        }
        for _ in range(50)
    ]  # fmt: skip
    return _notebook(dice.choice((cells, value(), [value()])))


def notebook_nested(dice: random.Random, file: str) -> bytes:
    depth = dice.choice((100, 900, 100_000))
    return b'{"nbformat": 4, "cells": [' + b'{"a": [' * depth + b"1" + b"]}" * depth + b"]}"


def notebook_outputs(dice: random.Random, file: str) -> bytes:
    text = dice.choice(
        ("\r" * 50_000, "a\r" * 50_000, "\x1b[" * 50_000, "\x1b]" * 20_000, "`" * 50_000)
    )
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(MIB)).decode()
    shown: list[dict[str, object]] = [{"output_type": "stream", "text": text}]
    shown += [{"output_type": "display_data", "data": {"image/png": picture}}] * dice.choice(
        (1, 40)
    )
    source = dice.choice(("![x](attachment:" * 20_000, "![" * 30_000, "x"))
    return _notebook(
        [{"cell_type": "code", "outputs": shown}, {"cell_type": "markdown", "source": source}]
    )


def notebook_reaching_out(dice: random.Random, file: str) -> bytes:
    page = html_reaching_out(dice, file).decode()
    return _notebook([{"cell_type": "code", "outputs": [{"data": {"text/html": page}}]}])


def text_any(dice: random.Random, file: str) -> bytes:
    piece = dice.choice(("\f", "\n", "a\f", "#" * 100, "> " * 100, "- " * 100, "*", "_ ",
                         "[a](", "<", "1. ",
                         "    x\n", "\t", "a   b\n", "---\n", "&", "&amp;", "\\", "`"))  # fmt: skip
    return b"text " + piece.encode() * dice.choice((100, 50_000))


def text_encodings(dice: random.Random, file: str) -> bytes:
    bom = dice.choice((b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xff\xfe\0\0"))
    return bom + bytes(dice.choice((*range(32, 127), *range(160, 256))) for _ in range(20_000))


def text_lines(dice: random.Random, file: str) -> bytes:
    return (dice.choice(("x", "x ", "* ", "x\n\n", "a  b  c\n")) * 400_000).encode()


KINDS: dict[str, tuple[Maker, ...]] = {
    "html": (html_nested, html_spans, html_many, html_unclosed, html_numbers, html_reaching_out,
             html_encodings, html_pictures),
    "epub": (epub_entities, epub_bomb, epub_spine, epub_nested, epub_protected),
    "rtf": (rtf_groups, rtf_numbers, rtf_tables, rtf_reaching_out, rtf_surrogates),
    "latex": (latex_nested, latex_macros, latex_reaching_out, latex_tables),
    "notebook": (notebook_types, notebook_nested, notebook_outputs, notebook_reaching_out),
    "text": (text_any, text_encodings, text_lines),
    "markdown": (text_any, text_encodings, text_lines),
}  # fmt: skip
CONTENT_TYPES = {name: form.content_type for name, form in FORMATS.items()} | {
    "text": "text/plain",
    "markdown": "text/markdown",
}


def damaged(dice: random.Random, name: str) -> bytes:
    """Return a document that is cut off, changed, or has a piece twice or in another place."""
    form = FORMATS.get(name, FORMATS["html"])
    whole = bytearray(
        form.write(Drawing(dice.randrange(10**6), form.kinds, form.styles).document())
    )
    at, end = sorted(dice.randrange(len(whole)) for _ in range(2))
    match dice.choice(("cut", "gap", "flip", "repeat", "noise")):
        case "cut":
            del whole[at:]
        case "gap":
            del whole[at:end]
        case "flip":
            for _ in range(20):
                whole[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        case "repeat":
            whole[at:at] = whole[at:end] * 20
        case "noise":
            whole[at:end] = dice.randbytes(end - at)
    return bytes(whole)


def sample(name: str, number: int, file: str) -> bytes:
    """Return a hostile document of a format."""
    dice = random.Random(f"{name} {number}")
    makers = KINDS[name]
    place = number % (len(makers) + 2)
    return makers[place](dice, file) if place < len(makers) else damaged(dice, name)
